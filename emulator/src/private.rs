//! Directories and files that only their owner can open: made so, or refused.
//!
//! On Windows a user's profile is private by its inherited access lists, which are not checked here.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

/// Makes the directory and those above it, for their owner alone. One that exists is not changed: it is refused if it is a
/// link, belongs to someone else or can be entered by others. The error says what to run.
pub(crate) fn directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)?;
    #[cfg(unix)]
    {
        use rustix::fs::{Mode, OFlags, open};
        use rustix::io::Errno;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let handle = open(path, flags, Mode::empty()).map_err(|error| match error {
            Errno::LOOP | Errno::NOTDIR => io::Error::other("it is a symbolic link; name the directory it leads to"),
            other => other.into(),
        })?;
        check(&handle, path)?;
    }
    Ok(())
}

/// Opens a file for reading. One that is a link, belongs to someone else or can be read by others is refused; the error says
/// what to run.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    opened(path, OpenOptions::new().read(true))
}

/// The same for reading and appending.
pub(crate) fn open_to_append(path: &Path) -> io::Result<File> {
    opened(path, OpenOptions::new().read(true).append(true))
}

fn opened(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    #[cfg(unix)]
    {
        // A pipe in its place would wait for its writer.
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).unwrap_or_default();
        std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags);
    }
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    #[cfg(unix)]
    check(&file, path)?;
    Ok(file)
}

/// Makes a new file that only its owner can open.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Why a directory that somebody named cannot be used, in a sentence.
pub(crate) fn unusable(path: &Path, source: &io::Error) -> String {
    let shown = path.display();
    if path.exists() && !path.is_dir() {
        return format!("{shown} is a file, not a directory");
    }
    match source.kind() {
        io::ErrorKind::NotFound => format!("{shown} does not exist"),
        io::ErrorKind::PermissionDenied => {
            format!("you may not use {shown}: it belongs to another user, or its mode forbids it")
        }
        _ => format!("{shown} cannot be used: {source}"),
    }
}

#[cfg(unix)]
fn check(handle: impl std::os::fd::AsFd, path: &Path) -> io::Result<()> {
    use rustix::fs::{FileType, Mode, fstat};
    let status = fstat(handle)?;
    let user = rustix::process::geteuid().as_raw();
    if status.st_uid != user {
        return Err(io::Error::other(format!("it belongs to user {}, not to you (user {user})", status.st_uid)));
    }
    let mode = Mode::from_raw_mode(status.st_mode);
    if mode.intersects(Mode::RWXG | Mode::RWXO) {
        let wanted = if FileType::from_raw_mode(status.st_mode) == FileType::Directory { "700" } else { "600" };
        let mode = mode.as_raw_mode() & 0o777;
        let path = path.display();
        return Err(io::Error::other(format!("others can open it (mode {mode:03o}); run: chmod {wanted} '{path}'")));
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn what_others_can_open_is_refused_with_the_command_to_run() {
        let root = tempfile::tempdir().unwrap();
        let made = root.path().join("a/b");
        directory(&made).unwrap();
        assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o700);
        let file = made.join("file");
        drop(create(&file).unwrap());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        open(&file).unwrap();

        for (path, mode) in [(&made, 0o755), (&made, 0o770), (&file, 0o644), (&file, 0o620)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            let refusal = if path == &made { directory(path) } else { open(path).map(drop) };
            assert!(refusal.unwrap_err().to_string().contains("run: chmod"), "{mode:o}");
            fs::set_permissions(path, fs::Permissions::from_mode(if path == &made { 0o700 } else { 0o600 })).unwrap();
        }
    }

    #[test]
    fn a_link_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let (target, link) = (root.path().join("target"), root.path().join("link"));
        directory(&target).unwrap();
        drop(create(&target.join("file")).unwrap());
        symlink(&target, &link).unwrap();
        assert!(directory(&link).unwrap_err().to_string().contains("symbolic link"));
        let link = root.path().join("file");
        symlink(target.join("file"), &link).unwrap();
        assert!(open(&link).is_err());
    }
}
