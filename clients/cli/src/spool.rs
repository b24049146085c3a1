//! A private temporary file: between a pipe and the daemon, which reads and writes files alone, and for what waits to be
//! printed. It is removed when it is dropped, and what a killed process left is removed by the next one.

use crate::environment;
use crate::failure::Failure;
use crate::terminal;
use cupola_protocol::files::MAX_FILE_BYTES;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How old a directory is before it is taken for a leftover. It is locked as long as it is used; this is the moment between
/// its making and its locking, generously.
const LEFTOVER_AGE: Duration = Duration::from_mins(1);

/// The file.
pub(crate) struct Spool {
    directory: PathBuf,
    path: PathBuf,
    /// Says that the directory is in use. Windows locks no directories, and there nothing is taken for a leftover.
    _lock: Option<File>,
}

impl Spool {
    /// With nothing in it.
    pub(crate) fn empty() -> Result<Self, Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
        let temporary = environment::temporary_directory();
        remove_leftovers(&temporary);
        let directory = temporary.join(format!("cupola-{}-{now}", std::process::id()));
        let mut builder = fs::DirBuilder::new();
        // The parent is shared, so nobody else may look into the directory, and it must be new.
        builder.recursive(false);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&directory).map_err(|error| unusable(&directory, &error))?;
        let lock = lock(&directory);
        Ok(Self { path: directory.join("content"), directory, _lock: lock })
    }

    /// With all of standard input, which may be as long as a file may be.
    pub(crate) fn of_standard_input() -> Result<Self, Failure> {
        Self::of(io::stdin().lock())
    }

    fn of(input: impl Read) -> Result<Self, Failure> {
        let spool = Self::empty()?;
        let mut file = spool.create().map_err(|error| unusable(&spool.path, &error))?;
        let copied = io::copy(&mut input.take(MAX_FILE_BYTES + 1), &mut file).map_err(|error| {
            Failure::usage_hint(
                format!("could not store standard input for the upload: {error}"),
                format!(
                    "it is stored in {} until it is sent; set TMPDIR to use another directory",
                    spool.directory.display()
                ),
            )
        })?;
        if copied > MAX_FILE_BYTES {
            return Err(Failure::usage(format!(
                "standard input is larger than the service accepts: at most {} MB ({MAX_FILE_BYTES} bytes)",
                MAX_FILE_BYTES / (1024 * 1024)
            )));
        }
        Ok(spool)
    }

    /// Makes the file, for reading and writing.
    pub(crate) fn create(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&self.path)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes it to standard output: byte for byte, unless that is a terminal.
    pub(crate) fn print(&self) -> Result<(), Failure> {
        let mut file = File::open(&self.path).map_err(|error| unusable(&self.path, &error))?;
        let mut out = terminal::stdout();
        io::copy(&mut file, &mut out).and_then(|_| out.flush()).map_err(Failure::writing)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // There is nowhere to report a failure; the system clears its temporary directory in time.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Nothing if somebody else has it, or directories cannot be locked here.
fn lock(directory: &Path) -> Option<File> {
    File::open(directory).ok().filter(|file| file.try_lock().is_ok())
}

/// Removes the directories of processes that were killed.
fn remove_leftovers(temporary: &Path) {
    let Ok(entries) = fs::read_dir(temporary) else { return };
    for entry in entries.flatten().filter(|entry| is_ours(&entry.file_name().to_string_lossy())) {
        let is_old = entry.metadata().is_ok_and(|found| {
            found.is_dir() && found.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age >= LEFTOVER_AGE))
        });
        if is_old && lock(&entry.path()).is_some() {
            // Another user's stays.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// `cupola-PROCESS-NANOSECONDS`.
fn is_ours(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = name.strip_prefix("cupola-").and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(process, nanoseconds)| is_number(process) && is_number(nanoseconds))
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::usage_hint(
        format!("{} cannot be used: {error}", path.display()),
        "set TMPDIR to a directory that exists and has room",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_was_read_and_is_gone_in_the_end() {
        let spool = Spool::of(&b"text"[..]).unwrap();
        let path = spool.path().to_owned();
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
        drop(spool);
        assert!(!path.parent().unwrap().exists());
        let Err(Failure::Usage { message, .. }) = Spool::of(io::repeat(b'x')) else { panic!("it was taken") };
        assert!(message.contains("50 MB (52428800 bytes)"), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let temporary = tempfile::tempdir().unwrap();
        let place = |name: &str| {
            let directory = temporary.path().join(name);
            fs::create_dir(&directory).unwrap();
            fs::write(directory.join("content"), "half").unwrap();
            directory
        };
        let aged = |directory: &Path| {
            File::open(directory).unwrap().set_modified(SystemTime::now() - 2 * LEFTOVER_AGE).unwrap();
        };
        let (leftover, young, used) = (place("cupola-1-1"), place("cupola-1-2"), place("cupola-1-3"));
        let other = place("cupola-mine-1");
        let _lock = lock(&used).unwrap();
        for directory in [&leftover, &used, &other] {
            aged(directory);
        }
        remove_leftovers(temporary.path());
        assert!(!leftover.exists());
        assert!(young.exists() && used.exists() && other.exists());
    }
}
