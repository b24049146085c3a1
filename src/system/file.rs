//! Files on this machine: what an upload reads, and what a download writes without ever harming what is there.

use std::fs::{Metadata, Permissions};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

/// What a draft's name begins and ends with; between them are 32 hexadecimal digits.
const DRAFT: (&str, &str) = (".cupola-", ".part");

/// How old a draft is before it is taken for a leftover. It is locked as long as it is being written; this is the moment
/// between its making and its locking, generously.
const LEFTOVER_AGE: Duration = Duration::from_mins(1);

/// Most names that are looked at for leftovers. A directory that is larger is not worth the time.
const MAX_LOOKED_AT: usize = 10_000;

/// A file on this machine cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LocalFileError {
    /// It cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It is a directory, a device or the like.
    #[error("{} is no file{}", path.display(), if *is_directory { " but a directory" } else { "" })]
    NoFile {
        /// What it is called.
        path: PathBuf,
        /// Is it a directory?
        is_directory: bool,
    },
    /// A directory is where a file should go.
    #[error("{} is a directory; a file cannot take its place", path.display())]
    Directory {
        /// What it is called.
        path: PathBuf,
    },
    /// It is larger than what may be sent.
    #[error("{} has {length} bytes; the service takes files of at most {} MB ({limit} bytes)", path.display(), limit / (1024 * 1024))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        length: u64,
        /// The limit in bytes.
        limit: u64,
    },
}

/// Is it a directory, or a link that leads to one?
pub async fn is_directory(path: &Path) -> Result<bool, LocalFileError> {
    let found = fs::metadata(path).await.map_err(|source| LocalFileError::Read { path: path.to_owned(), source })?;
    Ok(found.is_dir())
}

/// May a transfer of `path`, alone or with all below it, touch what is in `directory`? Links and `..` are followed; a way
/// that goes back out of what is not there yet may lead anywhere.
pub async fn touches(path: &Path, directory: &Path) -> bool {
    match tokio::join!(resolved(path), resolved(directory)) {
        (Some(path), Some(directory)) => path.starts_with(&directory) || directory.starts_with(&path),
        _ => true,
    }
}

/// The path as the system follows it; what is not there yet stays as it is written.
async fn resolved(path: &Path) -> Option<PathBuf> {
    for ancestor in path.ancestors() {
        if let Ok(real) = fs::canonicalize(ancestor).await {
            let rest = path.strip_prefix(ancestor).ok()?;
            let goes_back = rest.components().any(|part| part == Component::ParentDir);
            return (!goes_back).then(|| real.join(rest));
        }
    }
    None
}

/// The length of a file to send, which may be up to `limit` bytes.
pub async fn length(path: &Path, limit: u64) -> Result<u64, LocalFileError> {
    let unreadable = |source| LocalFileError::Read { path: path.to_owned(), source };
    let metadata = fs::metadata(path).await.map_err(unreadable)?;
    check(path, &metadata)?;
    // Opened once before anything is sent: the service should not hear of a file that cannot be read.
    File::open(path).await.map_err(unreadable)?;
    match metadata.len() {
        length if length > limit => Err(LocalFileError::TooLarge { path: path.to_owned(), length, limit }),
        length => Ok(length),
    }
}

/// To replace or read a device or a pipe would do something else than meant, or never end.
fn check(path: &Path, metadata: &Metadata) -> Result<(), LocalFileError> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(LocalFileError::NoFile { path: path.to_owned(), is_directory: metadata.is_dir() })
}

/// A file being written under another name in its directory. It takes its place as a whole; dropped before that, it
/// leaves nothing behind.
#[derive(Debug)]
pub struct Draft {
    file: File,
    unfinished: Option<PathBuf>,
    target: PathBuf,
    /// Those of the file it replaces.
    permissions: Option<Permissions>,
}

impl Draft {
    /// Begins a file that will be at `path`, or where a link of that name leads.
    pub async fn begin(path: &Path) -> Result<Self, LocalFileError> {
        let target = fs::canonicalize(path).await.unwrap_or_else(|_| path.to_owned());
        let permissions = match fs::metadata(&target).await {
            Ok(metadata) if metadata.is_dir() => return Err(LocalFileError::Directory { path: path.to_owned() }),
            Ok(metadata) => {
                check(path, &metadata)?;
                Some(metadata.permissions())
            }
            Err(_) => None,
        };
        let draft = target.with_file_name(format!("{}{}{}", DRAFT.0, Uuid::new_v4().simple(), DRAFT.1));
        let file = File::options().write(true).create_new(true).open(&draft).await;
        let file = file.map_err(|source| LocalFileError::Write { path: path.to_owned(), source })?.into_std().await;
        // Where files cannot be locked, nothing is ever taken for a leftover.
        let _locked = file.try_lock();
        Ok(Self { file: File::from_std(file), unfinished: Some(draft), target, permissions })
    }

    /// Adds bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), LocalFileError> {
        self.file.write_all(bytes).await.map_err(|source| self.unwritable(source))
    }

    /// Puts it in its place.
    pub async fn place(mut self) -> Result<(), LocalFileError> {
        // Only now does the system's word on the last bytes come.
        self.file.flush().await.map_err(|source| self.unwritable(source))?;
        if let Some(permissions) = self.permissions.take() {
            self.file.set_permissions(permissions).await.map_err(|source| self.unwritable(source))?;
        }
        if let Some(draft) = &self.unfinished {
            fs::rename(draft, &self.target).await.map_err(|source| self.unwritable(source))?;
        }
        self.unfinished = None;
        Ok(())
    }

    fn unwritable(&self, source: io::Error) -> LocalFileError {
        LocalFileError::Write { path: self.target.clone(), source }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(draft) = &self.unfinished
            && let Err(error) = std::fs::remove_file(draft)
        {
            tracing::warn!(path = %draft.display(), %error, "an unfinished download could not be removed");
        }
    }
}

/// Removes from a directory what downloads left there whose daemon was killed: drafts that nobody is writing.
pub async fn sweep(directory: &Path) {
    let directory = directory.to_owned();
    // Whether it succeeds is no concern of the transfer that follows.
    let _ended = tokio::task::spawn_blocking(move || remove_leftovers(&directory)).await;
}

fn remove_leftovers(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.take(MAX_LOOKED_AT).flatten().filter(|entry| is_draft(&entry.file_name().to_string_lossy())) {
        let is_old = entry.metadata().is_ok_and(|found| {
            found.is_file() && found.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age >= LEFTOVER_AGE))
        });
        let path = entry.path();
        if is_old && std::fs::File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            match std::fs::remove_file(&path) {
                Ok(()) => tracing::info!(path = %path.display(), "removed what a killed download left"),
                Err(error) => tracing::warn!(path = %path.display(), %error, "a leftover could not be removed"),
            }
        }
    }
}

fn is_draft(name: &str) -> bool {
    let id = name.strip_prefix(DRAFT.0).and_then(|name| name.strip_suffix(DRAFT.1));
    id.is_some_and(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_file_is_replaced_as_a_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.txt");
        std::fs::write(&path, "old").unwrap();
        let mut draft = Draft::begin(&path).await.unwrap();
        draft.write(b"ne").await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        drop(draft);
        assert_eq!(
            (names(directory.path()), std::fs::read_to_string(&path).unwrap()),
            (vec!["a.txt".into()], "old".into())
        );
        let mut draft = Draft::begin(&path).await.unwrap();
        draft.write(b"new").await.unwrap();
        draft.place().await.unwrap();
        assert_eq!(
            (names(directory.path()), std::fs::read_to_string(&path).unwrap()),
            (vec!["a.txt".into()], "new".into())
        );
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_link_stays_one_and_permissions_stay() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real"), directory.path().join("link"));
        std::fs::write(&real, "old").unwrap();
        std::fs::set_permissions(&real, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut draft = Draft::begin(&link).await.unwrap();
        draft.write(b"new").await.unwrap();
        draft.place().await.unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "new");
        assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn what_is_no_file_is_neither_read_nor_replaced() {
        let directory = tempfile::tempdir().unwrap();
        for error in [
            length(directory.path(), 10).await.unwrap_err(),
            length(Path::new("/dev/null"), 10).await.unwrap_err(),
            Draft::begin(Path::new("/dev/null")).await.unwrap_err(),
        ] {
            assert!(error.to_string().contains("is no file"), "{error}");
        }
        let taken = Draft::begin(directory.path()).await.unwrap_err().to_string();
        assert!(taken.contains("is a directory; a file cannot take its place"), "{taken}");
        let missing = directory.path().join("none/a.txt");
        assert!(length(&missing, 10).await.unwrap_err().to_string().contains("cannot be read"));
        assert!(Draft::begin(&missing).await.unwrap_err().to_string().contains("cannot be written"));
    }

    #[tokio::test]
    async fn a_file_that_is_too_large_is_refused_with_the_limit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("large");
        std::fs::File::create(&path).unwrap().set_len(50 * 1024 * 1024 + 1).unwrap();
        let error = length(&path, 50 * 1024 * 1024).await.unwrap_err().to_string();
        assert!(error.contains("50 MB (52428800 bytes)"), "{error}");
    }

    #[tokio::test]
    async fn what_a_killed_download_left_is_removed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.txt");
        let aged = |path: &Path| {
            let long_ago = std::time::SystemTime::now() - 2 * LEFTOVER_AGE;
            std::fs::File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
        };
        let leftover = format!(".cupola-{}.part", "0".repeat(32));
        let young = format!(".cupola-{}.part", "1".repeat(32));
        for name in [&leftover, &young, ".cupola-notes.part", "theirs.part"] {
            std::fs::write(directory.path().join(name), "half").unwrap();
            if *name != young {
                aged(&directory.path().join(name));
            }
        }
        let draft = Draft::begin(&path).await.unwrap();
        aged(draft.unfinished.as_deref().unwrap());
        sweep(directory.path()).await;
        let left = names(directory.path());
        assert!(!left.contains(&leftover), "{left:?}");
        assert!(
            left.contains(&young) && left.contains(&".cupola-notes.part".to_owned()) && left.len() == 4,
            "{left:?}"
        );
        draft.place().await.unwrap();
        assert!(path.is_file(), "a download that was under way was harmed");
    }
}
