//! Is the pipe the user's own? Checked before anything is sent, because prompts and keys go to the process that listens there, and
//! any user of the machine may be the first to take a pipe's name.

use crate::failure::Failure;
use crate::line::stream::Stream;
use crate::user;
use std::path::Path;

/// What the name of every pipe of this machine begins with.
const PIPES: &str = r"\\.\pipe\";

/// Opening tells whether it is there. An error when it is not a pipe's name, because a file would be opened just as well.
pub(super) fn is_there(path: &Path) -> Result<bool, Failure> {
    let name = path.to_string_lossy().replace('/', r"\").to_lowercase();
    if name.len() > PIPES.len() && name.starts_with(PIPES) {
        return Ok(true);
    }
    Err(Failure::daemon_hint(
        format!("{} is not the name of a pipe; nothing was sent", path.display()),
        format!("name a pipe: set --socket or CUPOLA_SOCKET to {PIPES}NAME"),
    ))
}

/// Its owner must be the user. Only an administrator can make somebody else the owner of what he serves.
pub(super) fn peer(stream: &Stream, path: &Path) -> Result<(), Failure> {
    let why = match user::owns(stream) {
        Ok(true) => return Ok(()),
        Ok(false) => "belongs to another user".to_owned(),
        Err(error) => format!("could not be checked for its owner: {error}"),
    };
    Err(Failure::daemon_hint(
        format!("{} {why}; nothing was sent", path.display()),
        "set --socket or CUPOLA_SOCKET to another pipe",
    ))
}
