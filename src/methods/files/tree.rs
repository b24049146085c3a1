//! `recursive`: directories, one file after the other, so that memory holds one directory's names and one piece of one
//! file. A failure of one file is noted and the rest continues; a failure that would affect every file ends the call.
//!
//! No link leads out of the directory: an upload sends what a link stands for only if that is a file inside, and a download
//! writes only below its own directory; on a bound connection no link is followed at all ([`Directory`]). Names the service gives are names only: one that says anything about a
//! place is refused.

use super::home::{Home, TransferProgress};
use crate::error::CallError;
use crate::system::file::{Directory, Draft, Kind};
use cupola_protocol::error::ErrorKind;
use cupola_protocol::files::{MAX_FILE_BYTES, RemotePath, Tree, TreeFailure};
use std::ffi::OsString;
use std::path::{Component, Path};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Most failures that are collected before the rest is given up: more of them have one cause.
const MAX_FAILURES: usize = 100;

/// Most files and directories of one call. A session's home is a workspace; more is a loop of links.
const MAX_ENTRIES: u64 = 100_000;

/// How deep directories are followed. Each one on the way costs a descriptor here, and people do not nest them deeper by hand.
const MAX_DEPTH: usize = 64;

/// Longest name of one file or directory, in bytes; file systems take no longer ones.
const MAX_NAME: usize = 255;

/// Most bytes of paths that wait to be listed: a hundred thousand directories with paths of 160 bytes, here and there.
const MAX_WAITING: usize = 32 * 1024 * 1024;

/// How long one call may take: a hundred thousand small files, a few each second. A service that keeps each of them waiting
/// for as long as a single call may take would keep the call busy for months.
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
            | ErrorKind::OutOfBounds
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
pub(super) async fn upload(
    home: &impl Home,
    from: &Directory,
    to: &RemotePath,
    so_far: &TransferProgress,
) -> Result<Tree, CallError> {
    let mut progress = Progress::new();
    // A directory is opened when its turn comes: those that wait cost no descriptor.
    let mut waiting = vec![(from.clone(), None::<OsString>, to.clone(), 0)];
    while let Some((above, name, target, depth)) = waiting.pop() {
        progress.count()?;
        let shown = name.as_ref().map_or_else(|| above.path().to_owned(), |name| above.path_of(name));
        let read = async {
            if depth > MAX_DEPTH {
                return Err(too_deep());
            }
            let directory = match &name {
                None => above,
                Some(name) => above.directory(name).await?,
            };
            let inside = directory.names().await?;
            if inside.is_empty() {
                home.make_directory(&target).await?;
            }
            Ok::<_, CallError>((directory, inside))
        };
        let (directory, inside) = match read.await {
            Ok(read) => read,
            Err(error) => {
                progress.note(shown.display().to_string(), Err(error))?;
                continue;
            }
        };
        progress.tree.directories += 1;
        for name in inside {
            let shown = directory.path_of(&name).display().to_string();
            match directory.kind(&name).await? {
                Kind::Skipped(why) => progress.tree.skipped.push(format!("{shown}: {why}")),
                Kind::Directory => match below(&target, &name) {
                    Ok(target) => waiting.push((directory.clone(), Some(name), target, depth + 1)),
                    Err(error) => _ = progress.note(shown, Err(error))?,
                },
                Kind::File => {
                    progress.count()?;
                    let sent = async {
                        let target = below(&target, &name)?;
                        let file = directory.open(&name, MAX_FILE_BYTES).await?;
                        home.send(&file, &target, &Arc::default()).await?;
                        so_far.bytes.fetch_add(file.length, Ordering::Relaxed);
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

fn too_deep() -> CallError {
    CallError::invalid_params(format!("it is more than {MAX_DEPTH} directories deep"))
}

fn below(directory: &RemotePath, name: &std::ffi::OsStr) -> Result<RemotePath, CallError> {
    let name = name.to_str().ok_or_else(|| CallError::invalid_params("its name is not valid UTF-8"))?;
    Ok(format!("{}/{name}", directory.as_str().trim_end_matches('/')).parse()?)
}

/// Fetches what is in a directory of the session into a local directory.
pub(super) async fn download(
    home: &impl Home,
    from: &RemotePath,
    to: Directory,
    so_far: &TransferProgress,
) -> Result<Tree, CallError> {
    let fetching = tokio::time::timeout(TREE_LIMIT, Box::pin(fetch_tree(home, from, to, so_far)));
    fetching.await.unwrap_or_else(|_| {
        let hours = TREE_LIMIT.as_secs() / 3600;
        Err(CallError::new(ErrorKind::TimedOut, format!("the directory was not downloaded within {hours} hours"))
            .hint("download its parts one by one"))
    })
}

/// A directory of the session that is yet to be listed: its path, the directory here above its place, its name there, its depth.
type Listing = (RemotePath, Directory, Option<OsString>, usize);

/// Directories that are yet to be listed.
#[derive(Default)]
struct Waiting {
    directories: Vec<Listing>,
    bytes: usize,
}

impl Waiting {
    fn push(&mut self, next: Listing) -> Result<(), CallError> {
        self.bytes += Self::size(&next);
        if self.bytes > MAX_WAITING {
            return Err(CallError::invalid_params("the directory has too many directories with long names")
                .hint("download its parts one by one"));
        }
        self.directories.push(next);
        Ok(())
    }

    fn pop(&mut self) -> Option<Listing> {
        let next = self.directories.pop()?;
        self.bytes -= Self::size(&next);
        Some(next)
    }

    fn size((path, above, name, _): &Listing) -> usize {
        path.as_str().len() + above.path().as_os_str().len() + name.as_ref().map_or(0, |name| name.len())
    }
}

async fn fetch_tree(
    home: &impl Home,
    from: &RemotePath,
    to: Directory,
    so_far: &TransferProgress,
) -> Result<Tree, CallError> {
    let mut progress = Progress::new();
    let mut waiting = Waiting::default();
    waiting.push((from.clone(), to, None, 0))?;
    while let Some((directory, above, name, depth)) = waiting.pop() {
        let listed = async {
            if depth > MAX_DEPTH {
                return Err(too_deep());
            }
            let target = match &name {
                None => above,
                Some(name) => above.make_directory(name).await?,
            };
            Ok((target, home.list(&directory).await?))
        };
        let (target, listed) = match listed.await {
            Ok(listed) => listed,
            // Without its first directory there is nothing to continue with.
            Err(error) if depth == 0 => return Err(error),
            Err(error) => {
                progress.note(directory.as_str().to_owned(), Err(error))?;
                continue;
            }
        };
        progress.tree.directories += 1;
        for entry in listed.entries {
            // Whatever it is: a service can list more than anybody fetches.
            progress.count()?;
            let shown = format!("{}/{}", directory.as_str().trim_end_matches('/'), beginning(&entry.name));
            let (path, name) = match (own_name(&entry.name), shown.parse::<RemotePath>()) {
                (Ok(name), Ok(path)) => (path, OsString::from(name)),
                (Err(error), _) => {
                    progress.note(shown, Err(error))?;
                    continue;
                }
                (_, Err(invalid)) => {
                    progress.note(shown, Err(invalid.into()))?;
                    continue;
                }
            };
            if entry.is_directory {
                waiting.push((path, target.clone(), Some(name), depth + 1))?;
                continue;
            }
            let before = so_far.bytes();
            let fetched = async { home.fetch(&path, Draft::begin(&target, &name).await?, &so_far.bytes, |_| ()).await };
            if progress.note(shown, fetched.await)? {
                progress.tree.files += 1;
            } else {
                so_far.bytes.store(before, Ordering::Relaxed);
            }
        }
        if listed.has_more {
            let error = CallError::new(ErrorKind::UnexpectedAnswer, "the service lists no end of it");
            progress.note(directory.as_str().to_owned(), Err(error))?;
        }
    }
    Ok(progress.tree)
}

/// The name of a file the service lists, if it is just that: the agent chose it.
fn own_name(name: &str) -> Result<&str, CallError> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(part)), None) if part == name && !name.contains(['/', '\\', '\0']) => Ok(name),
        _ => Err(CallError::new(
            ErrorKind::UnexpectedAnswer,
            "the service gives it a name that is not a valid file name here",
        )),
    }
}

/// As much of a name as is worth showing.
fn beginning(name: &str) -> &str {
    name.get(..name.floor_char_boundary(MAX_NAME)).unwrap_or(name)
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
        for name in ["", ".", "..", "/", "/etc/passwd", "a/b", "../a", "a/", "a\\b", "a\0b"] {
            assert!(own_name(name).is_err(), "{name:?}");
        }
    }
}
