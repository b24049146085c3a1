//! Answer bodies that come late, slowly, changed, or not to their end.

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::time::Duration;

/// The answer was broken off by a fault.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("a fault cut the answer")]
struct Cut;

/// Lets `after_bytes` through, then breaks off, also when the body had ended by itself before that.
pub(super) fn cut(body: Body, after_bytes: usize) -> Body {
    let stream = stream::unfold(Some((body.into_data_stream(), after_bytes)), |state| async move {
        let (mut data, left) = state?;
        let end = Some((Err(axum::Error::new(Cut)), None));
        if left == 0 {
            // What has been let through must leave before the error, or hyper drops both.
            tokio::task::yield_now().await;
            return end;
        }
        match data.next().await {
            Some(Ok(mut bytes)) => {
                bytes.truncate(left);
                let left = left - bytes.len();
                Some((Ok(bytes), Some((data, left))))
            }
            Some(Err(error)) => Some((Err(error), None)),
            None => end,
        }
    });
    Body::from_stream(stream)
}

/// Lets `after_bytes` through and ends in good order.
pub(super) fn end(body: Body, after_bytes: usize) -> Body {
    let stream = stream::unfold((body.into_data_stream(), after_bytes), |(mut data, left)| async move {
        let piece = if left == 0 { None } else { data.next().await };
        piece.map(|piece| match piece {
            Ok(mut bytes) => {
                bytes.truncate(left);
                let left = left - bytes.len();
                (Ok(bytes), (data, left))
            }
            Err(error) => (Err(error), (data, 0)),
        })
    });
    Body::from_stream(stream)
}

/// An event with a text of `bytes` bytes comes first.
pub(super) fn after_event(body: Body, bytes: usize) -> Body {
    let text = "x".repeat(bytes);
    after(format!("event: note\ndata: {{\"type\":\"note\",\"text\":\"{text}\"}}\n\n"), body)
}

/// A byte order mark comes first.
pub(super) fn after_mark(body: Body) -> Body {
    after("\u{feff}".to_owned(), body)
}

fn after(first: String, body: Body) -> Body {
    Body::from_stream(stream::once(async { Ok(Bytes::from(first)) }).chain(body.into_data_stream()))
}

/// Each line feed becomes `end`.
pub(super) fn line_ends(body: Body, end: &'static str) -> Body {
    let replace = move |piece: Result<Bytes, axum::Error>| {
        piece.map(|bytes| Bytes::from(bytes.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(end.as_bytes())))
    };
    Body::from_stream(body.into_data_stream().map(replace))
}

/// Passes `size` bytes `every` so often.
pub(super) fn drip(body: Body, size: usize, every: Duration) -> Body {
    let stream = stream::unfold((body.into_data_stream(), Bytes::new()), move |(mut data, mut held)| async move {
        while held.is_empty() {
            match data.next().await? {
                Ok(bytes) => held = bytes,
                Err(error) => return Some((Err(error), (data, held))),
            }
        }
        // Even the shortest sleep takes a millisecond.
        if !every.is_zero() {
            tokio::time::sleep(every).await;
        }
        let piece = held.split_to(size.min(held.len()));
        Some((Ok(piece), (data, held)))
    });
    Body::from_stream(stream)
}

/// Holds everything back for `delay`.
pub(super) fn late(body: Body, delay: Duration) -> Body {
    let start = stream::once(async move {
        tokio::time::sleep(delay).await;
        body.into_data_stream()
    });
    Body::from_stream(start.flat_map(|data: BodyDataStream| data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    async fn collect(body: Body) -> (String, bool) {
        let mut text = String::new();
        let mut data = body.into_data_stream();
        while let Some(piece) = data.next().await {
            match piece {
                Ok(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => return (text, true),
            }
        }
        (text, false)
    }

    #[tokio::test]
    async fn a_cut_body_breaks_off_at_its_byte() {
        for (after, expected) in [(0, ""), (3, "hel"), (5, "hello"), (100, "hello")] {
            let (text, broken) = collect(cut(Body::from("hello"), after)).await;
            assert_eq!((text.as_str(), broken), (expected, true), "after {after}");
        }
    }

    #[tokio::test]
    async fn a_body_can_end_early_or_begin_or_break_its_lines_otherwise() {
        for (after, expected) in [(0, ""), (3, "hel"), (5, "hello"), (100, "hello")] {
            assert_eq!(collect(end(Body::from("hello"), after)).await, (expected.to_owned(), false), "after {after}");
        }
        for (with, expected) in [("\r", "a\rb\r\r"), ("\r\n", "a\r\nb\r\n\r\n")] {
            assert_eq!(collect(line_ends(Body::from("a\nb\n\n"), with)).await, (expected.to_owned(), false));
        }
        assert_eq!(collect(after_mark(Body::from("hello"))).await.0, "\u{feff}hello");
        let event = "event: note\ndata: {\"type\":\"note\",\"text\":\"xxx\"}\n\nhello";
        assert_eq!(collect(after_event(Body::from("hello"), 3)).await.0, event);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dripping_body_arrives_whole_and_slowly() {
        let started = Instant::now();
        let (text, broken) = collect(drip(Body::from("hello"), 2, Duration::from_millis(100))).await;
        assert_eq!((text.as_str(), broken), ("hello", false));
        assert_eq!(started.elapsed(), Duration::from_millis(300));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_body_arrives_whole_and_late() {
        let started = Instant::now();
        let (text, broken) = collect(late(Body::from("hello"), Duration::from_secs(3))).await;
        assert_eq!((text.as_str(), broken), ("hello", false));
        assert_eq!(started.elapsed(), Duration::from_secs(3));
    }
}
