//! `cupola files upload|download|list|stat|mkdir|delete`, with the flags and the output of `azd ai agent files`.

use crate::Hooks;
use crate::call::{CALL, Event, Greeting, encode, misunderstood};
use crate::debug;
use crate::exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::scope::ScopeFlags;
use crate::table::{self, Output};
use crate::target::parse;
use clap::{Args, Subcommand};
use cupola_protocol::Method;
use cupola_protocol::files::{
    Delete, DeleteParams, Download, DownloadParams, Entry, FileEvent, List, ListParams, ListResponse, LocalPath,
    MakeDirectory, PathParams, RemotePath, Stat, TransferResponse, Upload, UploadParams,
};
use cupola_protocol::rpc::ProgressToken;
use cupola_protocol::sessions::SessionParams;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::{Component, Path, PathBuf};

pub(crate) const HELP: &str = "\
Paths in the session are relative to its home; a leading slash means the home, too. The session is the one the next invoke
with the same agent and the same isolation would continue.

Examples:
  cupola files upload ./seed.json --emulator --user-isolation-key tenant-acme
  cupola files upload ./input.csv --target-path /data/input.csv
  cupola files ls /data -o table
  cupola files download /data/output.csv -t ./output.csv
  cupola files rm /data --recursive";

#[derive(Debug, Args)]
pub(crate) struct Flags {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Copy a local file into the session, at most 50 MB
    Upload {
        /// The local file, and before it the agent unless --agent-name is given
        #[arg(value_name = "[AGENT] FILE", num_args = 0..=2, required_unless_present = "file_flag")]
        words: Vec<OsString>,
        /// The local file
        #[arg(id = "file_flag", long = "file", short = 'f', value_name = "FILE")]
        file_flag: Option<PathBuf>,
        /// Where to put it; its own name in the home when left out
        #[arg(long, short = 't', value_name = "PATH")]
        target_path: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Copy a file of the session to a local one
    Download {
        /// The file in the session
        #[arg(value_name = "PATH", required_unless_present = "file_flag", conflicts_with = "file_flag")]
        file: Option<String>,
        /// The same
        #[arg(id = "file_flag", long = "file", short = 'f', value_name = "PATH")]
        file_flag: Option<String>,
        /// The local file to write; the file's name in the current directory when left out
        #[arg(long, short = 't', value_name = "FILE")]
        target_path: Option<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
    /// List a directory of the session
    #[command(visible_alias = "ls")]
    List {
        /// The directory; the home when left out
        #[arg(value_name = "PATH")]
        path: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Show a file or directory of the session
    Stat {
        /// The file or directory
        #[arg(value_name = "PATH")]
        path: String,
        #[command(flatten)]
        common: Common,
    },
    /// Make a directory and those above it
    Mkdir {
        /// The directory
        #[arg(value_name = "PATH", required_unless_present = "dir_flag", conflicts_with = "dir_flag")]
        path: Option<String>,
        /// The same
        #[arg(id = "dir_flag", long = "dir", short = 'd', value_name = "PATH")]
        dir_flag: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Delete a file or directory
    #[command(visible_aliases = ["rm", "remove"])]
    Delete {
        /// The file or directory
        #[arg(value_name = "PATH", required_unless_present = "file_flag", conflicts_with = "file_flag")]
        path: Option<String>,
        /// The same
        #[arg(id = "file_flag", long = "file", short = 'f', value_name = "PATH")]
        file_flag: Option<String>,
        /// A directory with all that is in it
        #[arg(long)]
        recursive: bool,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
struct Common {
    /// The session; the one that would be continued when left out
    #[arg(long, short = 's', value_name = "ID")]
    session_id: Option<String>,
    /// Touch a session that Cupola knows as another user's
    #[arg(long)]
    allow_shared_session: bool,
    /// How to print it: `list` and `stat` print JSON when left out, the others a sentence
    #[arg(long, short, value_name = "FORMAT")]
    output: Option<Output>,
    #[command(flatten)]
    scope: ScopeFlags,
}

impl Flags {
    /// Do programs read the output? Only when it was asked for: then failures are JSON, too.
    pub(crate) fn is_json(&self) -> bool {
        self.action.common().output == Some(Output::Json)
    }

    /// Which agent and whose state.
    pub(crate) fn scope_mut(&mut self) -> &mut ScopeFlags {
        match &mut self.action {
            Action::Upload { common, .. }
            | Action::Download { common, .. }
            | Action::List { common, .. }
            | Action::Stat { common, .. }
            | Action::Mkdir { common, .. }
            | Action::Delete { common, .. } => &mut common.scope,
        }
    }
}

impl Action {
    /// The local file to upload and the agent named without a flag, read as `invoke` reads its message and its agent.
    fn agent_and_file(&self) -> Result<(Option<&str>, &Path), Failure> {
        let Self::Upload { words, file_flag, .. } = self else { return Ok((None, Path::new(""))) };
        match (words.as_slice(), file_flag) {
            ([file], None) => Ok((None, Path::new(file))),
            ([agent, file], None) => Ok((Some(text(agent)?), Path::new(file))),
            ([], Some(file)) => Ok((None, file)),
            ([agent], Some(file)) => Ok((Some(text(agent)?), file)),
            _ => Err(Failure::usage("the file is given twice: as an argument and with --file")),
        }
    }

    fn common(&self) -> &Common {
        match self {
            Self::Upload { common, .. }
            | Self::Download { common, .. }
            | Self::List { common, .. }
            | Self::Stat { common, .. }
            | Self::Mkdir { common, .. }
            | Self::Delete { common, .. } => common,
        }
    }
}

impl Common {
    /// `agent` is the one named without a flag.
    fn session(&self, agent: Option<&str>) -> Result<SessionParams, Failure> {
        let (target, isolation) = self.scope.resolve(agent)?;
        let session_id = self.session_id.as_deref().map(|id| parse("--session-id", id)).transpose()?;
        let (allow_shared_session, watch) = (self.allow_shared_session, self.scope.watch());
        Ok(SessionParams { target, isolation, session_id, allow_shared_session, watch })
    }

    /// One call that moves bytes: it can be cancelled, and says on a terminal how far it is.
    fn transfer<M: Method>(&self, hooks: Hooks, params: M::Params) -> Result<Box<RawValue>, Failure> {
        let call = encode::<M>(params, Greeting::None)?;
        let mut connection = self.scope.daemon.ask(hooks, &call, |stream| interrupt::cancels(stream, CALL))?;
        let mut progress = Progress { out: io::stderr(), is_wanted: io::stderr().is_terminal(), shown: false };
        let received = connection.receive(|event| {
            if !progress.show(&event) {
                progress.clear();
                debug::show(event.value, &mut io::stderr());
            }
            Ok(())
        });
        progress.clear();
        received
    }

    fn print(&self, raw: &RawValue, sentence: &str) -> Result<(), Failure> {
        if self.output == Some(Output::Json) {
            return super::print(&super::indented(raw));
        }
        super::print(&format!("{sentence}\n"))
    }

    fn print_entries(
        &self,
        raw: &RawValue,
        entries: impl FnOnce() -> Result<Vec<Entry>, Failure>,
    ) -> Result<(), Failure> {
        if self.output == Some(Output::Table) {
            return super::print(&table::files(&entries()?));
        }
        super::print(&super::indented(raw))
    }
}

/// A line that replaces itself.
struct Progress<Out> {
    out: Out,
    is_wanted: bool,
    shown: bool,
}

impl<Out: Write> Progress<Out> {
    /// Is the event one of these?
    fn show(&mut self, event: &Event<'_>) -> bool {
        let Ok(FileEvent::Progress { bytes, total_bytes }) = serde_json::from_str(event.value.get()) else {
            return false;
        };
        if self.is_wanted && !event.more {
            let total = total_bytes.map(|total| format!(" of {}", megabytes(total))).unwrap_or_default();
            // Nobody is hurt if it cannot be shown.
            let _ = write!(self.out, "\r\x1b[K{}{total} MB", megabytes(bytes));
            let _ = self.out.flush();
            self.shown = true;
        }
        true
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(self.out, "\r\x1b[K");
            let _ = self.out.flush();
        }
    }
}

/// With one decimal place.
fn megabytes(bytes: u64) -> String {
    let tenths = bytes * 10 / (1024 * 1024);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Runs one of the actions.
pub(crate) fn run(flags: &Flags, hooks: Hooks) -> Result<u8, Failure> {
    let common = flags.action.common();
    let (agent, file) = flags.action.agent_and_file()?;
    let mut session = common.session(agent)?;
    match &flags.action {
        Action::Upload { target_path, .. } => {
            session.watch.partial_result_token = asks_for_events(common);
            let path = target_path.as_deref().map(|path| parse("--target-path", path)).transpose()?;
            let params = UploadParams { session, local_path: local(file)?, path };
            let raw = common.transfer::<Upload>(hooks, params)?;
            let done: TransferResponse = typed(Upload::NAME, &raw)?;
            common.print(&raw, &format!("Uploaded {} -> {}", file.display(), done.path))?;
        }
        Action::Download { file, file_flag, target_path, .. } => {
            session.watch.partial_result_token = asks_for_events(common);
            let path = either("PATH", file.as_deref(), file_flag.as_deref())?;
            let target = target_path.as_deref().map_or_else(|| own_name(&path), |path| Ok(path.to_owned()))?;
            let named = path.clone();
            let params = DownloadParams { session, path, local_path: local(&target)? };
            let raw = common.transfer::<Download>(hooks, params)?;
            common.print(&raw, &format!("Downloaded {named} -> {}", target.display()))?;
        }
        Action::List { path, .. } => {
            let path = path.as_deref().map(|path| parse("PATH", path)).transpose()?;
            let raw = common.scope.call::<List>(hooks, ListParams { session, path })?;
            common.print_entries(&raw, || Ok(typed::<ListResponse>(List::NAME, &raw)?.entries))?;
        }
        Action::Stat { path, .. } => {
            let path = parse("PATH", path)?;
            let raw = common.scope.call::<Stat>(hooks, PathParams { session, path })?;
            common.print_entries(&raw, || Ok(vec![typed(Stat::NAME, &raw)?]))?;
        }
        Action::Mkdir { path, dir_flag, .. } => {
            let path = either("PATH", path.as_deref(), dir_flag.as_deref())?;
            let made = format!("Created {path}");
            let raw = common.scope.call::<MakeDirectory>(hooks, PathParams { session, path })?;
            common.print(&raw, &made)?;
        }
        Action::Delete { path, file_flag, recursive, .. } => {
            let path = either("PATH", path.as_deref(), file_flag.as_deref())?;
            let removed = format!("Removed {path}");
            let params = DeleteParams { session, path, recursive: *recursive };
            let raw = common.scope.call::<Delete>(hooks, params)?;
            common.print(&raw, &removed)?;
        }
    }
    // Whoever pressed Ctrl-C wanted the script around this to know, even if all was done by then.
    Ok(if interrupt::happened() { exit::CANCELLED } else { exit::OK })
}

/// Progress is for whoever looks at it.
fn asks_for_events(common: &Common) -> Option<ProgressToken> {
    (common.scope.debug || io::stderr().is_terminal()).then_some(CALL)
}

fn text(word: &OsString) -> Result<&str, Failure> {
    word.to_str().ok_or_else(|| Failure::usage("the agent's name is not valid UTF-8"))
}

/// The path given as an argument or by its flag; one of them is required.
fn either(name: &str, word: Option<&str>, flag: Option<&str>) -> Result<RemotePath, Failure> {
    parse(name, word.or(flag).unwrap_or_default())
}

/// A local path as the daemon, which has another working directory, finds it.
fn local(path: &Path) -> Result<LocalPath, Failure> {
    let shown = path.display();
    let absolute =
        std::path::absolute(path).map_err(|error| Failure::usage(format!("cannot use {shown} as a file: {error}")))?;
    let text = absolute.to_str().ok_or_else(|| Failure::usage(format!("{shown} is not valid UTF-8")))?;
    parse("FILE", text)
}

/// The local name of a file in the session when none is given: its own name, provided that it is one here, too.
fn own_name(path: &RemotePath) -> Result<PathBuf, Failure> {
    let name = Path::new(path.name().unwrap_or_default());
    let mut parts = name.components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(part)), None) if part == name => Ok(name.to_owned()),
        _ => {
            Err(Failure::usage_hint(format!("{path} is no name for a local file"), "name one with --target-path FILE"))
        }
    }
}

fn typed<Answer: DeserializeOwned>(method: &str, raw: &RawValue) -> Result<Answer, Failure> {
    serde_json::from_str(raw.get()).map_err(|error| misunderstood(method, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_is_named_after_what_was_asked_for_and_never_leaves_the_directory() {
        for (path, name) in [("/data/out.csv", "out.csv"), ("a", "a"), ("data/", "data")] {
            assert_eq!(own_name(&path.parse().unwrap()).unwrap(), Path::new(name));
        }
        for path in ["/", ".", "..", "data/.."] {
            assert!(own_name(&path.parse().unwrap()).is_err(), "{path}");
        }
    }

    #[test]
    fn progress_is_one_line_that_is_gone_at_the_end() {
        let mut progress = Progress { out: Vec::new(), is_wanted: true, shown: false };
        for (value, more) in [
            (r#"{"type":"progress","bytes":0}"#, false),
            (r#"{"type":"progress","bytes":1,"totalBytes":52428800}"#, true),
            (r#"{"type":"progress","bytes":13107200,"totalBytes":52428800}"#, false),
            (r#"{"type":"newer"}"#, false),
        ] {
            let value: &RawValue = serde_json::from_str(value).unwrap();
            progress.show(&Event { value, more });
        }
        progress.clear();
        progress.clear();
        assert_eq!(String::from_utf8(progress.out).unwrap(), "\r\x1b[K0.0 MB\r\x1b[K12.5 of 50.0 MB\r\x1b[K");
    }
}
