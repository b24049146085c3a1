//! Owners and modes on Unix.

use super::{Rule, Unusable};
use rustix::fs::OFlags;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The superuser could change any file anyway.
const ROOT: u32 = 0;
/// Most links one after another, as the kernel follows.
const MAX_LINKS: usize = 40;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Who reads: files of this user and of root are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User(u32);

impl User {
    /// Who runs this process.
    pub fn current() -> Self {
        Self(rustix::process::geteuid().as_raw())
    }

    /// Another user, for a test that cannot give its files to one.
    pub const fn with_id(id: u32) -> Self {
        Self(id)
    }

    /// The user's id.
    pub const fn id(self) -> u32 {
        self.0
    }
}

/// Opens a file for reading. A pipe of that name is not waited for.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)
}

/// Holds the open file, the directories that hold it and the links that lead to it to the rule.
pub(super) fn check(path: &Path, opened: &Metadata, rule: Rule, user: User) -> Result<(), Unusable> {
    is_own(path, opened, user)?;
    is_safe(path, opened, rule)?;
    let mut at = path.to_owned();
    for _ in 0..MAX_LINKS {
        let unreadable = |source| Unusable::Unreadable { path: at.clone(), source };
        let found = fs::symlink_metadata(&at).map_err(unreadable)?;
        is_own(&at, &found, user)?;
        let directory = match at.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => Path::new(".").to_owned(),
        };
        // A directory is reached by a link as well as a file is.
        is_own(&directory, &fs::symlink_metadata(&directory).map_err(unreadable)?, user)?;
        let holder = fs::metadata(&directory).map_err(unreadable)?;
        is_own(&directory, &holder, user)?;
        if holder.mode() & STICKY == 0 {
            is_safe(&directory, &holder, rule)?;
        }
        if !found.is_symlink() {
            return Ok(());
        }
        at = directory.join(fs::read_link(&at).map_err(unreadable)?);
    }
    Err(Unusable::Unreadable { path: path.to_owned(), source: rustix::io::Errno::LOOP.into() })
}

fn is_own(path: &Path, found: &Metadata, user: User) -> Result<(), Unusable> {
    if is_believed(found.uid(), user) {
        return Ok(());
    }
    Err(Unusable::NotOwned { path: path.to_owned(), owner: found.uid(), user: user.id() })
}

fn is_safe(path: &Path, found: &Metadata, rule: Rule) -> Result<(), Unusable> {
    if rule == Rule::Project || !others_can_write(found.mode(), found.uid(), found.gid()) {
        return Ok(());
    }
    Err(Unusable::Writable { path: path.to_owned(), mode: found.mode() & 0o7777 })
}

const fn is_believed(owner: u32, user: User) -> bool {
    owner == user.0 || owner == ROOT
}

/// Whether anyone but the owner can write. The owner's own group has the owner's id.
const fn others_can_write(mode: u32, owner: u32, group: u32) -> bool {
    mode & OTHERS_WRITE != 0 || (mode & GROUP_WRITES != 0 && group != owner)
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};
    use tempfile::TempDir;

    /// A user that is neither root nor anyone here.
    const STRANGER: u32 = 54_321;
    const LIMIT: u64 = 1024;

    /// A directory with `file` in it, and what makes one of its paths a stranger's: as root it is given away, and otherwise
    /// everything else is.
    struct Place {
        directory: TempDir,
    }

    impl Place {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            fs::write(directory.path().join("file"), "text").unwrap();
            Self { directory }
        }

        fn path(&self, name: &str) -> std::path::PathBuf {
            self.directory.path().join(name)
        }

        fn read(&self, name: &str, rule: Rule) -> Result<Option<String>, Unusable> {
            text(&self.path(name), rule, LIMIT, User::current())
        }
    }

    fn is_root() -> bool {
        User::current().id() == ROOT
    }

    #[test]
    fn only_files_of_this_user_and_of_root_are_believed() {
        let place = Place::new();
        assert_eq!(place.read("file", Rule::Project).unwrap().as_deref(), Some("text"));
        let refused = if is_root() {
            chown(place.path("file"), Some(STRANGER), None).unwrap();
            place.read("file", Rule::Project)
        } else {
            text(&place.path("file"), Rule::Project, LIMIT, User::with_id(STRANGER))
        };
        let refused = refused.unwrap_err();
        let (said, hint) = (refused.to_string(), refused.hint().unwrap());
        let owner = if is_root() { STRANGER } else { User::current().id() };
        let user = if is_root() { ROOT } else { STRANGER };
        assert!(said.contains(&format!("file belongs to user {owner}, not to you (user {user}) or root")), "{said}");
        assert!(hint.contains(&format!("chown -h {user} ")), "{hint}");
        for (owner, user, is_ok) in [(1000, 1000, true), (0, 1000, true), (1001, 1000, false), (1000, 0, false)] {
            assert_eq!(is_believed(owner, User::with_id(user)), is_ok, "{owner} {user}");
        }
    }

    #[test]
    fn the_directory_and_every_link_on_the_way_count_as_the_file_does() {
        // Only root can give things away; the checks themselves are the same that the test above makes for anyone.
        for (name, culprit) in [("below/file", "below"), ("link", "link"), ("link", "below"), ("way/file", "way")] {
            let place = Place::new();
            fs::create_dir(place.path("below")).unwrap();
            fs::write(place.path("below/file"), "text").unwrap();
            symlink("below/file", place.path("link")).unwrap();
            symlink("below", place.path("way")).unwrap();
            assert!(place.read(name, Rule::Configuration).is_ok(), "{name}");
            let refused = if is_root() {
                // Of a link itself, not of what it leads to.
                lchown(place.path(culprit), Some(STRANGER), None).unwrap();
                place.read(name, Rule::Project)
            } else {
                text(&place.path(name), Rule::Project, LIMIT, User::with_id(STRANGER))
            };
            match refused.unwrap_err() {
                Unusable::NotOwned { path, .. } => assert!(!is_root() || path.ends_with(culprit), "{path:?} {culprit}"),
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn configuration_that_others_can_write_is_refused_with_the_command_that_mends_it() {
        for (file, directory, culprit) in [
            (0o602, 0o700, Some("file")),
            (0o666, 0o700, Some("file")),
            (0o600, 0o707, Some("")),
            (0o644, 0o1777, None),
        ] {
            let place = Place::new();
            fs::set_permissions(place.path("file"), fs::Permissions::from_mode(file)).unwrap();
            fs::set_permissions(place.path(""), fs::Permissions::from_mode(directory)).unwrap();
            assert!(place.read("file", Rule::Project).is_ok(), "a project may be shared");
            let Some(culprit) = culprit else {
                assert!(place.read("file", Rule::Configuration).is_ok(), "{file:o} {directory:o}");
                continue;
            };
            let refused = place.read("file", Rule::Configuration).unwrap_err();
            let hint = refused.hint().unwrap();
            let culprit = place.path(culprit);
            let shown = culprit.to_str().unwrap().trim_end_matches('/').to_owned();
            assert!(hint.trim_end_matches('/').ends_with(&format!("chmod go-w {shown}")), "{hint}");
            let fixed = std::process::Command::new("chmod").arg("go-w").arg(&culprit).status().unwrap();
            assert!(fixed.success() && place.read("file", Rule::Configuration).is_ok(), "the advice does not help");
        }
    }

    #[test]
    fn the_owners_private_group_is_not_another_user() {
        for (mode, owner, group, can) in [
            (0o100_664, 1000, 1000, false),
            (0o100_664, 1000, 100, true),
            (0o100_664, 0, 0, false),
            (0o100_644, 1000, 100, false),
            (0o100_646, 1000, 1000, true),
        ] {
            assert_eq!(others_can_write(mode, owner, group), can, "{mode:o} {owner}:{group}");
        }
    }

    #[test]
    fn what_is_not_a_file_is_named_and_what_is_not_there_is_nothing() {
        let place = Place::new();
        assert_eq!(place.read("nothing", Rule::Project).unwrap(), None);
        assert_eq!(place.read("file/below", Rule::Project).unwrap(), None);
        symlink("nowhere", place.path("dangling")).unwrap();
        let pipe = place.path("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        fs::create_dir(place.path("directory")).unwrap();
        fs::write(place.path("long"), "x".repeat(1025)).unwrap();
        fs::write(place.path("binary"), [0xff]).unwrap();
        for (name, said) in [
            ("dangling", "a link that leads nowhere"),
            ("pipe", "not a regular file"),
            ("directory", "a directory, not a file"),
            ("long", "larger than 1024 bytes"),
            ("binary", "not UTF-8"),
        ] {
            let refused = place.read(name, Rule::Project).unwrap_err().to_string();
            assert!(refused.contains(said), "{name}: {refused}");
        }
    }
}
