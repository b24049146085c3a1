//! What is uploaded: read piece by piece while it is sent, and from its beginning again for every attempt.

use bytes::{Bytes, BytesMut};
use cupola_protocol::count::counted;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, Stream, TryStreamExt as _};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio_util::io::StreamReader;

/// How much is in memory at once, in bytes: what one write to a socket takes.
const PIECE_BYTES: u64 = 64 * 1024;

type Reader = Pin<Box<dyn AsyncRead + Send>>;
type Open = dyn Fn() -> BoxFuture<'static, io::Result<Reader>> + Send + Sync;

/// Bytes of a known number.
#[derive(Clone)]
pub struct Content {
    length: u64,
    open: Arc<Open>,
    /// The file it is read from, shown with the request for debugging.
    source: Option<Arc<Path>>,
    sent: Arc<AtomicU64>,
    failure: Arc<OnceLock<String>>,
}

impl Content {
    /// The first `length` bytes of what `open` gives, which is called for every attempt to send them. `sent` always has
    /// how many of them the current attempt has read.
    pub fn new<R, F>(length: u64, sent: Arc<AtomicU64>, open: F) -> Self
    where
        F: Fn() -> BoxFuture<'static, io::Result<R>> + Send + Sync + 'static,
        R: AsyncRead + Send + 'static,
    {
        let open = move || {
            let opening = open();
            let opened: BoxFuture<'static, io::Result<Reader>> =
                Box::pin(async { opening.await.map(|reader| Box::pin(reader) as Reader) });
            opened
        };
        Self { length, open: Arc::new(open), source: None, sent, failure: Arc::default() }
    }

    /// The first `length` bytes of an open file. Each attempt reads by position, so that none moves another's place.
    pub fn file(file: Arc<File>, length: u64, sent: Arc<AtomicU64>) -> Self {
        let open = move || {
            let pieces = Box::pin(pieces_of(Arc::clone(&file)));
            Box::pin(std::future::ready(Ok(StreamReader::new(pieces)))) as BoxFuture<'static, io::Result<_>>
        };
        Self::new(length, sent, open)
    }

    /// The same, read from a file that may be named when the request is shown.
    #[must_use]
    pub fn from(self, source: &Path) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// Bytes that are in memory already.
    pub fn bytes(bytes: Bytes) -> Self {
        let length = bytes.len() as u64;
        let open = move || {
            let reader = io::Cursor::new(bytes.clone());
            Box::pin(std::future::ready(Ok(reader))) as BoxFuture<'static, io::Result<_>>
        };
        Self::new(length, Arc::default(), open)
    }

    pub(super) fn source(&self) -> Option<&Path> {
        self.source.as_deref()
    }

    /// How many bytes there are.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Why it could not be read, if it could not.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.get().cloned()
    }

    pub(crate) fn body(&self) -> reqwest::Body {
        reqwest::Body::wrap_stream(self.pieces())
    }

    fn pieces(&self) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let Self { open, sent, failure, .. } = self.clone();
        sent.store(0, Ordering::Relaxed);
        stream::try_unfold((None, self.length), move |(reader, left): (Option<Reader>, u64)| {
            let (open, sent) = (Arc::clone(&open), Arc::clone(&sent));
            async move {
                if left == 0 {
                    return Ok(None);
                }
                let mut reader = match reader {
                    Some(reader) => reader,
                    None => open().await?,
                };
                let capacity = usize::try_from(PIECE_BYTES.min(left)).unwrap_or(usize::MAX);
                let mut piece = BytesMut::with_capacity(capacity);
                let read = (&mut reader).take(PIECE_BYTES.min(left)).read_buf(&mut piece).await? as u64;
                if read == 0 {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        format!("it became {} shorter while it was sent", counted(left, "byte")),
                    ));
                }
                sent.fetch_add(read, Ordering::Relaxed);
                Ok(Some((piece.freeze(), (Some(reader), left - read))))
            }
        })
        .inspect_err(move |error| {
            let _already_known = failure.set(error.to_string());
        })
    }
}

/// A file from its beginning, in pieces.
fn pieces_of(file: Arc<File>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold((file, 0), |(file, at)| async move {
        let reading = Arc::clone(&file);
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; usize::try_from(PIECE_BYTES).unwrap_or(usize::MAX)];
            let read = read_at(&reading, &mut piece, at)?;
            piece.truncate(read);
            Ok::<_, io::Error>(piece)
        });
        let piece = read.await.map_err(io::Error::other)??;
        let next = at + piece.len() as u64;
        Ok((!piece.is_empty()).then(|| (Bytes::from(piece), (file, next))))
    })
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, at)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, at)
}

impl fmt::Debug for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Content").field("length", &self.length).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt as _, StreamExt as _};

    fn content(length: u64, available: u64) -> Content {
        Content::new(length, Arc::default(), move || async move { Ok(tokio::io::repeat(b'x').take(available)) }.boxed())
    }

    #[tokio::test]
    async fn a_large_file_is_read_in_small_pieces_and_again_for_every_attempt() {
        let content = content(50 * 1024 * 1024, u64::MAX);
        for _attempt in 0..2 {
            let mut pieces = Box::pin(content.pieces());
            let mut total = 0;
            while let Some(piece) = pieces.next().await {
                let piece = piece.unwrap();
                assert!(piece.len() as u64 <= PIECE_BYTES, "{} bytes at once", piece.len());
                total += piece.len() as u64;
                assert_eq!(content.sent.load(Ordering::Relaxed), total, "nothing is read ahead");
            }
            assert_eq!(total, content.length());
        }
        assert_eq!(content.failure(), None);
    }

    #[tokio::test]
    async fn attempts_that_overlap_read_the_same_file_whole() {
        let mut file = tempfile::tempfile().unwrap();
        let text: Vec<u8> = (0..=255).cycle().take(200_000).collect();
        io::Write::write_all(&mut file, &text).unwrap();
        let content = Content::file(Arc::new(file), text.len() as u64, Arc::default());
        let (mut first, mut second) = (Box::pin(content.pieces()), Box::pin(content.pieces()));
        let (mut one, mut other) = (Vec::new(), Vec::new());
        loop {
            match (first.next().await, second.next().await) {
                (Some(piece), Some(same)) => {
                    one.extend(piece.unwrap());
                    other.extend(same.unwrap());
                }
                (None, None) => break,
                _ => panic!("one ended before the other"),
            }
        }
        assert!(one == text && other == text);
    }

    #[tokio::test]
    async fn what_becomes_shorter_meanwhile_is_an_error() {
        let content = content(10, 4);
        let read: Vec<_> = content.pieces().collect().await;
        assert!(read.last().is_some_and(Result::is_err), "{read:?}");
        assert_eq!(content.failure().as_deref(), Some("it became 6 bytes shorter while it was sent"));
    }
}
