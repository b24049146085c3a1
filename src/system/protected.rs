//! Files that decide over trust: no bound connection reaches them, whatever path leads to them.
//!
//! [`Protected`] is a list of paths. What lies behind them changes, so [`Protected::look`] finds it out each time: files and
//! directories that exist are known by device and inode, so that links, hard links and other spellings of a name make no
//! difference. One that does not exist yet is known by the directory it would be made in, and its name.

use cap_fs_ext::MetadataExt as _;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata};
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};
use std::{fs, io};

/// Most links that are followed from one path; the usual limit of systems.
const MAX_LINKS: usize = 40;

/// Most entries below protected directories that a file with several names is compared with. There are more only where
/// a directory of such a size is shared with something else, and then such a file is refused.
const MAX_ENTRIES: usize = 100_000;

/// Which file it is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// Of an opened file, or of one that was looked at.
    pub fn of(found: &Metadata) -> Self {
        Self { device: found.dev(), inode: found.ino() }
    }
}

/// The paths of files and directories to protect.
#[derive(Debug, Clone, Default)]
pub struct Protected {
    paths: Vec<PathBuf>,
}

impl Protected {
    /// These paths, made absolute. A directory stands for all that is in it.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        Self { paths: paths.into_iter().map(absolute).collect() }
    }

    /// The same, and more.
    #[must_use]
    pub fn and(&self, more: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut all = self.clone();
        all.paths.extend(Self::new(more).paths);
        all
    }

    /// What is there now. Blocks.
    pub fn look(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for path in &self.paths {
            snapshot.add(path, MAX_LINKS);
        }
        snapshot
    }
}

/// What the paths led to at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    found: HashSet<FileId>,
    directories: Vec<PathBuf>,
    /// What does not exist: the directory that exists, and the next name on the way.
    missing: Vec<(FileId, OsString)>,
}

impl Snapshot {
    fn add(&mut self, path: &Path, links: usize) {
        for ancestor in path.ancestors() {
            let Ok(found) = examine(ancestor) else { continue };
            let rest = path.strip_prefix(ancestor).unwrap_or(Path::new(""));
            if found.is_symlink() {
                self.found.insert(FileId::of(&found));
                if let (Ok(target), Some(parent), true) = (fs::read_link(ancestor), ancestor.parent(), links > 0) {
                    let target = parent.join(target);
                    let target = if rest.as_os_str().is_empty() { target } else { target.join(rest) };
                    self.add(&target, links - 1);
                }
            } else if let Some(Component::Normal(name)) = rest.components().next() {
                self.missing.push((FileId::of(&found), name.to_owned()));
            } else {
                self.found.insert(FileId::of(&found));
                if found.is_dir() {
                    self.directories.push(path.to_owned());
                }
            }
            return;
        }
    }

    /// Is it one of the protected files or directories, by this or another name?
    pub fn has(&self, found: &Metadata) -> bool {
        let id = FileId::of(found);
        self.found.contains(&id) || (!found.is_dir() && found.nlink() > 1 && self.has_below(id))
    }

    /// Would a file of this name, made in this directory, be a protected one that does not exist yet?
    pub fn has_name(&self, directory: FileId, name: &OsStr) -> bool {
        self.missing.iter().filter(|(place, _)| *place == directory).any(|(_, missing)| may_be_same(missing, name))
    }

    /// Is there a file with this identity below a protected directory? Only a file with several names can be.
    fn has_below(&self, id: FileId) -> bool {
        let mut left = MAX_ENTRIES;
        let mut waiting: Vec<Dir> =
            self.directories.iter().filter_map(|path| Dir::open_ambient_dir(path, ambient_authority()).ok()).collect();
        while let Some(directory) = waiting.pop() {
            let Ok(entries) = directory.entries() else { continue };
            for entry in entries.flatten() {
                left = match left.checked_sub(1) {
                    Some(left) => left,
                    None => return true,
                };
                let Ok(found) = entry.metadata() else { continue };
                if FileId::of(&found) == id {
                    return true;
                }
                if found.is_dir()
                    && let Ok(below) = entry.open_dir()
                {
                    waiting.push(below);
                }
            }
        }
        false
    }
}

/// What is at a path. A link at its end is not followed.
fn examine(path: &Path) -> io::Result<Metadata> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Dir::open_ambient_dir(parent, ambient_authority())?.symlink_metadata(name),
        _ => Dir::open_ambient_dir(path, ambient_authority())?.dir_metadata(),
    }
}

/// Some systems ignore case, the form of a composed letter, invisible characters, or what follows a dot, a space or a colon
/// at the end. Which ones cannot be asked of a file that does not exist, so what might be the same counts as the same.
fn may_be_same(missing: &OsStr, name: &OsStr) -> bool {
    if !missing.is_ascii() || !name.is_ascii() {
        return true;
    }
    let (missing, name) = (missing.to_string_lossy(), name.to_string_lossy());
    let plain = |name: &str| {
        let name = name.split(':').next().unwrap_or_default();
        name.trim_end_matches(['.', ' ']).to_ascii_lowercase()
    };
    plain(&missing) == plain(&name)
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn look(paths: &[PathBuf]) -> Snapshot {
        Protected::new(paths.iter().cloned()).look()
    }

    #[test]
    fn a_file_is_known_by_every_name_it_has() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::create_dir_all(at("state/deep")).unwrap();
        for name in ["config.toml", "state/deep/token", "other"] {
            fs::write(at(name), name).unwrap();
        }
        symlink(at("config.toml"), at("link.toml")).unwrap();
        fs::hard_link(at("config.toml"), at("hard.toml")).unwrap();
        fs::hard_link(at("state/deep/token"), at("hard-token")).unwrap();
        fs::hard_link(at("other"), at("hard-other")).unwrap();
        let snapshot = look(&[at("link.toml"), at("state")]);
        for (name, is_protected) in [
            ("config.toml", true),
            ("link.toml", true),
            ("hard.toml", true),
            ("hard-token", true),
            ("state", true),
            ("other", false),
            ("hard-other", false),
        ] {
            assert_eq!(snapshot.has(&examine(&at(name)).unwrap()), is_protected, "{name}");
        }
    }

    #[test]
    fn what_does_not_exist_yet_is_protected_by_its_place() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::create_dir(at("real")).unwrap();
        symlink(at("real/config.toml"), at("dangling.toml")).unwrap();
        let snapshot = look(&[at("ca.pem"), at("dangling.toml"), at("none/cupola/config.toml")]);
        let (here, real) = (FileId::of(&examine(place.path()).unwrap()), FileId::of(&examine(&at("real")).unwrap()));
        for (directory, name, is_protected) in [
            (here, "ca.pem", true),
            (here, "CA.PEM", true),
            (here, "ca.pem. ", true),
            (here, "ca.pem::$DATA", true),
            // Some systems take this letter for an ASCII one, or do not see it at all.
            (here, "ca.pem\u{200c}", true),
            (here, "none", true),
            (here, "other", false),
            (real, "config.toml", true),
            (real, "ca.pem", false),
        ] {
            assert_eq!(snapshot.has_name(directory, OsStr::new(name)), is_protected, "{name:?}");
        }
    }
}
