//! `files upload` and `files download`: moves bytes, also from standard input and to standard output (`-`), and says how far it is and
//! what came of a directory.

use super::Common;
use crate::exit;
use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::line::call::{CALL, Event, encode, typed};
use crate::line::interrupt;
use crate::scope::target::parse;
use crate::show::debug;
use crate::show::table::Output;
use crate::spool::Spool;
use crate::terminal;
use cupola_protocol::Method;
use cupola_protocol::files::{
    Download, DownloadParams, FileEvent, LocalPath, RemotePath, TransferResponse, Tree, Upload, UploadParams,
};
use cupola_protocol::rpc::ProgressToken;
use cupola_protocol::sessions::SessionParams;
use serde_json::value::RawValue;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

/// Standard input or output in place of a file.
const STANDARD: &str = "-";

/// Copies a local file, a directory or standard input into the session.
pub(super) fn upload(
    common: &Common,
    hooks: Hooks,
    mut session: SessionParams,
    file: &Path,
    path: Option<RemotePath>,
    recursive: bool,
) -> Result<u8, Failure> {
    let path = match path {
        Some(path) if !recursive && path.as_str().ends_with('/') => inside(&path, file)?,
        path => path,
    };
    let spool = match &path {
        _ if file != Path::new(STANDARD) => None,
        None => {
            return Err(Failure::usage_hint(
                "standard input has no name to upload it by",
                "name the file in the session with --target-path PATH",
            ));
        }
        Some(_) => Some(Spool::of_standard_input()?),
    };
    let local_path = local(spool.as_ref().map_or(file, Spool::path))?;
    session.progress.partial_result_token = common.asks_for_events();
    let raw = common.transfer::<Upload>(hooks, UploadParams { session, local_path, path, recursive })?;
    let done = typed::<Upload>(&raw)?;
    common.end(&raw, &done, &format!("Uploaded {} -> {}", file.display(), done.path))
}

/// The file by its own name in a directory of the session; nothing for standard input, which has none.
fn inside(directory: &RemotePath, file: &Path) -> Result<Option<RemotePath>, Failure> {
    let name = file.file_name().filter(|_| file != Path::new(STANDARD));
    let Some(name) = name.and_then(|name| name.to_str()) else { return Ok(None) };
    parse("--target-path", &format!("{directory}{name}")).map(Some)
}

/// Copies a file or directory of the session to a local one, or a file to standard output.
pub(super) fn download(
    common: &Common,
    hooks: Hooks,
    mut session: SessionParams,
    path: RemotePath,
    target: Option<&Path>,
    recursive: bool,
) -> Result<u8, Failure> {
    session.progress.partial_result_token = common.asks_for_events();
    if target == Some(Path::new(STANDARD)) {
        if recursive {
            return Err(Failure::usage("a directory cannot go to standard output"));
        }
        // Whole or not at all: a pipe must not take half a file for one.
        let spool = Spool::empty()?;
        let local_path = local(spool.path())?;
        common.transfer::<Download>(hooks, DownloadParams { session, path, local_path, recursive: false })?;
        spool.print()?;
        return Ok(exit::OK);
    }
    let target = target.map_or_else(|| own_name(&path), |path| Ok(path.to_owned()))?;
    let (named, local_path) = (path.clone(), local(&target)?);
    let raw = common.transfer::<Download>(hooks, DownloadParams { session, path, local_path, recursive })?;
    let done = typed::<Download>(&raw)?;
    common.end(&raw, &done, &format!("Downloaded {named} -> {}", target.display()))
}

impl Common {
    /// Progress is only requested when someone can see it.
    fn asks_for_events(&self) -> Option<ProgressToken> {
        (self.scope.debug || terminal::stderr_is_terminal()).then_some(CALL)
    }

    /// One call that moves bytes: it can be cancelled, and says on a terminal how far it is.
    fn transfer<M: Method>(&self, hooks: Hooks, params: M::Params) -> Result<Box<RawValue>, Failure> {
        let call = encode::<M>(params)?;
        let mut connection = self.scope.daemon.ask(hooks.embedded, call, |stream| interrupt::cancels(stream, CALL))?;
        let mut progress =
            Progress { out: terminal::stderr_as_is(), is_wanted: terminal::stderr_is_terminal(), shown: false };
        let received = connection.receive(|event| {
            if !progress.show(&event) {
                progress.clear();
                debug::show(event.value, terminal::stderr);
            }
            Ok(())
        });
        progress.clear();
        received
    }

    /// Says what came of it; the exit code.
    fn end(&self, raw: &RawValue, done: &TransferResponse, sentence: &str) -> Result<u8, Failure> {
        let mut code = exit::OK;
        let mut sentence = sentence.to_owned();
        if self.output != Some(Output::Json) {
            for notice in &done.notices {
                let _ = writeln!(terminal::stderr(), "{}", terminal::paragraph("notice: ", &notice.message));
            }
        }
        if let Some(tree) = &done.tree {
            if self.output != Some(Output::Json) {
                // Ignored if it cannot be written: the exit code still reports it.
                let _ = explain(tree, &mut terminal::stderr());
            }
            sentence = format!("{sentence} ({}, {})", count(tree.files, "file"), count(done.bytes, "byte"));
            code = tree.failures.first().map_or(code, |failure| exit::of_failure(failure.kind, None));
        }
        self.print(raw, &sentence)?;
        // After Ctrl-C, a calling script must see it, even if everything was done by then.
        Ok(if interrupt::happened() { exit::CANCELLED } else { code })
    }
}

/// What of a directory did not come along, a line for each.
fn explain(tree: &Tree, to: &mut impl Write) -> io::Result<()> {
    for skipped in &tree.skipped {
        writeln!(to, "skipped: {}", terminal::line(skipped))?;
    }
    for failure in &tree.failures {
        writeln!(to, "error: {}: {}", terminal::line(&failure.path), terminal::line(&failure.message))?;
    }
    Ok(())
}

fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
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
            // Ignored if it cannot be written.
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

/// A local path as the daemon, which has another working directory, finds it.
fn local(path: &Path) -> Result<LocalPath, Failure> {
    if path.as_os_str().is_empty() {
        return Err(Failure::usage("the local file's name is empty"));
    }
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
        _ => Err(Failure::usage_hint(
            format!("{path} is not a valid name for a local file"),
            "pass a name with --target-path FILE",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cupola_protocol::error::ErrorKind;
    use cupola_protocol::files::TreeFailure;

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
    fn an_upload_into_a_directory_keeps_its_name() {
        for (directory, file, path) in [
            ("data/", "x/a.csv", Some("data/a.csv")),
            ("/", "a", Some("/a")),
            ("data/", "-", None),
            ("data/", "..", None),
        ] {
            let put = inside(&directory.parse().unwrap(), Path::new(file)).unwrap();
            assert_eq!(put.map(|path| path.to_string()).as_deref(), path, "{file}");
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

    #[test]
    fn each_file_that_did_not_come_along_has_its_line() {
        let failure =
            TreeFailure { path: "d/a\u{1b}\n".to_owned(), kind: ErrorKind::NotFound, message: "no".to_owned() };
        let tree = Tree { failures: vec![failure], skipped: vec!["d/l: a link".to_owned()], ..Tree::default() };
        let mut said = Vec::new();
        explain(&tree, &mut said).unwrap();
        assert_eq!(String::from_utf8(said).unwrap(), "skipped: d/l: a link\nerror: d/a\u{fffd}\u{fffd}: no\n");
        assert_eq!((count(1, "file"), count(0, "byte")), ("1 file".to_owned(), "0 bytes".to_owned()));
    }
}
