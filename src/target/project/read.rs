//! Files of a project: regular, bounded, and text.

use super::ProjectError;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// The most that is read of one file, in bytes. A long `azure.yaml` has some thousand lines; azd's own `config.json` keeps
/// an id per agent, version and user.
pub(super) const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The file's text; nothing if there is no such file.
pub(super) fn text(path: &Path) -> Result<Option<String>, ProjectError> {
    let unreadable = |source| ProjectError::Unreadable { path: path.to_owned(), source };
    match std::fs::metadata(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(unreadable(error)),
        // Reading a pipe of that name would wait for ever.
        Ok(found) if !found.is_file() => return Err(unreadable(std::io::Error::other("it is no file"))),
        Ok(_) => {}
    }
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(ProjectError::TooLarge { path: path.to_owned(), limit: MAX_FILE_BYTES });
    }
    Ok(Some(text))
}
