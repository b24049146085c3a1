//! A named pipe as a blocking stream.
//!
//! Windows lets one thing happen at a time on a handle that is opened for blocking use: a thread that waits for the
//! daemon's next word would keep Ctrl-C from being told. So the pipe is opened for overlapped use, which tokio knows how
//! to drive, and every read and write waits for its own end.

use std::io::{self, Read, Write};
use std::os::windows::io::{AsRawHandle, RawHandle};
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient};
use tokio::runtime::{Builder, Runtime};

/// `ERROR_PIPE_BUSY`: the daemon is there and has no instance of its pipe free at this moment.
const BUSY: i32 = 231;
/// How long it may take to make another one; it does so as soon as a client has come.
const BUSY_LIMIT: Duration = Duration::from_secs(5);
/// How often to ask.
const BUSY_POLL: Duration = Duration::from_millis(5);

/// Waits for the pipes of this process. It has no thread: the caller that waits drives it.
static RUNTIME: LazyLock<io::Result<Runtime>> = LazyLock::new(|| Builder::new_current_thread().enable_all().build());

fn runtime() -> io::Result<&'static Runtime> {
    RUNTIME.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))
}

/// A client's end of a named pipe. Clones are one pipe; it is closed with the last of them.
#[derive(Debug)]
pub struct Pipe {
    end: Arc<NamedPipeClient>,
    limits: Arc<Mutex<Limits>>,
}

/// How long a read and a write may wait, as of a socket.
#[derive(Debug, Default, Clone, Copy)]
struct Limits {
    read: Option<Duration>,
    write: Option<Duration>,
}

/// Waits for the end of a read or a write, for at most `limit`.
fn wait<T>(limit: Option<Duration>, end: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    runtime()?.block_on(async {
        match limit {
            None => end.await,
            Some(limit) => {
                tokio::time::timeout(limit, end).await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))
            }
        }
    })
}

impl Pipe {
    /// Opens the pipe of that name (`\\.\pipe\NAME`). `NotFound` when no process serves it.
    ///
    /// The server learns who the client is, and cannot act in its name: tokio asks for no more than identification.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let _entered = runtime()?.enter();
        let deadline = Instant::now() + BUSY_LIMIT;
        loop {
            match ClientOptions::new().open(path) {
                Err(error) if error.raw_os_error() == Some(BUSY) && Instant::now() < deadline => {
                    thread::sleep(BUSY_POLL);
                }
                opened => return Ok(Self { end: Arc::new(opened?), limits: Arc::default() }),
            }
        }
    }

    /// The same pipe once more, for another thread.
    #[expect(clippy::unnecessary_wraps, reason = "other systems can fail here")]
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { end: Arc::clone(&self.end), limits: Arc::clone(&self.limits) })
    }

    /// How long each read of this pipe may wait; for ever with none.
    #[expect(clippy::unnecessary_wraps, reason = "other systems can fail here")]
    pub fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner).read = limit;
        Ok(())
    }

    /// How long each write to this pipe may wait; for ever with none.
    #[expect(clippy::unnecessary_wraps, reason = "other systems can fail here")]
    pub fn set_write_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner).write = limit;
        Ok(())
    }

    fn limits(&self) -> Limits {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRawHandle for Pipe {
    fn as_raw_handle(&self) -> RawHandle {
        self.end.as_raw_handle()
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        wait(self.limits().read, async {
            loop {
                self.end.readable().await?;
                match self.end.try_read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    // The other end is closed, and all that was written to it has been read.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(0),
                    read => return read,
                }
            }
        })
    }
}

impl Write for &Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        wait(self.limits().write, async {
            loop {
                self.end.writable().await?;
                match self.end.try_write(bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    written => return written,
                }
            }
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
