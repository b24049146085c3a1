//! The daemon as a process: its log, its start report, how it detaches from the process that started it.
//!
//! **The start report** is one line on standard output: `ready PATH` once clients can connect to PATH, or
//! `error: REASON`. A process in the background that finds another daemon at PATH, or one with the same state directory at another
//! PATH, says `ready PATH` as well and ends with success: the starter has what it asked for. In the foreground it is an error:
//! somebody wanted to see this daemon run. In the background nothing follows that line, and standard output is closed after it, so
//! that a starter may also read to the end.
//!
//! - `program`: what the command line starts, and its options
//! - [`mod@gateway`]: the gateway as a process; `line`: the line of a command to a gateway
//! - [`log`]: what is written to the log; the log file is `log/bounded`
//! - [`mod@emulator`]: the separate emulator as a process; [`mod@conformance`]: the checklist as a process; `recording`: calls that are
//!   added to a recording

mod conformance;
mod emulator;
mod gateway;
mod line;
mod log;
mod program;
mod recording;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

pub use conformance::conformance;
pub use emulator::{emulator, emulator_token};
pub use gateway::{GatewayFlags, gateway};
pub use program::run;
pub use recording::record;

use crate::config::{Config, ConfigError, Flags};
use crate::daemon::{Daemon, StartError};
use crate::inbound::local::{self, Bound, Inherited, LocalListener, Ownership};
use crate::inbound::server;
use crate::lifetime::shutdown;
use crate::methods;
use cupola_cli::exit;
use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// Two: one may be busy encoding while the other answers. The work is waiting, and every thread costs memory.
const WORKER_THREADS: usize = 2;
/// How long blocking work (a file read, a database write) may hold up the end of the process.
const BLOCKING_GRACE: Duration = Duration::from_secs(2);

/// Any reason not to start; it is only shown.
type Reason = Box<dyn Error + Send + Sync>;

/// Runs the daemon until it ends. `background` says that another command started it and will not stay.
pub fn serve(flags: Flags, background: bool) -> ExitCode {
    // Before there is any thread.
    system::create_for_this_user_only();
    let names_directory = flags.state_directory.is_some();
    match try_serve(flags, background) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            report(&format!("error: {}", one_line(&*reason)));
            let is_usage = is_flags_fault(&*reason, names_directory);
            ExitCode::from(if is_usage { exit::USAGE } else { exit::DAEMON })
        }
    }
}

/// Is the command line at fault? `names_directory`: it names the state directory.
fn is_flags_fault(reason: &(dyn Error + Send + Sync + 'static), names_directory: bool) -> bool {
    let is_directory = matches!(reason.downcast_ref::<StartError>(), Some(StartError::StateDirectory(_)));
    reason.downcast_ref::<ConfigError>().is_some_and(ConfigError::is_flag) || (names_directory && is_directory)
}

fn try_serve(mut flags: Flags, background: bool) -> Result<(), Reason> {
    let inherited = local::inherited().map_err(|error| format!("the service manager's socket: {error}"))?;
    if let Some(inherited) = &inherited {
        flags.socket = Some(inherited.path().to_owned());
    }
    let mut config = Config::load(flags)?;
    log::start(&mut config, background)?;
    server::descriptors::raise_limit();
    system::give_memory_back();
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let listener = match listener(inherited, &config).await? {
            Found::Ours(listener) => listener,
            Found::Another(socket) => return Ok(Some(socket)),
        };
        let daemon = Daemon::start(config)?;
        daemon.can_hand_over.store(!listener.is_inherited(), Ordering::Relaxed);
        methods::take_up(&daemon).await;
        let asked = shutdown::signals()?;
        tracing::info!(socket = %listener.path().display(), version = cupola_cli::version(), "listening");
        report_ready(listener.path());
        if background {
            leave_the_starter()?;
        }
        server::run(*listener, daemon, asked).await;
        Ok::<_, Reason>(None)
    });
    runtime.shutdown_timeout(BLOCKING_GRACE);
    match outcome? {
        None => Ok(()),
        Some(socket) if background => {
            tracing::info!(socket = %socket.display(), "another daemon serves already");
            report_ready(&socket);
            Ok(())
        }
        Some(socket) => Err(cupola_cli::already_served(&socket).into()),
    }
}

/// What came of the attempt to become the daemon.
enum Found {
    /// It is this process.
    Ours(Box<LocalListener>),
    /// It is another one, which listens there.
    Another(PathBuf),
}

/// First the state directory, then the socket: of two daemons with one state directory only one gets as far as a socket.
async fn listener(inherited: Option<Inherited>, config: &Config) -> Result<Found, Reason> {
    let is_inherited = inherited.is_some();
    let state = match local::own(&config.state_directory, &config.socket).await? {
        Ownership::Ours(lock) => Some(lock),
        Ownership::Unknown => None,
        // The service manager's socket has clients already, which no other daemon would serve.
        Ownership::Theirs(socket) if is_inherited => return Err(cupola_cli::already_served(&socket).into()),
        Ownership::Theirs(socket) => return Ok(Found::Another(socket)),
    };
    let bound = match inherited {
        Some(inherited) => Bound::Listening(Box::new(local::take(inherited)?)),
        None => local::bind(&config.socket).await?,
    };
    Ok(match bound {
        Bound::Listening(mut listener) => {
            if let Some(lock) = state {
                listener.hold(lock);
            }
            Found::Ours(listener)
        }
        Bound::AlreadyServed => Found::Another(config.socket.clone()),
    })
}

/// Runs a daemon on a thread of this process for one connection, or opens a line to a gateway, and returns the client's end of it.
pub fn embedded(gateway: Option<&str>) -> io::Result<cupola_cli::Stream> {
    if let Some(name) = gateway {
        return line::open(name);
    }
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

/// The daemon runs all tasks on one thread. A call passes through several tasks (connection, upstream connection, run), and none of them
/// has to wake another thread. Files and saved state have their own threads.
fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// The gateway and the separate emulator use two threads: they encrypt for many callers at once.
fn runtime_of_many() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(WORKER_THREADS).thread_name("cupola").enable_all().build()
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
