//! A private file that stands between a pipe and the daemon, which reads and writes files alone. Gone when it is dropped.

use crate::failure::Failure;
use cupola_protocol::files::MAX_FILE_BYTES;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The file.
pub(crate) struct Spool {
    directory: PathBuf,
    path: PathBuf,
}

impl Spool {
    /// With nothing in it.
    pub(crate) fn empty() -> Result<Self, Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
        let directory = std::env::temp_dir().join(format!("cupola-{}-{now}", std::process::id()));
        let mut builder = fs::DirBuilder::new();
        // In a place that others share, nobody else may look in or have been there before.
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&directory).map_err(|error| unusable(&directory, &error))?;
        Ok(Self { path: directory.join("content"), directory })
    }

    /// With all of standard input, which may be as long as a file may be.
    pub(crate) fn of_standard_input() -> Result<Self, Failure> {
        Self::of(io::stdin().lock())
    }

    fn of(input: impl Read) -> Result<Self, Failure> {
        let spool = Self::empty()?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&spool.path)
            .map_err(|error| unusable(&spool.path, &error))?;
        let copied = io::copy(&mut input.take(MAX_FILE_BYTES + 1), &mut file)
            .map_err(|error| Failure::usage(format!("standard input cannot be kept for the upload: {error}")))?;
        if copied > MAX_FILE_BYTES {
            return Err(Failure::usage(format!(
                "standard input is longer than the service takes: at most {} MB ({MAX_FILE_BYTES} bytes)",
                MAX_FILE_BYTES / (1024 * 1024)
            )));
        }
        Ok(spool)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes it to standard output.
    pub(crate) fn print(&self) -> Result<(), Failure> {
        let mut file = File::open(&self.path).map_err(|error| unusable(&self.path, &error))?;
        let mut out = io::stdout().lock();
        io::copy(&mut file, &mut out).and_then(|_| out.flush()).map_err(Failure::writing)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // Nobody is left to be told; the system clears its temporary directory in time.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::usage_hint(format!("{} cannot be used: {error}", path.display()), "TMPDIR names another place")
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
}
