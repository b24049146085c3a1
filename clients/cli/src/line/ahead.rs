//! The daemon's stream, read ahead of the code that prints it.
//!
//! The daemon ends the calls of a client that takes nothing. But a person may look at a pager for as long as they like, and
//! then nothing is printed. So from the first event on a thread reads what the daemon sends, and what is not printed yet waits
//! here: in memory, and beyond that in a private temporary file without a name.

use super::stream::{self, Stream};
use crate::spool::Spool;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What waits in memory at most, in bytes: minutes of a usual answer.
const MEMORY_BYTES: usize = 4 * 1024 * 1024;
/// What waits in the file at most, in bytes: as much as the daemon passes on of one answer. Beyond that the daemon waits.
const FILE_BYTES: u64 = 1024 * 1024 * 1024;
/// Asked for at once.
const READ_BYTES: usize = 64 * 1024;

/// A stream that can be read ahead. Reading gives the same bytes either way.
pub(crate) struct Ahead {
    stream: Stream,
    /// How long a read may wait.
    limit: Option<Duration>,
    waiting: Option<Arc<Waiting>>,
}

/// What was read and not taken.
#[derive(Default)]
struct Waiting {
    state: Mutex<State>,
    /// Something came, or the end.
    came: Condvar,
    /// Something was taken.
    taken: Condvar,
}

/// Memory is older than the file: while the file holds anything, what comes goes there.
#[derive(Default)]
struct State {
    memory: VecDeque<u8>,
    file: Option<Backlog>,
    end: Option<io::Result<()>>,
    /// The reader is gone.
    is_left: bool,
}

/// A file that is written at its end and read from its beginning.
struct Backlog {
    file: File,
    read: u64,
    written: u64,
    /// Where files cannot be removed while they are open, it goes with this.
    _spool: Option<Spool>,
}

impl Ahead {
    /// Not ahead yet: every read is one of the stream.
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, limit: None, waiting: None }
    }

    /// The stream itself.
    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Is the stream open, and has everything that came been taken?
    pub(crate) fn is_quiet(&self) -> bool {
        self.waiting.as_ref().is_none_or(|waiting| waiting.locked().is_quiet()) && stream::is_quiet(&self.stream)
    }

    /// How long the next reads may wait; for ever with none. The error is then [`io::ErrorKind::TimedOut`] or
    /// [`io::ErrorKind::WouldBlock`].
    pub(crate) fn limit(&mut self, limit: Option<Duration>) -> io::Result<()> {
        if limit != self.limit {
            if self.waiting.is_none() {
                self.stream.set_read_timeout(limit)?;
            }
            self.limit = limit;
        }
        Ok(())
    }

    /// From now on everything is read as it comes. If no thread can be started, reads work as before.
    pub(crate) fn begin(&mut self) {
        if self.waiting.is_some() {
            return;
        }
        // The limit applies to the code that waits for the bytes; the thread has none.
        if self.limit.is_some() && self.stream.set_read_timeout(None).is_err() {
            return;
        }
        self.waiting = self.start().ok();
        if self.waiting.is_none() {
            // The limit is the stream's again. If it cannot be set, it is forgotten, so that the next one is set for sure.
            self.limit = self.limit.filter(|limit| self.stream.set_read_timeout(Some(*limit)).is_ok());
        }
    }

    /// Starts the thread.
    fn start(&self) -> io::Result<Arc<Waiting>> {
        let stream = self.stream.try_clone()?;
        let waiting = Arc::<Waiting>::default();
        let filled = Arc::clone(&waiting);
        thread::Builder::new().name("read ahead".to_owned()).spawn(move || filled.fill(stream))?;
        Ok(waiting)
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.waiting {
            Some(waiting) => waiting.take(buffer, self.limit),
            None => self.stream.read(buffer),
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        let Some(waiting) = &self.waiting else { return };
        waiting.locked().is_left = true;
        waiting.taken.notify_all();
        // The thread may be waiting for the daemon, and holds the stream open.
        stream::close(&self.stream);
    }
}

impl Waiting {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads until the end, or until the reader is gone.
    fn fill(&self, mut stream: Stream) {
        let mut buffer = vec![0; READ_BYTES];
        let end = loop {
            match stream.read(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(read) => {
                    if !self.keep(buffer.get(..read).unwrap_or_default()) {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.locked().end = Some(end);
        self.came.notify_all();
    }

    /// Keeps the bytes, and waits until there is room for them. Returns false if the reader is gone.
    fn keep(&self, bytes: &[u8]) -> bool {
        let mut state = self.locked();
        while !state.is_left {
            if state.keep(bytes) {
                drop(state);
                self.came.notify_all();
                return true;
            }
            state = self.taken.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        false
    }

    fn take(&self, buffer: &mut [u8], limit: Option<Duration>) -> io::Result<usize> {
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut state = self.locked();
        loop {
            let taken = state.take(buffer)?;
            if taken > 0 {
                drop(state);
                self.taken.notify_all();
                return Ok(taken);
            }
            match state.end.take() {
                Some(Err(error)) => {
                    state.end = Some(Ok(()));
                    return Err(error);
                }
                Some(Ok(())) => {
                    state.end = Some(Ok(()));
                    return Ok(0);
                }
                None => {
                    let Some(until) = until else {
                        state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
                        continue;
                    };
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    state = self.came.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }
}

impl State {
    /// Keeps the bytes if there is room. Returns false if too many bytes wait already, or if the file cannot be written.
    fn keep(&mut self, bytes: &[u8]) -> bool {
        if self.file.is_none() {
            if self.memory.len() + bytes.len() <= MEMORY_BYTES {
                self.memory.extend(bytes);
                return true;
            }
            // Without a file the daemon is asked to wait, as if nothing were read ahead.
            self.file = Backlog::new().ok();
        }
        self.file.as_mut().is_some_and(|file| file.append(bytes).is_ok())
    }

    fn is_quiet(&self) -> bool {
        self.memory.is_empty() && self.file.is_none() && self.end.is_none()
    }

    /// What is oldest; nothing when nothing waits.
    fn take(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.memory.is_empty() {
            return self.memory.read(buffer);
        }
        let Some(file) = &mut self.file else { return Ok(0) };
        let taken = file.take(buffer)?;
        if file.read == file.written {
            self.file = None;
        }
        Ok(taken)
    }
}

impl Backlog {
    fn new() -> io::Result<Self> {
        let spool = Spool::empty().map_err(|_| io::Error::from(io::ErrorKind::StorageFull))?;
        let file = spool.create()?;
        // Whatever becomes of this process, nothing of the answer is left behind.
        let spool = if cfg!(unix) { drop_now(spool) } else { Some(spool) };
        Ok(Self { file, read: 0, written: 0, _spool: spool })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = bytes.len() as u64;
        if self.written - self.read + length > FILE_BYTES {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.seek(SeekFrom::Start(self.written))?;
        // What was written of it when it fails is written again.
        self.file.write_all(bytes)?;
        self.written += length;
        Ok(())
    }

    fn take(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.seek(SeekFrom::Start(self.read))?;
        let most = usize::try_from(self.written - self.read).unwrap_or(usize::MAX).min(buffer.len());
        let taken = self.file.read(buffer.get_mut(..most).unwrap_or_default())?;
        self.read += taken as u64;
        Ok(taken)
    }
}

fn drop_now(spool: Spool) -> Option<Spool> {
    drop(spool);
    None
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(length: usize) -> Vec<u8> {
        (0..length).map(|place| u8::try_from(place % 251).unwrap()).collect()
    }

    #[test]
    fn a_sender_is_never_kept_waiting_and_everything_comes_in_order() {
        let (client, mut daemon) = Stream::pair().unwrap();
        let mut ahead = Ahead::new(client);
        ahead.begin();
        // Far more than a socket and the memory hold, and nobody reads any of it.
        let sent = pattern(3 * MEMORY_BYTES);
        daemon.write_all(&sent).unwrap();
        let mut half = vec![0; sent.len() / 2];
        ahead.read_exact(&mut half).unwrap();
        daemon.write_all(b"more").unwrap();
        drop(daemon);
        let mut rest = Vec::new();
        ahead.read_to_end(&mut rest).unwrap();
        assert_eq!([half, rest].concat(), [&sent, &b"more"[..]].concat());
        assert_eq!(ahead.read(&mut [0; 8]).unwrap(), 0, "the end is the end");
    }

    #[test]
    fn it_goes_back_to_memory_once_the_file_is_read() {
        let mut state = State::default();
        let piece = pattern(READ_BYTES);
        let mut buffer = vec![0; READ_BYTES];
        for _ in 0..2 {
            let mut kept = 0;
            while state.file.is_none() {
                assert!(state.keep(&piece));
                kept += piece.len();
            }
            while kept > 0 {
                kept -= state.take(&mut buffer).unwrap();
            }
            assert!(state.file.is_none() && state.memory.is_empty());
        }
    }

    #[test]
    fn a_read_waits_no_longer_than_its_limit_before_and_after_it_reads_ahead() {
        let (client, mut daemon) = Stream::pair().unwrap();
        let mut ahead = Ahead::new(client);
        ahead.limit(Some(Duration::from_millis(20))).unwrap();
        for _ in 0..2 {
            assert!(stream::is_over(&ahead.read(&mut [0; 8]).unwrap_err()));
            ahead.begin();
        }
        // The limit is over for the one who waited, and what comes later still comes.
        daemon.write_all(b"late").unwrap();
        ahead.limit(None).unwrap();
        let mut late = [0; 4];
        ahead.read_exact(&mut late).unwrap();
        assert_eq!(&late, b"late");
    }

    #[test]
    fn a_stream_that_is_dropped_is_closed_although_a_thread_reads_it() {
        let (client, mut daemon) = Stream::pair().unwrap();
        let mut ahead = Ahead::new(client);
        ahead.begin();
        drop(ahead);
        assert_eq!(daemon.read(&mut [0; 8]).unwrap(), 0);
    }
}
