//! Reads a body through its protocol's mapping, as a stream of reply items up to the one ending.

use super::super::meter::Meter;
use super::{BodyEnd, Mapping, ReplyItem, Split, Splitter};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::coop::poll_proceed;

/// How long the end of a body is waited for after the ending, so that its connection can be used again. A server that keeps
/// sending loses the connection instead.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// How many bytes are taken while waiting for it. There should be none, or the end of a `[DONE]`.
const DRAIN_BYTES: usize = 64 * 1024;

/// The pieces of a body. An error says how the connection broke.
type Body = BoxStream<'static, Result<Bytes, String>>;

/// A reply's items.
pub(in super::super) struct ReplyStream<M> {
    /// `None` once ended.
    body: Option<Body>,
    /// Counts what comes of it.
    meter: Meter,
    splitter: Splitter<M>,
    /// What was read but not taken.
    items: VecDeque<ReplyItem>,
}

impl<M: Mapping> ReplyStream<M> {
    /// `is_raw`: the body is passed on as well, as it came.
    pub(in super::super) fn new(body: Body, split: Split, mapping: M, is_raw: bool) -> Self {
        let splitter = Splitter::new(split, mapping, is_raw);
        Self { body: Some(body), meter: Meter::default(), splitter, items: VecDeque::new() }
    }

    /// What the mapping knows by now.
    pub(in super::super) const fn mapping(&self) -> &M {
        self.splitter.mapping()
    }

    /// What the mapping knows in the end.
    pub(in super::super) fn into_mapping(self) -> M {
        self.splitter.into_mapping()
    }

    /// Takes the mapping out; the stream has ended then.
    pub(in super::super) fn take_mapping(&mut self) -> M
    where
        M: Default,
    {
        self.body = None;
        std::mem::take(self.splitter.mapping_mut())
    }

    /// Reads until the mapping knows enough, or until the ending. Takes no items.
    pub(in super::super) async fn until(&mut self, is_enough: impl Fn(&M) -> bool) {
        let has_ending =
            |this: &Self| this.splitter.has_ending() || matches!(this.items.back(), Some(ReplyItem::End(_)));
        std::future::poll_fn(|context| self.fill(context, |this| is_enough(this.mapping()) || has_ending(this))).await;
    }

    /// Reads until there is `enough`, or no more.
    fn fill(&mut self, context: &mut Context<'_>, enough: impl Fn(&Self) -> bool) -> Poll<()> {
        while !enough(self) {
            let Some(body) = &mut self.body else { break };
            match std::task::ready!(body.poll_next_unpin(context)) {
                Some(Ok(bytes)) => match self.meter.take(bytes.len()) {
                    Ok(()) => self.splitter.bytes(&bytes, &mut self.items),
                    Err(excess) => self.end(BodyEnd::TooMuch(excess.to_string())),
                },
                Some(Err(reason)) => self.end(BodyEnd::Broken(reason)),
                None => self.end(BodyEnd::Clean),
            }
        }
        Poll::Ready(())
    }

    fn end(&mut self, how: BodyEnd) {
        self.splitter.end(how, &mut self.items);
        self.body = None;
    }
}

impl<M: Mapping + Unpin> Stream for ReplyStream<M> {
    type Item = ReplyItem;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ReplyItem>> {
        // A body that always has more must not keep the thread from everything else that waits for it.
        let progress = std::task::ready!(poll_proceed(context));
        std::task::ready!(self.fill(context, |this| !this.items.is_empty()));
        progress.made_progress();
        let item = self.items.pop_front();
        if matches!(item, Some(ReplyItem::End(_))) {
            self.items.clear();
            if let Some(body) = self.body.take() {
                tokio::spawn(drain(body));
            }
        }
        Poll::Ready(item)
    }

    /// At least those that were read already.
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.items.len(), None)
    }
}

async fn drain(mut body: Body) {
    let draining = async {
        let mut left = DRAIN_BYTES;
        while let Some(Ok(bytes)) = body.next().await {
            // An empty piece counts, too: there may be no end of them.
            match left.checked_sub(bytes.len().max(1)) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    let _too_late = tokio::time::timeout(DRAIN_LIMIT, draining).await;
}

#[cfg(test)]
mod tests {
    use super::super::super::sse;
    use super::super::{Ending, shown};
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Takes every piece, and passes none on.
    #[derive(Default)]
    struct Silent {
        pieces: usize,
        is_ended: bool,
    }

    impl Mapping for Silent {
        fn event(&mut self, _: sse::Event, _: &mut VecDeque<ReplyItem>) {
            self.pieces += 1;
        }

        fn end(&mut self, how: BodyEnd, items: &mut VecDeque<ReplyItem>) {
            if !std::mem::replace(&mut self.is_ended, true) {
                items.push_back(ReplyItem::End(Box::new(Ending::of(how.too_soon()))));
            }
        }
    }

    /// How an endless body ends, and how many pieces were taken.
    async fn flood(piece: &'static [u8], split: Split, is_raw: bool) -> (String, usize) {
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let body = futures_util::stream::repeat_with(move || {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(Bytes::from_static(piece))
        });
        let mut stream = ReplyStream::new(body.boxed(), split, Silent::default(), is_raw);
        loop {
            match stream.next().await {
                Some(item @ ReplyItem::End(_)) => {
                    drop(stream);
                    return (shown(&VecDeque::from([item])).concat(), taken.load(Ordering::Relaxed));
                }
                Some(ReplyItem::Event(_) | ReplyItem::At(_) | ReplyItem::Lost) => {}
                None => panic!("the stream stopped without an ending"),
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up() {
        let comments = b": keep-alive\n\n".repeat(5000).leak();
        let empty = b"data: {}\n\n".repeat(5000).leak();
        for is_raw in [false, true] {
            let (end, pieces) = flood(comments, Split::events(), is_raw).await;
            assert!(end.contains("comments or empty events came in a row") && pieces < 50, "{end}: {pieces}");
            let (end, pieces) = flood(empty, Split::events(), is_raw).await;
            assert!(end.contains("tiny pieces") && pieces < 300, "{end}: {pieces}");
            let (end, pieces) = flood(comments, Split::whole(), is_raw).await;
            assert!(end.contains("longer than 33554432 bytes") && pieces < 1000, "{end}: {pieces}");
        }
        // Text has no other bound.
        let (end, pieces) = flood(comments, Split::text(), false).await;
        assert!(end.contains("longer than 1073741824 bytes"), "{end}: {pieces}");
        let (end, pieces) = flood(b"x", Split::text(), false).await;
        assert!(end.contains("tiny pieces") && pieces < 1_100_000, "{end}: {pieces}");
    }

    /// The first event may arrive in several pieces. A caller who wants the body as it came gets items before it is there.
    #[tokio::test]
    async fn reading_until_the_first_event_waits_for_all_of_it() {
        for is_raw in [false, true] {
            let body = futures_util::stream::iter(["data: {\"a\"", ":1}\n\n", "data: 2\n\n"]);
            let body = body.map(|piece| Ok(Bytes::from_static(piece.as_bytes()))).boxed();
            let mut stream = ReplyStream::new(body, Split::events(), Silent::default(), is_raw);
            stream.until(|mapping| mapping.pieces > 0).await;
            assert_eq!(stream.mapping().pieces, 1, "raw: {is_raw}");
        }
    }
}
