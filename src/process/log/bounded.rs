//! A log file that stays bounded while the daemon runs: a full one is put aside, in place of the one put aside before.

use crate::config;
use crate::process::system;
use crate::system::directory::private_file;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A log of this many bytes is full: some ten thousand lines, which an editor opens at once.
const MAX_LOG_BYTES: u64 = 4 * 1024 * 1024;

/// The file. Clones write to the same one.
#[derive(Debug, Clone)]
pub(super) struct Bounded {
    path: PathBuf,
    limit: u64,
    /// Is standard error turned to it?
    has_panics: bool,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug)]
struct Open {
    file: File,
    bytes: u64,
}

impl Bounded {
    /// Opens the log at `path`, to be written at its end. Standard error is turned to it, so that a panic's text is in it as well.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let log = Self::with_limit(path, MAX_LOG_BYTES)?;
        system::panics_to(&log.lock().file)?;
        Ok(Self { has_panics: true, ..log })
    }

    fn with_limit(path: &Path, limit: u64) -> io::Result<Self> {
        let open = Arc::new(Mutex::new(Open::at(path)?));
        Ok(Self { path: path.to_owned(), limit, has_panics: false, open })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let file = private_file().append(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { file, bytes })
    }

    /// Begins an empty file. Where the full one cannot be put aside it is emptied: what is new matters more.
    fn start_over(&mut self, path: &Path) -> io::Result<()> {
        if let Ok(new) = fs::rename(path, config::put_aside(path)).and_then(|()| Self::at(path)) {
            *self = new;
        } else {
            self.file.set_len(0)?;
            self.bytes = 0;
        }
        Ok(())
    }
}

impl Write for Bounded {
    /// Writes whole lines.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let added = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        // A special file, such as a terminal or a pipe, has no length and is never full.
        if open.bytes > 0 && open.bytes.saturating_add(added) > self.limit && open.file.metadata()?.is_file() {
            open.start_over(&self.path)?;
            if self.has_panics {
                system::panics_to(&open.file)?;
            }
        }
        open.file.write_all(lines)?;
        open.bytes = open.bytes.saturating_add(added);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lock().file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: usize) -> String {
        format!("{number:015}\n")
    }

    #[test]
    fn a_log_is_bounded_while_it_is_written_and_the_newest_lines_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("daemon.log");
        let mut log = Bounded::with_limit(&path, 64).unwrap();
        for number in 0..1000 {
            log.write_all(line(number).as_bytes()).unwrap();
        }
        let (newest, older) =
            (fs::read_to_string(&path).unwrap(), fs::read_to_string(config::put_aside(&path)).unwrap());
        assert!(newest.len() <= 64 && older.len() <= 64, "{} and {} bytes", newest.len(), older.len());
        assert_eq!((older + &newest).lines().last(), Some(line(999).trim_end()));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_log_that_was_full_before_the_start_is_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("daemon.log");
        fs::write(&path, "x".repeat(100)).unwrap();
        Bounded::with_limit(&path, 64).unwrap().write_all(b"new\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
    }

    #[test]
    fn a_log_that_cannot_be_put_aside_is_emptied() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("daemon.log");
        fs::create_dir_all(config::put_aside(&path).join("in the way")).unwrap();
        let mut log = Bounded::with_limit(&path, 64).unwrap();
        for number in 0..100 {
            log.write_all(line(number).as_bytes()).unwrap();
        }
        let left = fs::read_to_string(&path).unwrap();
        assert!(left.len() <= 64 && left.ends_with(&line(99)), "{left}");
    }
}
