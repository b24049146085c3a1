//! The remembered lines: `notes.txt` in the session's home, so that the files API shows what the agent knows.

use std::io;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The file's name in the home.
const FILE: &str = "notes.txt";

/// Bytes of notes that are read back. The file may also be uploaded, and then be as large as an upload can be.
const MAX_READ_BYTES: u64 = 1024 * 1024;

/// The notes of one session.
pub(super) struct Notebook {
    path: PathBuf,
}

impl Notebook {
    pub(super) fn in_home(home: &Path) -> Self {
        Self { path: home.join(FILE) }
    }

    /// Appends one line.
    pub(super) async fn remember(&self, note: &str) -> io::Result<()> {
        let mut file = tokio::fs::OpenOptions::new().append(true).create(true).open(&self.path).await?;
        // One write for the line, so that two turns at once cannot interleave.
        file.write_all(format!("{note}\n").as_bytes()).await?;
        file.flush().await
    }

    /// All lines that hold something, oldest first.
    pub(super) async fn recall(&self) -> io::Result<Vec<String>> {
        let file = match tokio::fs::File::open(&self.path).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(MAX_READ_BYTES).read_to_end(&mut bytes).await?;
        Ok(String::from_utf8_lossy(&bytes)
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect())
    }
}
