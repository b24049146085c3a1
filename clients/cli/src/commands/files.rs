//! `cupola files upload|download|list|stat|mkdir|delete`, with the flags and the output of `azd ai agent files`.
//!
//! - `transfer`: `upload` and `download`

mod transfer;

use crate::exit;
use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::line::call::typed;
use crate::scope::ScopeFlags;
use crate::scope::target::parse;
use crate::show;
use crate::show::table::{self, Output};
use clap::{Args, Subcommand};
use cupola_protocol::files::{
    Delete, DeleteParams, Entry, List, ListParams, MakeDirectory, PathParams, RemotePath, Stat,
};
use cupola_protocol::sessions::SessionParams;
use serde_json::value::RawValue;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub(crate) const HELP: &str = "\
Paths in the session are relative to its home directory, with or without a leading slash. The session is the one that the next \
invoke with the same agent and isolation would continue.

Examples:
  cupola files upload ./seed.json --emulator --user-isolation-key tenant-acme
  cupola files upload ./input.csv --target-path /data/input.csv
  cupola files ls /data -o table
  cupola files download /data/output.csv -t ./output.csv
  cupola files upload ./data --recursive --target-path /data
  tar cz . | cupola files upload - --target-path work.tgz
  cupola files download /data/log.txt -t - | grep error
  cupola files rm /data --recursive";

#[derive(Debug, Args)]
pub(crate) struct Flags {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Upload a local file of at most 50 MB, or a directory with --recursive
    Upload {
        /// The local file, preceded by the agent unless --agent-name is given
        #[arg(value_name = "[AGENT] FILE", num_args = 0..=2, required_unless_present = "file_flag")]
        words: Vec<OsString>,
        /// The local file; - reads standard input and requires --target-path
        #[arg(id = "file_flag", long = "file", short = 'f', value_name = "FILE")]
        file_flag: Option<PathBuf>,
        /// The target path; a path that ends in a slash is a directory. Defaults to the file's name in the home directory
        #[arg(long, short = 't', value_name = "PATH")]
        target_path: Option<String>,
        /// Upload a directory and everything in it, file by file; skip links that lead outside it
        #[arg(long, short)]
        recursive: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Download a file, or a directory with --recursive
    Download {
        /// The file in the session
        #[arg(value_name = "PATH", required_unless_present = "file_flag", conflicts_with = "file_flag")]
        file: Option<String>,
        /// The same as PATH
        #[arg(id = "file_flag", long = "file", short = 'f', value_name = "PATH")]
        file_flag: Option<String>,
        /// The local file to write; - writes standard output. Defaults to the file's name in the current directory
        #[arg(long, short = 't', value_name = "FILE")]
        target_path: Option<PathBuf>,
        /// Download a directory and everything in it; the local directory may already exist
        #[arg(long, short)]
        recursive: bool,
        #[command(flatten)]
        common: Common,
    },
    /// List a directory in the session
    #[command(visible_alias = "ls")]
    List {
        /// The directory; the home directory if omitted
        #[arg(value_name = "PATH")]
        path: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Show details of a file or directory
    Stat {
        /// The file or directory
        #[arg(value_name = "PATH")]
        path: String,
        #[command(flatten)]
        common: Common,
    },
    /// Create a directory and its parents
    Mkdir {
        /// The directory
        #[arg(value_name = "PATH", required_unless_present = "dir_flag", conflicts_with = "dir_flag")]
        path: Option<String>,
        /// The same as PATH
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
        /// The same as PATH
        #[arg(id = "file_flag", long = "file", short = 'f', value_name = "PATH")]
        file_flag: Option<String>,
        /// Delete a directory and everything in it
        #[arg(long, short)]
        recursive: bool,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
struct Common {
    /// The session; the one the next call would continue if omitted
    #[arg(long, short = 's', value_name = "ID")]
    session_id: Option<String>,
    /// Allow using a session that Cupola knows belongs to another user
    #[arg(long)]
    allow_shared_session: bool,
    /// Output format; if omitted, `list` and `stat` print a table on a terminal and JSON elsewhere, and the others a sentence
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
        &mut self.common_mut().scope
    }

    /// Columns where nothing else was asked for: a person reads this.
    pub(crate) fn prefer_table(&mut self) {
        self.common_mut().output.get_or_insert(Output::Table);
    }

    fn common_mut(&mut self) -> &mut Common {
        match &mut self.action {
            Action::Upload { common, .. }
            | Action::Download { common, .. }
            | Action::List { common, .. }
            | Action::Stat { common, .. }
            | Action::Mkdir { common, .. }
            | Action::Delete { common, .. } => common,
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
            _ => Err(Failure::usage("the file was given twice: as an argument and with --file")),
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
        let (allow_shared_session, progress) = (self.allow_shared_session, self.scope.progress());
        Ok(SessionParams { target, isolation, session_id, allow_shared_session, progress })
    }

    fn print(&self, raw: &RawValue, sentence: &str) -> Result<(), Failure> {
        if self.output == Some(Output::Json) {
            return show::print_json(raw);
        }
        show::print(&format!("{sentence}\n"))
    }

    fn print_entries(
        &self,
        raw: &RawValue,
        entries: impl FnOnce() -> Result<Vec<Entry>, Failure>,
    ) -> Result<(), Failure> {
        if self.output.unwrap_or_else(Output::usual) == Output::Table {
            return show::print(&table::files(&entries()?));
        }
        show::print_json(raw)
    }
}

/// Runs one of the actions.
pub(crate) fn run(flags: &Flags, hooks: Hooks) -> Result<u8, Failure> {
    let common = flags.action.common();
    let (agent, file) = flags.action.agent_and_file()?;
    let session = common.session(agent)?;
    match &flags.action {
        Action::Upload { target_path, recursive, .. } => {
            let target = target_path.as_deref().map(|path| parse("--target-path", path)).transpose()?;
            return transfer::upload(common, hooks, session, file, target, *recursive);
        }
        Action::Download { file, file_flag, target_path, recursive, .. } => {
            let path = either("PATH", file.as_deref(), file_flag.as_deref())?;
            return transfer::download(common, hooks, session, path, target_path.as_deref(), *recursive);
        }
        Action::List { path, .. } => {
            let path = path.as_deref().map(|path| parse("PATH", path)).transpose()?;
            let raw = common.scope.call::<List>(hooks, ListParams { session, path })?;
            let mut has_more = false;
            common.print_entries(&raw, || {
                let list = typed::<List>(&raw)?;
                has_more = list.has_more;
                Ok(list.entries)
            })?;
            if has_more {
                super::warn_of_more("directory");
            }
        }
        Action::Stat { path, .. } => {
            let path = parse("PATH", path)?;
            let raw = common.scope.call::<Stat>(hooks, PathParams { session, path })?;
            common.print_entries(&raw, || Ok(vec![typed::<Stat>(&raw)?]))?;
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
    Ok(exit::OK)
}

fn text(word: &OsString) -> Result<&str, Failure> {
    word.to_str().ok_or_else(|| Failure::usage("the agent's name is not valid UTF-8"))
}

/// The path given as an argument or by its flag; one of them is required.
fn either(name: &str, word: Option<&str>, flag: Option<&str>) -> Result<RemotePath, Failure> {
    parse(name, word.or(flag).unwrap_or_default())
}
