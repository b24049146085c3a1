//! The way to one client: straight to its connection while nothing waits for it, else through a bounded queue that the connection's
//! writer empties.
//!
//! Who holds all of the queue's room knows that nothing waits and that nobody else writes. So the room is the lock of the connection, and
//! messages keep their order whichever way they go. The writer closes the queue before it leaves half of a frame behind.

use cupola_protocol::framing::Framing;
use std::fmt;
use std::sync::{Arc, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Messages that wait for one client. A stream of text deltas fills it in about a second of not reading.
const OUTBOX_MESSAGES: usize = 128;
/// Bytes of messages that wait for one client; a longer message waits until it is alone. Far above what is usual, far below what
/// a few hundred answers of the longest kind would take.
const OUTBOX_BYTES: u32 = 1024 * 1024;
/// Bytes that go straight to a connection at once. What is longer has the writer's task, so that it holds up nothing else.
pub(crate) const STRAIGHT_BYTES: usize = 64 * 1024;

/// What a frame has around its message, at most: a usual header of LSP's framing.
const FRAME_BYTES: usize = 32;

/// The client has left, took nothing for too long, or was cut; nothing can be sent to it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client is gone")]
pub struct ClientGone;

/// A message that waits for its client, and the room that it takes.
pub(crate) struct Queued {
    pub(crate) text: String,
    /// How many bytes of its frame have been written already.
    pub(crate) written: usize,
    room: OwnedSemaphorePermit,
}

impl Queued {
    /// Its text, and the room that it takes for as long as it is kept.
    pub(crate) fn into_parts(self) -> (String, OwnedSemaphorePermit) {
        (self.text, self.room)
    }
}

/// A connection that can be written without waiting.
pub(crate) trait WriteNow: fmt::Debug + Send + Sync {
    /// How many of the bytes it took; none if it takes none now, or never again.
    fn write_now(&self, bytes: &[u8]) -> usize;
}

/// The connection itself, and how it tells messages apart. Keeps nothing alive.
#[derive(Debug, Clone)]
pub(crate) struct Straight {
    pub(crate) connection: Weak<dyn WriteNow>,
    pub(crate) framing: Framing,
}

/// The sending end. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    queue: mpsc::Sender<Queued>,
    /// The bytes that are free in the queue.
    room: Arc<Semaphore>,
    straight: Option<Straight>,
}

impl Outbox {
    /// The sending end, and the queue for the writer. Without `straight` everything is queued.
    pub(crate) fn new(straight: Option<Straight>) -> (Self, mpsc::Receiver<Queued>) {
        let (queue, messages) = mpsc::channel(OUTBOX_MESSAGES);
        (Self { queue, room: Arc::new(Semaphore::new(OUTBOX_BYTES as usize)), straight }, messages)
    }

    /// How many bytes wait.
    pub(crate) fn backlog(&self) -> usize {
        (OUTBOX_BYTES as usize).saturating_sub(self.room.available_permits())
    }

    /// Sends messages without waiting; false, and nothing is sent, if they have to be queued. What the connection does not take at once
    /// is queued here, before everything that comes later.
    pub(crate) fn send_straight(&self, messages: &mut [String]) -> bool {
        let Some((connection, framing)) = self.straight.as_ref().and_then(Straight::reach) else { return false };
        let bytes: usize = messages.iter().map(String::len).sum();
        if bytes > STRAIGHT_BYTES || messages.len() > OUTBOX_MESSAGES || self.queue.is_closed() {
            return false;
        }
        let Ok(mut room) = Arc::clone(&self.room).try_acquire_many_owned(OUTBOX_BYTES) else { return false };
        let mut frames = Vec::with_capacity(bytes + messages.len() * FRAME_BYTES);
        for message in &*messages {
            framing.encode(message.as_bytes(), &mut frames);
        }
        let mut written = connection.write_now(&frames);
        if written < frames.len() {
            for message in messages {
                frames.clear();
                framing.encode(message.as_bytes(), &mut frames);
                let own = written.min(frames.len());
                written -= own;
                if own < frames.len()
                    && let Some(room) = room.split(message.len())
                {
                    // It is closed when the client is gone. It is never full: all of its room was free.
                    let _ = self.queue.try_send(Queued { text: std::mem::take(message), written: own, room });
                }
            }
        }
        true
    }

    /// Queues one message, waiting for room.
    pub(crate) async fn queue(&self, text: String) -> Result<(), ClientGone> {
        let bytes = u32::try_from(text.len()).map_or(OUTBOX_BYTES, |bytes| bytes.min(OUTBOX_BYTES));
        let room = Arc::clone(&self.room).acquire_many_owned(bytes).await.map_err(|_| ClientGone)?;
        self.queue.send(Queued { text, written: 0, room }).await.map_err(|_| ClientGone)
    }
}

impl Straight {
    fn reach(&self) -> Option<(Arc<dyn WriteNow>, Framing)> {
        Some((self.connection.upgrade()?, self.framing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Mutex, PoisonError};

    /// A connection that takes this many bytes and then no more.
    #[derive(Debug)]
    struct Narrow(Mutex<(usize, Vec<u8>)>);

    impl Narrow {
        fn taking(bytes: usize) -> Arc<Self> {
            Arc::new(Self(Mutex::new((bytes, Vec::new()))))
        }

        fn widen(&self, bytes: usize) {
            self.0.lock().unwrap().0 += bytes;
        }

        fn taken(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().1.clone()).unwrap()
        }
    }

    impl WriteNow for Narrow {
        fn write_now(&self, bytes: &[u8]) -> usize {
            let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = bytes.len().min(inner.0);
            inner.0 -= taken;
            inner.1.extend_from_slice(&bytes[..taken]);
            taken
        }
    }

    fn outbox(connection: &Arc<Narrow>, framing: Framing) -> (Outbox, mpsc::Receiver<Queued>) {
        let connection: Weak<Narrow> = Arc::downgrade(connection);
        Outbox::new(Some(Straight { connection, framing }))
    }

    fn messages<const N: usize>(texts: [&str; N]) -> [String; N] {
        texts.map(str::to_owned)
    }

    /// What the writer has to send of what waits.
    fn waiting(queue: &mut mpsc::Receiver<Queued>, framing: Framing) -> String {
        let mut rest = Vec::new();
        while let Ok(Queued { text, written, room: _ }) = queue.try_recv() {
            let mut frame = Vec::new();
            framing.encode(text.as_bytes(), &mut frame);
            rest.extend_from_slice(&frame[written..]);
        }
        String::from_utf8(rest).unwrap()
    }

    #[test]
    fn what_is_sent_while_nothing_waits_goes_straight_to_the_connection() {
        let connection = Narrow::taking(usize::MAX);
        let (outbox, mut queue) = outbox(&connection, Framing::Ndjson);
        assert!(outbox.send_straight(&mut messages(["1", "2"])));
        assert!(outbox.send_straight(&mut messages(["3"])));
        assert_eq!(connection.taken(), "1\n2\n3\n");
        assert_eq!((waiting(&mut queue, Framing::Ndjson).as_str(), outbox.backlog()), ("", 0));
    }

    #[test]
    fn wherever_the_connection_stops_every_byte_is_sent_once_and_in_order() {
        for framing in [Framing::Ndjson, Framing::Lsp] {
            let mut whole = Vec::new();
            for text in ["first", "second", "third"] {
                framing.encode(text.as_bytes(), &mut whole);
            }
            for taken in 0..=whole.len() {
                let connection = Narrow::taking(taken);
                let (outbox, mut queue) = outbox(&connection, framing);
                assert!(outbox.send_straight(&mut messages(["first", "second"])));
                connection.widen(usize::MAX - whole.len());
                // Nothing overtakes what waits.
                if !outbox.send_straight(&mut messages(["third"])) {
                    futures_util::FutureExt::now_or_never(outbox.queue("third".to_owned())).unwrap().unwrap();
                }
                let sent = connection.taken() + &waiting(&mut queue, framing);
                assert_eq!(sent.as_bytes(), whole, "{taken} bytes were taken");
                assert_eq!(outbox.backlog(), 0, "room is given back");
            }
        }
    }

    #[test]
    fn nothing_goes_straight_that_is_long_or_whose_client_is_gone() {
        let connection = Narrow::taking(usize::MAX);
        let (outbox, queue) = outbox(&connection, Framing::Ndjson);
        assert!(!outbox.send_straight(&mut ["x".repeat(STRAIGHT_BYTES + 1)]));
        drop(queue);
        assert!(!outbox.send_straight(&mut messages(["late"])), "the writer has ended, so nothing may be written");
        assert_eq!(connection.taken(), "");
    }
}
