//! A session's home as clients reach it: paths stay inside, whatever they say and wherever links in it lead.
//!
//! Every function here blocks; the gateway calls them on a separate thread.

use crate::store::REMOVALS;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, Metadata};
use serde::Serialize;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Beside the home: what is being uploaded, out of the agent's sight until it is whole.
const INCOMING: &str = "incoming";

/// A path below a home: no leading slash, no `.` and no `..`; empty is the home itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HomePath(String);

impl HomePath {
    /// Reads a client's path. A leading slash means the home too, as in `files list /data`; `..` is refused.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.contains(['\0', '\\']) {
            return Err("a path in a session's home has neither NUL nor backslash");
        }
        let segments: Vec<_> = text.split('/').filter(|segment| !matches!(*segment, "" | ".")).collect();
        if segments.contains(&"..") {
            return Err("a path in a session's home may not contain '..'");
        }
        Ok(Self(segments.join("/")))
    }

    /// As answers show it; the home is `.`.
    pub(crate) fn shown(&self) -> &str {
        if self.is_home() { "." } else { &self.0 }
    }

    pub(crate) fn is_home(&self) -> bool {
        self.0.is_empty()
    }

    /// The last segment.
    fn name(&self) -> &str {
        self.shown().rsplit('/').next().unwrap_or_default()
    }

    fn parent(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(parent, _)| parent)
    }

    fn child(&self, name: &str) -> Self {
        if self.is_home() { Self(name.to_owned()) } else { Self(format!("{}/{name}", self.0)) }
    }
}

/// A file or directory, with the keys of both generations of clients (contract section 5).
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    path: String,
    is_directory: bool,
    is_dir: bool,
    /// Bytes; 0 for a directory.
    size: u64,
    /// Permission bits, for example 420 for `rw-r--r--`.
    mode: u32,
    /// Unix seconds.
    modified_time: u64,
}

impl Entry {
    fn new(path: &HomePath, metadata: &Metadata) -> Self {
        let modified = metadata.modified().ok().map(cap_std::time::SystemTime::into_std);
        let since = |time: SystemTime| time.duration_since(UNIX_EPOCH).ok();
        Self {
            name: path.name().to_owned(),
            path: path.shown().to_owned(),
            is_directory: metadata.is_dir(),
            is_dir: metadata.is_dir(),
            size: if metadata.is_dir() { 0 } else { metadata.len() },
            mode: mode(metadata),
            modified_time: modified.and_then(since).map_or(0, |since| since.as_secs()),
        }
    }
}

#[cfg(unix)]
fn mode(metadata: &Metadata) -> u32 {
    use cap_std::fs::PermissionsExt;
    metadata.permissions().mode() & 0o777
}

#[cfg(not(unix))]
fn mode(metadata: &Metadata) -> u32 {
    if metadata.is_dir() { 0o755 } else { 0o644 }
}

/// The home of one session.
pub(crate) struct Home(Dir);

impl Home {
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        Dir::open_ambient_dir(directory, ambient_authority()).map(Self)
    }

    /// The file to read and its length in bytes. Only a regular file: opening a pipe would wait for its writer.
    pub(crate) fn read(&self, path: &HomePath) -> io::Result<(fs::File, u64)> {
        let metadata = self.0.metadata(path.shown())?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let file: File = self.0.open(path.shown())?;
        let length = file.metadata()?.len();
        Ok((file.into_std(), length))
    }

    /// What is directly inside a directory, by name.
    pub(crate) fn list(&self, path: &HomePath) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in self.0.read_dir(path.shown())? {
            let entry = entry?;
            let child = path.child(&entry.file_name().to_string_lossy());
            // A link that leads nowhere, or outside, is listed as what it is itself.
            let metadata = self.0.metadata(child.shown()).or_else(|_| entry.metadata());
            match metadata {
                Ok(metadata) => entries.push(Entry::new(&child, &metadata)),
                // The agent may have removed it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    pub(crate) fn stat(&self, path: &HomePath) -> io::Result<Entry> {
        Ok(Entry::new(path, &self.0.metadata(path.shown())?))
    }

    /// Makes a directory and those above it; false when it is there already.
    pub(crate) fn make_directory(&self, path: &HomePath) -> io::Result<bool> {
        if self.0.metadata(path.shown()).is_ok_and(|metadata| metadata.is_dir()) {
            return Ok(false);
        }
        self.0.create_dir_all(path.shown()).map(|()| true)
    }

    /// Removes a file, a link (not what it leads to), or a directory: an empty one, or with `recursive` any.
    pub(crate) fn remove(&self, path: &HomePath, recursive: bool) -> io::Result<()> {
        match self.0.symlink_metadata(path.shown())? {
            metadata if !metadata.is_dir() => self.0.remove_file(path.shown()),
            _ if recursive => {
                // The agent may write there meanwhile.
                let remove = || self.0.remove_dir_all(path.shown());
                let is_refilled = |done: &io::Result<()>| {
                    done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::DirectoryNotEmpty)
                };
                (1..REMOVALS).map(|_| remove()).find(|done| !is_refilled(done)).unwrap_or_else(remove)
            }
            _ => self.0.remove_dir(path.shown()),
        }
    }

    /// Puts an uploaded file in its place, at once and as a whole. Directories above it are made.
    pub(crate) fn place(&self, upload: &Upload, path: &HomePath) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            self.0.create_dir_all(parent)?;
        }
        if self.0.symlink_metadata(path.shown()).is_ok_and(|metadata| metadata.is_dir()) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let incoming = Dir::open_ambient_dir(&upload.directory, ambient_authority())?;
        incoming.rename(&upload.name, &self.0, path.shown())
    }
}

/// A file on its way in, removed again unless it reaches its place.
pub(crate) struct Upload {
    directory: PathBuf,
    name: String,
}

impl Upload {
    /// A new empty file in the session's `directory`, beside its home.
    pub(crate) fn begin(directory: &Path) -> io::Result<(Self, fs::File)> {
        let upload = Self { directory: directory.join(INCOMING), name: crate::ids::hex() };
        match fs::create_dir(&upload.directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let file = fs::File::create_new(upload.directory.join(&upload.name))?;
        Ok((upload, file))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // In its place it is no longer here. One that stays behind is the session's, and goes with it.
        let _ = fs::remove_file(self.directory.join(&self.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn path(text: &str) -> HomePath {
        HomePath::parse(text).unwrap()
    }

    fn home() -> (tempfile::TempDir, Home) {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("home")).unwrap();
        let home = Home::open(&directory.path().join("home")).unwrap();
        (directory, home)
    }

    fn put(directory: &Path, home: &Home, name: &str, content: &[u8]) -> io::Result<()> {
        let (upload, mut file) = Upload::begin(directory).unwrap();
        file.write_all(content).unwrap();
        home.place(&upload, &path(name))
    }

    #[test]
    fn a_path_is_read_as_one_below_the_home() {
        for (text, shown) in
            [("", "."), (".", "."), ("/", "."), ("/data/", "data"), ("./a//b/./c", "a/b/c"), ("..a", "..a")]
        {
            assert_eq!(path(text).shown(), shown, "{text}");
        }
        for text in ["..", "../a", "a/../b", "/..", "a\0b", "a\\b"] {
            assert!(HomePath::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_upload_that_does_not_reach_its_place_leaves_nothing() {
        let (directory, home) = home();
        fs::create_dir(directory.path().join("home/taken")).unwrap();
        assert_eq!(put(directory.path(), &home, "taken", b"x").unwrap_err().kind(), io::ErrorKind::IsADirectory);
        put(directory.path(), &home, "file", b"x").unwrap();
        assert!(put(directory.path(), &home, "file/below", b"x").is_err());
        assert_eq!(fs::read_dir(directory.path().join(INCOMING)).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_out_of_the_home_is_never_followed() {
        let (directory, home) = home();
        let outside = directory.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        for (link, target) in [("up", ".."), ("absolute", outside.to_str().unwrap()), ("file", "../outside/secret")] {
            std::os::unix::fs::symlink(target, directory.path().join("home").join(link)).unwrap();
        }
        for name in ["up/outside/secret", "absolute/secret", "file"] {
            assert!(home.read(&path(name)).is_err(), "{name}");
            assert!(home.stat(&path(name)).is_err(), "{name}");
        }
        assert!(home.list(&path("up")).is_err());
        assert!(home.make_directory(&path("absolute/made")).is_err());
        assert!(put(directory.path(), &home, "absolute/planted", b"x").is_err());
        assert!(home.remove(&path("absolute/secret"), true).is_err());
        let names: Vec<_> = home.list(&path("")).unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["absolute", "file", "up"]);

        // Writing to a link replaces it, and removing one removes only the link.
        put(directory.path(), &home, "file", b"mine").unwrap();
        home.remove(&path("absolute"), true).unwrap();
        assert_eq!(fs::read_to_string(outside.join("secret")).unwrap(), "secret");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        let mut text = String::new();
        home.read(&path("file")).unwrap().0.read_to_string(&mut text).unwrap();
        assert_eq!(text, "mine");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_within_the_home_is_followed() {
        let (directory, home) = home();
        put(directory.path(), &home, "data/a.txt", b"four").unwrap();
        std::os::unix::fs::symlink("data", directory.path().join("home/link")).unwrap();
        let entry = home.stat(&path("link/a.txt")).unwrap();
        assert_eq!((entry.size, entry.is_dir), (4, false));
        assert!(home.stat(&path("link")).unwrap().is_directory);
    }
}
