//! The daemon as a process: its log, its start report, its leave from whoever started it.
//!
//! **The start report** is one line on standard output: `ready PATH` once clients can connect to PATH, or
//! `error: REASON`. A process that finds another daemon at PATH says `ready PATH` as well and ends with success: for
//! whoever started it, all is as asked. In the background nothing follows that line, and standard output is closed after
//! it, so that a starter may also read to the end.

mod emulator;
mod log;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

pub use emulator::{emulator, emulator_token};

use crate::config::{self, Config, Flags};
use crate::daemon::Daemon;
use crate::inbound::local::{self, Bound};
use crate::inbound::server;
use crate::lifetime::shutdown;
use crate::methods;
use crate::system::directory::{PrivateDirectory, private_file};
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Two: one may be busy encoding while the other answers. The work is waiting, and every thread costs memory.
const WORKER_THREADS: usize = 2;
/// How long blocking work (a file read, a database write) may hold up the end of the process.
const BLOCKING_GRACE: Duration = Duration::from_secs(2);
/// A log above this many bytes is put aside at the next start, in place of the one put aside before.
const MAX_LOG_BYTES: u64 = 4 * 1024 * 1024;

/// Any reason not to start; it is only shown.
type Reason = Box<dyn Error + Send + Sync>;

/// Runs the daemon until it ends. `background` says that another command started it and will not stay.
pub fn serve(flags: Flags, background: bool) -> ExitCode {
    // Before there is any thread.
    system::create_for_this_user_only();
    match try_serve(flags, background) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            report(&format!("error: {}", one_line(&*reason)));
            ExitCode::FAILURE
        }
    }
}

fn try_serve(mut flags: Flags, background: bool) -> Result<(), Reason> {
    let inherited = local::inherited().map_err(|error| format!("the service manager's socket: {error}"))?;
    if let Some(inherited) = &inherited {
        flags.socket = Some(inherited.path().to_owned());
    }
    let config = Config::load(flags)?;
    start_log(&config, background)?;
    server::descriptors::raise_limit();
    system::give_memory_back();
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let bound = match inherited {
            Some(inherited) => Bound::Listening(local::take(inherited)?),
            None => local::bind(&config.socket).await?,
        };
        let listener = match bound {
            Bound::Listening(listener) => listener,
            Bound::AlreadyServed => {
                tracing::info!(socket = %config.socket.display(), "another daemon already serves this socket");
                report_ready(&config.socket);
                return Ok(());
            }
        };
        let daemon = Daemon::start(config)?;
        let asked = shutdown::signals()?;
        tracing::info!(socket = %listener.path().display(), version = env!("CARGO_PKG_VERSION"), "listening");
        report_ready(listener.path());
        if background {
            leave_the_starter()?;
        }
        server::run(listener, daemon, asked).await;
        Ok(())
    });
    runtime.shutdown_timeout(BLOCKING_GRACE);
    outcome
}

/// Runs a daemon on a thread of this process for one connection, and returns the client's end of it.
pub fn embedded() -> io::Result<cupola_cli::Stream> {
    system::create_for_this_user_only();
    let (started, start) = std::sync::mpsc::sync_channel(1);
    std::thread::Builder::new().name("daemon".to_owned()).spawn(move || {
        let prepared = (|| -> Result<_, Reason> {
            let config = Config::load(Flags::default())?;
            let runtime = runtime()?;
            let (daemon, (client, stream)) =
                runtime.block_on(async { Ok::<_, Reason>((Daemon::start(config)?, local::pair().await?)) })?;
            Ok((runtime, daemon, client, stream))
        })();
        match prepared {
            Ok((runtime, daemon, client, stream)) => {
                let _ = started.send(Ok(client));
                runtime.block_on(server::serve_stream(daemon, methods::table(), stream));
            }
            Err(reason) => {
                let _ = started.send(Err(one_line(&*reason)));
            }
        }
    })?;
    start.recv().map_err(io::Error::other)?.map_err(io::Error::other)
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(WORKER_THREADS).thread_name("cupola").enable_all().build()
}

/// The log goes to the log file if there is one, and to standard error otherwise.
fn start_log(config: &Config, background: bool) -> Result<(), Reason> {
    let (writer, colours) = match log_file(config, background)? {
        Some(path) => {
            let file = open_log(&path)
                .map_err(|error| format!("the log file {} cannot be opened: {error}", path.display()))?;
            (system::log_to(file)?, false)
        }
        None => (BoxMakeWriter::new(io::stderr), io::stderr().is_terminal()),
    };
    let writer = log::OneLine::new(writer, colours);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colours);
    tracing_subscriber::registry().with(config.log.clone()).with(layer).try_init()?;
    Ok(())
}

/// In the background there is no terminal to write to, so the log is beside the state.
fn log_file(config: &Config, background: bool) -> Result<Option<PathBuf>, Reason> {
    match &config.log_file {
        Some(path) => Ok(Some(path.clone())),
        None if background => {
            let directory = PrivateDirectory::open(&config.state_directory)?;
            Ok(Some(directory.path().join("daemon.log")))
        }
        None => Ok(None),
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() > MAX_LOG_BYTES) {
        fs::rename(path, config::put_aside(path))?;
    }
    private_file().append(true).open(path)
}

fn report_ready(socket: &Path) {
    report(&format!("ready {}", socket.display()));
}

/// Whether anybody reads it is not our affair: a starter that is gone must not stop the daemon.
fn report(line: &str) {
    let mut output = io::stdout();
    let _ = writeln!(output, "{line}");
    let _ = output.flush();
}

/// An error and what caused it, for a protocol of lines.
fn one_line(error: &dyn Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Lets go of the starter's pipes: one left open would keep `cupola … | cat` waiting for as long as the daemon lives.
fn leave_the_starter() -> Result<(), Reason> {
    system::close_standard_streams()?;
    // The starter's directory could not be removed or unmounted otherwise.
    std::env::set_current_dir(std::path::MAIN_SEPARATOR_STR)?;
    Ok(())
}
