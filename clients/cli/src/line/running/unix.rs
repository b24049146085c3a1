//! Is the socket the user's own? Checked before anything is sent, because prompts and keys go to the process that listens there.

use crate::failure::Failure;
use crate::line::stream::Stream;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Group and others may not write: anyone who can write to the directory can replace the socket.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Whether there is a socket. An error when it, or the directory it is in, is not the user's alone.
pub(super) fn is_there(path: &Path) -> Result<bool, Failure> {
    let me = rustix::process::geteuid().as_raw();
    let directory = path.parent().unwrap_or(Path::new("/"));
    let Some(metadata) = look(directory)? else { return Ok(false) };
    if !metadata.is_dir() {
        return Err(untrusted(directory, "is not a directory"));
    }
    if metadata.uid() != me {
        return Err(untrusted(directory, &format!("belongs to user {}, not to you ({me})", metadata.uid())));
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        let mode = metadata.mode() & 0o7777;
        return Err(Failure::daemon_hint(
            format!("{} can be written by others (mode {mode:o}); nothing was sent", directory.display()),
            format!("run: chmod 700 {}", directory.display()),
        ));
    }
    let Some(metadata) = look(path)? else { return Ok(false) };
    if !metadata.file_type().is_socket() {
        return Err(untrusted(path, "is not a socket"));
    }
    if metadata.uid() != me {
        return Err(untrusted(path, &format!("belongs to user {}, not to you ({me})", metadata.uid())));
    }
    Ok(true)
}

/// The process at the other end must be the user's, where the system tells.
#[cfg(target_os = "linux")]
pub(super) fn peer(stream: &Stream, path: &Path) -> Result<(), Failure> {
    let me = rustix::process::geteuid();
    match rustix::net::sockopt::socket_peercred(stream) {
        Ok(peer) if peer.uid == me => Ok(()),
        Ok(peer) => Err(untrusted(path, &format!("is served by user {}, not by you", peer.uid.as_raw()))),
        Err(error) => Err(untrusted(path, &format!("could not be checked for its owner: {error}"))),
    }
}

/// Elsewhere the owner of directory and socket has to do.
#[cfg(not(target_os = "linux"))]
pub(super) fn peer(_stream: &Stream, _path: &Path) -> Result<(), Failure> {
    Ok(())
}

/// Does not follow a symbolic link: its target could be anybody's.
fn look(path: &Path) -> Result<Option<Metadata>, Failure> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// A place that cannot be looked at is most often another user's: `sudo -u` and `su` keep `XDG_RUNTIME_DIR`.
fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot check {}: {error}", path.display());
    if error.kind() == io::ErrorKind::PermissionDenied {
        let hint =
            "it is another user's: unset XDG_RUNTIME_DIR, or set CUPOLA_SOCKET to a path in a directory of your own";
        return Failure::daemon_hint(message, hint);
    }
    Failure::daemon(message)
}

fn untrusted(path: &Path, why: &str) -> Failure {
    Failure::daemon_hint(
        format!("{} {why}; nothing was sent", path.display()),
        "unset XDG_RUNTIME_DIR if it is not yours, or set CUPOLA_SOCKET to a path in a directory that only you can write",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_may_not_be_looked_at_comes_with_advice() {
        let of = |kind| match unreadable(Path::new("/run/user/7/cupola"), &io::Error::from(kind)) {
            Failure::Daemon { hint, .. } => hint,
            other => panic!("{other:?}"),
        };
        assert!(of(io::ErrorKind::PermissionDenied).unwrap().contains("unset XDG_RUNTIME_DIR"));
        assert_eq!(of(io::ErrorKind::InvalidInput), None);
    }
}
