//! `cupola top`: what the daemon is doing, as it happens. Never starts one.
//!
//! - `screen`: what is shown, from the daemon's status

mod screen;

use crate::exit;
use crate::failure::Failure;
use crate::line::call::{Connection, misunderstood, typed};
use crate::line::patience::Patience;
use crate::line::running::Place;
use crate::show;
use crate::terminal;
use clap::{Args, ValueEnum};
use cupola_protocol::Method;
use cupola_protocol::status::{Status, StatusParams, StatusResponse};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use screen::View;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use time::OffsetDateTime;

pub(crate) const HELP: &str = "\
Keys: p shows which partition each session belongs to, q quits. Isolation keys are never shown, because the daemon does not keep them. \
Into a pipe or a file it prints the screen once. Exits with 6 when no daemon runs.

Examples:
  cupola top
  cupola top -o json";

/// How often the screen is renewed: as often as a person looks, and not to be noticed by the daemon.
const EVERY: Duration = Duration::from_secs(1);

#[expect(clippy::doc_markdown, reason = "the comments are help texts")]
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The daemon's socket [env: CUPOLA_SOCKET] [default: $XDG_RUNTIME_DIR/cupola/v1.sock, else the state directory]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Show which partition each session belongs to
    #[arg(long)]
    partitions: bool,
    /// How to print it
    #[arg(long, short, value_name = "FORMAT", default_value = "default")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A screen that is renewed every second; into a pipe or a file, the screen once
    Default,
    /// The daemon's status once, with its details
    Json,
}

impl Flags {
    /// Do programs read the output?
    pub(crate) fn is_json(&self) -> bool {
        self.output == Output::Json
    }
}

/// Shows it until the person has seen enough.
pub(crate) fn run(flags: &Flags) -> Result<u8, Failure> {
    let place = Place::new(flags.socket.as_deref())?;
    let params = || StatusParams { details: true };
    let raw = place.asked::<Status>(params)?.ok_or_else(|| {
        Failure::daemon_hint(
            format!("no daemon is running at {}", place.path.display()),
            "the next `cupola invoke` starts one",
        )
    })?;
    if flags.is_json() {
        show::print_json(&raw)?;
        return Ok(exit::OK);
    }
    let status = typed::<Status>(&raw)?;
    if !terminal::stdout_is_terminal() {
        show::print(&View::of(&status, flags.partitions, OffsetDateTime::now_utc()).text())?;
        return Ok(exit::OK);
    }
    watch(flags, status, || {
        let patience = Patience::for_first_word();
        let Some((stream, _)) = place.settled(&patience)? else {
            return Err(Failure::daemon_hint("the daemon has stopped", "the next `cupola invoke` starts one"));
        };
        let answer = Connection::new(stream).call_at_once::<Status>(params(), &patience);
        let raw = answer.map_err(crate::line::call::Unbegun::failure)?;
        serde_json::from_str(raw.get()).map_err(|error| misunderstood(Status::NAME, &error))
    })?;
    Ok(exit::OK)
}

/// Shows the status, and asks for it again in time. The terminal is as it was before, however this ends.
fn watch(
    flags: &Flags,
    mut status: StatusResponse,
    ask: impl Fn() -> Result<StatusResponse, Failure>,
) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::Output(error);
    let mut screen = ratatui::try_init().map_err(failed)?;
    let mut shows_partitions = flags.partitions;
    let outcome = (|| {
        loop {
            draw(&mut screen, &status, shows_partitions).map_err(failed)?;
            match key_within(EVERY).map_err(failed)? {
                Key::Quit => return Ok(()),
                Key::Partitions => shows_partitions = !shows_partitions,
                Key::Other => {}
                Key::None => status = ask()?,
            }
        }
    })();
    ratatui::restore();
    outcome
}

fn draw(screen: &mut DefaultTerminal, status: &StatusResponse, shows_partitions: bool) -> io::Result<()> {
    let view = View::of(status, shows_partitions, OffsetDateTime::now_utc());
    screen.draw(|frame| view.draw(frame))?;
    Ok(())
}

/// What the person pressed.
enum Key {
    Quit,
    Partitions,
    Other,
    None,
}

/// Waits for a key. A change of the screen's size counts as one, so that it is drawn again.
fn key_within(limit: Duration) -> io::Result<Key> {
    let until = Instant::now() + limit;
    while event::poll(until.saturating_duration_since(Instant::now()))? {
        match event::read()? {
            Event::Key(KeyEvent { kind: KeyEventKind::Press, code, modifiers, .. }) => {
                return Ok(match code {
                    KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Key::Quit,
                    KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
                    KeyCode::Char('p') => Key::Partitions,
                    _ => Key::Other,
                });
            }
            Event::Resize(..) => return Ok(Key::Other),
            _ => {}
        }
    }
    Ok(Key::None)
}
