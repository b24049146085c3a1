//! `recursive`: directories, one file after the other, so that memory holds one directory's names and one piece of one
//! file. What fails with one file is noted and the rest goes on; what would fail with every file ends the call.
//!
//! Neither way leads a link out of the directory: an upload sends what a link stands for only if that is a file inside, and
//! a download writes only below its own directory. Names the service gives are names only: one that says anything about a
//! place is refused.

use super::{Far, fetch, send};
use crate::error::CallError;
use crate::methods::named_session::NamedSession;
use crate::system::file::{self, LocalFileError};
use cupola_protocol::error::ErrorKind;
use cupola_protocol::files::{MAX_FILE_BYTES, RemotePath, Tree, TreeFailure};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::fs;

/// Most failures that are collected before the rest is given up: more of them have one cause.
const MAX_FAILURES: usize = 100;

/// Most files and directories of one call. A session's home is a workspace; more is a loop of links.
const MAX_ENTRIES: u64 = 100_000;

/// How deep directories are followed. Deeper is a loop of links, too.
const MAX_DEPTH: usize = 64;

/// Longest name of one file or directory, in bytes; file systems take no longer ones.
const MAX_NAME: usize = 255;

/// Most bytes of paths that wait to be listed: a hundred thousand directories with paths of 160 bytes, here and there.
const MAX_WAITING: usize = 32 * 1024 * 1024;

/// How long one call may take: a hundred thousand small files, a few each second. A service that keeps each of them waiting
/// for as long as a single call may take would go on for months.
const TREE_LIMIT: Duration = Duration::from_hours(12);

/// What has come of the tree so far.
struct Progress {
    tree: Tree,
    left: u64,
}

impl Progress {
    fn new() -> Self {
        Self { tree: Tree::default(), left: MAX_ENTRIES }
    }

    /// Counts an entry; there is a most.
    fn count(&mut self) -> Result<(), CallError> {
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            CallError::invalid_params(format!("the directory has more than {MAX_ENTRIES} files and directories"))
                .hint("transfer its parts one by one; or look for a link that leads back into it")
        })?;
        Ok(())
    }

    /// Notes how one file did. Fails when the rest would fail as well.
    fn note(&mut self, path: String, outcome: Result<(), CallError>) -> Result<bool, CallError> {
        let Err(error) = outcome else { return Ok(true) };
        if !is_of_one_file(error.kind()) || self.tree.failures.len() >= MAX_FAILURES {
            return Err(error);
        }
        self.tree.failures.push(TreeFailure { path, kind: error.kind(), message: error.message().to_owned() });
        Ok(false)
    }
}

/// May the next file do better?
const fn is_of_one_file(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::LocalFile
            | ErrorKind::FileTooLarge
            | ErrorKind::InvalidParams
            | ErrorKind::BadRequest
            | ErrorKind::NotFound
            | ErrorKind::NotOffered
            | ErrorKind::Conflict
            | ErrorKind::ConnectionFailed
            | ErrorKind::ServiceUnavailable
            | ErrorKind::TimedOut
            | ErrorKind::UnexpectedAnswer
            | ErrorKind::ServiceError
    )
}

/// Sends what is in a local directory to a directory of the session.
pub(super) async fn upload(named: &NamedSession, from: &Path, to: &RemotePath, far: &Far) -> Result<Tree, CallError> {
    let root = fs::canonicalize(from).await.map_err(|source| unreadable(from, source))?;
    let mut progress = Progress::new();
    let mut waiting = vec![(from.to_owned(), to.clone())];
    while let Some((directory, target)) = waiting.pop() {
        progress.count()?;
        let shown = directory.display().to_string();
        let read = async {
            let mut inside = names(&directory).await?;
            inside.sort();
            if inside.is_empty() {
                make_directory(named, &target).await?;
            }
            Ok::<_, CallError>(inside)
        };
        let inside = match read.await {
            Ok(inside) => inside,
            Err(error) => {
                progress.note(shown, Err(error))?;
                continue;
            }
        };
        progress.tree.directories += 1;
        for name in inside {
            let path = directory.join(&name);
            let shown = path.display().to_string();
            match Kind::of(&path, &root).await {
                Kind::Skipped(why) => {
                    progress.count()?;
                    progress.tree.skipped.push(format!("{shown}: {why}"));
                }
                Kind::Directory => match below(&target, &name) {
                    Ok(target) => waiting.push((path, target)),
                    Err(error) => _ = progress.note(shown, Err(error))?,
                },
                Kind::File => {
                    progress.count()?;
                    let sent = async {
                        let target = below(&target, &name)?;
                        let length = file::length(&path, MAX_FILE_BYTES).await?;
                        let sent = Arc::new(AtomicU64::new(0));
                        send(named, &path, length, &target, &sent).await?;
                        far.bytes.fetch_add(length, Ordering::Relaxed);
                        Ok(())
                    };
                    if progress.note(shown, sent.await)? {
                        progress.tree.files += 1;
                    }
                }
            }
        }
    }
    Ok(progress.tree)
}

/// What a name in a local directory stands for.
enum Kind {
    File,
    Directory,
    Skipped(&'static str),
}

impl Kind {
    async fn of(path: &Path, root: &Path) -> Self {
        let Ok(found) = fs::symlink_metadata(path).await else { return Self::File };
        if found.is_dir() {
            return Self::Directory;
        }
        if found.is_file() {
            return Self::File;
        }
        if !found.is_symlink() {
            return Self::Skipped("neither a file nor a directory");
        }
        match fs::canonicalize(path).await {
            Err(_) => Self::Skipped("a link that leads nowhere"),
            Ok(real) if !real.starts_with(root) => Self::Skipped("a link that leads out of the directory"),
            Ok(real) if fs::metadata(&real).await.is_ok_and(|found| found.is_file()) => Self::File,
            Ok(_) => Self::Skipped("a link to something that is no file"),
        }
    }
}

async fn names(directory: &Path) -> Result<Vec<std::ffi::OsString>, CallError> {
    let unreadable = |source| unreadable(directory, source);
    let mut entries = fs::read_dir(directory).await.map_err(unreadable)?;
    let mut names = Vec::new();
    // One more than are sent, so that the call ends with the reason.
    while names.len() <= usize::try_from(MAX_ENTRIES).unwrap_or(usize::MAX)
        && let Some(entry) = entries.next_entry().await.map_err(unreadable)?
    {
        names.push(entry.file_name());
    }
    Ok(names)
}

fn below(directory: &RemotePath, name: &std::ffi::OsStr) -> Result<RemotePath, CallError> {
    let name = name.to_str().ok_or_else(|| CallError::invalid_params("its name is not valid UTF-8"))?;
    Ok(format!("{}/{name}", directory.as_str().trim_end_matches('/')).parse()?)
}

async fn make_directory(named: &NamedSession, path: &RemotePath) -> Result<(), CallError> {
    let made = named.scope.agent.make_directory(&named.scope.wire, &named.session, path).await;
    made.map_err(|error| named.explain(error, false))
}

/// Fetches what is in a directory of the session into a local directory, which is made if it is missing.
pub(super) async fn download(named: &NamedSession, from: &RemotePath, to: &Path, far: &Far) -> Result<Tree, CallError> {
    let fetching = tokio::time::timeout(TREE_LIMIT, Box::pin(fetch_tree(named, from, to, far)));
    fetching.await.unwrap_or_else(|_| {
        let hours = TREE_LIMIT.as_secs() / 3600;
        Err(CallError::new(ErrorKind::TimedOut, format!("the directory was not downloaded within {hours} hours"))
            .hint("download its parts one by one"))
    })
}

/// Directories that are yet to be listed, each with where it goes and how deep it is.
struct Waiting {
    directories: Vec<(RemotePath, PathBuf, usize)>,
    bytes: usize,
}

impl Waiting {
    fn push(&mut self, path: RemotePath, local: PathBuf, depth: usize) -> Result<(), CallError> {
        self.bytes += path.as_str().len() + local.as_os_str().len();
        if self.bytes > MAX_WAITING {
            return Err(CallError::invalid_params("the directory has too many directories with long names")
                .hint("download its parts one by one"));
        }
        self.directories.push((path, local, depth));
        Ok(())
    }

    fn pop(&mut self) -> Option<(RemotePath, PathBuf, usize)> {
        let next = self.directories.pop()?;
        self.bytes -= next.0.as_str().len() + next.1.as_os_str().len();
        Some(next)
    }
}

async fn fetch_tree(named: &NamedSession, from: &RemotePath, to: &Path, far: &Far) -> Result<Tree, CallError> {
    let mut progress = Progress::new();
    make_local(to).await?;
    let root = fs::canonicalize(to).await.map_err(|source| unwritable(to, source))?;
    let mut waiting = Waiting { directories: Vec::new(), bytes: 0 };
    waiting.push(from.clone(), root.clone(), 0)?;
    while let Some((directory, target, depth)) = waiting.pop() {
        let listed = async {
            within(&target, &root).await?;
            make_local(&target).await?;
            let listed = named.scope.agent.list_files(&named.scope.wire, &named.session, Some(&directory)).await;
            listed.map_err(|error| named.explain(error, false))
        };
        let listed = match listed.await {
            Ok(listed) => listed,
            // Without its first directory there is nothing to go on with.
            Err(error) if depth == 0 => return Err(error),
            Err(error) => {
                progress.note(directory.as_str().to_owned(), Err(error))?;
                continue;
            }
        };
        progress.tree.directories += 1;
        let count = listed.entries.len();
        for entry in listed.entries {
            // Whatever it is: a service can list more than anybody fetches.
            progress.count()?;
            let shown = format!("{}/{}", directory.as_str().trim_end_matches('/'), beginning(&entry.name));
            let place = || -> Result<_, CallError> {
                if entry.is_directory && depth >= MAX_DEPTH {
                    return Err(CallError::invalid_params(format!("it is more than {MAX_DEPTH} directories deep")));
                }
                Ok((shown.parse::<RemotePath>()?, target.join(own_name(&entry.name)?)))
            };
            let (path, local) = match place() {
                Ok(place) => place,
                Err(error) => {
                    progress.note(shown, Err(error))?;
                    continue;
                }
            };
            if entry.is_directory {
                waiting.push(path, local, depth + 1)?;
                continue;
            }
            let before = far.bytes();
            let fetched = async {
                within(&local, &root).await?;
                fetch(named, &path, &local, &far.bytes, |_| ()).await
            };
            if progress.note(shown, fetched.await)? {
                progress.tree.files += 1;
            } else {
                far.bytes.store(before, Ordering::Relaxed);
            }
        }
        if listed.has_more {
            let message = format!("it has more than the {count} files and directories that were listed");
            let error = CallError::new(ErrorKind::UnexpectedAnswer, message);
            progress.note(directory.as_str().to_owned(), Err(error))?;
        }
    }
    Ok(progress.tree)
}

/// The name of a file the service lists, if it is just that: the agent chose it.
fn own_name(name: &str) -> Result<&str, CallError> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(part)), None)
            if part == name && name.len() <= MAX_NAME && !name.contains(['/', '\\', '\0']) =>
        {
            Ok(name)
        }
        _ => Err(CallError::new(ErrorKind::UnexpectedAnswer, "the service gives it a name that is no file name here")),
    }
}

/// As much of a name as is worth showing.
fn beginning(name: &str) -> &str {
    name.get(..name.floor_char_boundary(MAX_NAME)).unwrap_or(name)
}

/// Refuses a place that a link in the way leads out of the root.
async fn within(path: &Path, root: &Path) -> Result<(), CallError> {
    match fs::canonicalize(path).await {
        Ok(real) if !real.starts_with(root) => {
            Err(unwritable(path, io::Error::other("a link of that name leads out of the directory")))
        }
        // A link that leads nowhere would be followed when the file is made.
        Err(_) if fs::symlink_metadata(path).await.is_ok() => {
            Err(unwritable(path, io::Error::other("a link of that name leads nowhere")))
        }
        _ => Ok(()),
    }
}

async fn make_local(directory: &Path) -> Result<(), CallError> {
    match fs::create_dir(directory).await {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {
            file::sweep(directory).await;
            Ok(())
        }
        made => made.map_err(|source| unwritable(directory, source)),
    }
}

fn unreadable(path: &Path, source: io::Error) -> CallError {
    LocalFileError::Read { path: PathBuf::from(path), source }.into()
}

fn unwritable(path: &Path, source: io::Error) -> CallError {
    LocalFileError::Write { path: PathBuf::from(path), source }.into()
}

#[cfg(test)]
#[path = "../../../fuzz/remote_names.rs"]
mod fuzz_remote_names;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_service_is_a_name_and_no_path() {
        for name in ["a", "a b.txt", "..a", "ü", "-rf"] {
            assert!(own_name(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "/", "/etc/passwd", "a/b", "../a", "a/", "a\\b", "a\0b", &"x".repeat(256)] {
            assert!(own_name(name).is_err(), "{name:?}");
        }
    }
}
