//! A process that sends back what it gets on a Unix socket: the least an RPC round trip between processes can cost.

use super::bed::Process;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What travels in a round trip: the method that is answered from static data. The daemon answers, the echo repeats.
const CALL: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{}}\n";

/// The echoing process's whole life: one connection.
pub(crate) fn serve(socket: &Path) -> ExitCode {
    let served = UnixListener::bind(socket).and_then(|listener| {
        println!("ready");
        let (mut stream, _) = listener.accept()?;
        let mut buffer = [0; 16 * 1024];
        loop {
            let read = stream.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            stream.write_all(buffer.get(..read).unwrap_or_default())?;
        }
    });
    if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The echoing process, from outside.
pub(super) struct Echo {
    socket: PathBuf,
    _process: Process,
}

impl Echo {
    /// Starts this program again as the echo.
    pub(super) fn start(directory: &Path) -> Result<Self, String> {
        let socket = directory.join("echo.sock");
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.arg("echo").arg(&socket);
        let (process, _) = Process::start("the socket echo", command)?;
        Ok(Self { socket, _process: process })
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }
}

/// An open connection to either.
pub(super) struct Peer {
    reader: BufReader<UnixStream>,
    answer: Vec<u8>,
}

impl Peer {
    pub(super) fn connect(socket: &Path) -> Result<Self, String> {
        let stream = UnixStream::connect(socket).map_err(|error| format!("{}: {error}", socket.display()))?;
        Ok(Self { reader: BufReader::new(stream), answer: Vec::new() })
    }

    /// One line out, one line back.
    pub(super) fn round_trip(&mut self) -> Result<(), String> {
        self.answer.clear();
        self.reader.get_mut().write_all(CALL).map_err(|error| error.to_string())?;
        self.reader.read_until(b'\n', &mut self.answer).map_err(|error| error.to_string())?;
        if self.answer.ends_with(b"\n") { Ok(()) } else { Err("the round trip got no answer".to_owned()) }
    }
}
