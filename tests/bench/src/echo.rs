//! Processes that answer each request at once with as many bytes as the daemon would: the least that a round trip between processes can
//! cost. One is a blocking loop. The other is tokio's, with a task per connection, as a daemon for many callers has to be.

use crate::process::Process;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// More than a request of the round trips has, so that each comes with one read.
const BUFFER: usize = 16 * 1024;

/// Which of the two.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Blocking,
    Tokio,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Blocking => "blocking",
            Self::Tokio => "tokio",
        }
    }
}

/// The echoing process's whole life: `KIND SOCKET FILE`, where the file has the answer.
pub(crate) fn serve(options: &[&str]) -> ExitCode {
    let [kind, socket, answer] = options else { return ExitCode::from(2) };
    let Ok(answer) = std::fs::read(answer) else { return ExitCode::from(2) };
    let served = match *kind {
        "tokio" => tokio_echo(Path::new(socket), answer),
        _ => blocking_echo(Path::new(socket), &answer),
    };
    if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn blocking_echo(socket: &Path, answer: &[u8]) -> std::io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    println!("ready");
    let (mut stream, _) = listener.accept()?;
    let mut buffer = [0; BUFFER];
    while stream.read(&mut buffer)? > 0 {
        stream.write_all(answer)?;
    }
    Ok(())
}

fn tokio_echo(socket: &Path, answer: Vec<u8>) -> std::io::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async move {
        let listener = tokio::net::UnixListener::bind(socket)?;
        println!("ready");
        let (mut stream, _) = listener.accept().await?;
        // A task of its own, as for every connection of a server.
        tokio::spawn(async move {
            let mut buffer = vec![0; BUFFER];
            while stream.read(&mut buffer).await? > 0 {
                stream.write_all(&answer).await?;
            }
            std::io::Result::Ok(())
        })
        .await?
    })
}

/// The echoing process, from outside.
pub(crate) struct Echo {
    stream: UnixStream,
    answer: Vec<u8>,
    _process: Process,
}

impl Echo {
    /// Starts this program again as the echo, and connects to it.
    pub(crate) fn start(directory: &Path, kind: Kind, answer: &[u8]) -> Result<Self, String> {
        let place = |end: &str| -> PathBuf { directory.join(format!("{}-{}.{end}", kind.word(), answer.len())) };
        let (socket, file) = (place("sock"), place("answer"));
        let failed = |error: std::io::Error| error.to_string();
        std::fs::write(&file, answer).map_err(failed)?;
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(["echo", kind.word()]).args([&socket, &file]);
        let (process, _) = Process::start("the echo", command)?;
        let stream = UnixStream::connect(&socket).map_err(failed)?;
        Ok(Self { stream, answer: vec![0; answer.len()], _process: process })
    }

    /// Out and back.
    pub(crate) fn round_trip(&mut self, request: &[u8]) -> Result<(), String> {
        self.stream.write_all(request).map_err(|error| error.to_string())?;
        self.stream.read_exact(&mut self.answer).map_err(|error| error.to_string())
    }
}
