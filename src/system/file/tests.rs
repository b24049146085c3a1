//! Local files: replaced as a whole, opened as what they are, and nothing beyond a root.

use super::*;
use crate::system::protected::Protected;
use std::fs::Permissions;
use std::time::Duration;

const LIMIT: u64 = 50 * 1024 * 1024;

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

async fn begin(path: &Path) -> Result<Draft, LocalFileError> {
    Local::Anywhere.draft(path).await
}

#[tokio::test]
async fn a_file_is_replaced_as_a_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.txt");
    fs::write(&path, "old").unwrap();
    let mut draft = begin(&path).await.unwrap();
    draft.write(b"ne").await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    drop(draft);
    assert_eq!((names(directory.path()), fs::read_to_string(&path).unwrap()), (vec!["a.txt".into()], "old".into()));
    let mut draft = begin(&path).await.unwrap();
    draft.write(b"new").await.unwrap();
    draft.place().await.unwrap();
    assert_eq!((names(directory.path()), fs::read_to_string(&path).unwrap()), (vec!["a.txt".into()], "new".into()));
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_stays_one_and_permissions_stay() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let (real, link) = (directory.path().join("real"), directory.path().join("link"));
    fs::write(&real, "old").unwrap();
    fs::set_permissions(&real, Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let mut draft = begin(&link).await.unwrap();
    draft.write(b"new").await.unwrap();
    draft.place().await.unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&real).unwrap(), "new");
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_not_a_file_is_neither_read_nor_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let (place, device) = (directory.path(), Path::new("/dev/null"));
    let refused = Local::Anywhere.open(place, 10).await.unwrap_err().to_string();
    assert!(refused.contains("is a directory, not a file"), "{refused}");
    for error in [Local::Anywhere.open(device, 10).await.unwrap_err(), begin(device).await.unwrap_err()] {
        assert!(error.to_string().contains("is not a regular file"), "{error}");
    }
    let taken = begin(place).await.unwrap_err().to_string();
    assert!(taken.contains("is a directory; a file cannot take its place"), "{taken}");
    let missing = place.join("none/a.txt");
    assert!(Local::Anywhere.open(&missing, 10).await.unwrap_err().to_string().contains("cannot be read"));
    assert!(begin(&missing).await.unwrap_err().to_string().contains("cannot be written"));
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_with_the_limit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("large");
    File::create(&path).unwrap().set_len(LIMIT + 1).unwrap();
    let error = Local::Anywhere.open(&path, LIMIT).await.unwrap_err().to_string();
    assert!(error.contains("50 MB (52428800 bytes)"), "{error}");
}

#[tokio::test]
async fn what_a_killed_download_left_is_removed_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.txt");
    let aged = |path: &Path| {
        let long_ago = std::time::SystemTime::now() - Duration::from_mins(2);
        File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
    };
    let leftover = format!(".cupola-{}.part", "0".repeat(32));
    let young = format!(".cupola-{}.part", "1".repeat(32));
    for name in [&leftover, &young, ".cupola-notes.part", "theirs.part"] {
        fs::write(directory.path().join(name), "half").unwrap();
        if *name != young {
            aged(&directory.path().join(name));
        }
    }
    let under_way = begin(&path).await.unwrap();
    let draft = names(directory.path());
    let other = begin(&directory.path().join("b.txt")).await.unwrap();
    let left = names(directory.path());
    assert!(!left.contains(&leftover), "{left:?}");
    assert!(left.contains(&young) && left.contains(&".cupola-notes.part".to_owned()) && left.len() == 5, "{left:?}");
    for name in draft.iter().filter(|name| name.starts_with(".cupola-") && **name != young) {
        aged(&directory.path().join(name));
    }
    drop(other);
    drop(begin(&path).await.unwrap());
    under_way.place().await.unwrap();
    assert!(path.is_file(), "a download that was under way was harmed");
}

/// A root with a file, a directory and a way out of it, and what must not be reached.
#[cfg(unix)]
async fn root(place: &Path) -> Local {
    for directory in ["root/in", "outside", "state"] {
        fs::create_dir_all(place.join(directory)).unwrap();
    }
    for file in ["root/a", "root/in/b", "outside/secret", "state/token"] {
        fs::write(place.join(file), file).unwrap();
    }
    let protected = Protected::new([place.join("state"), place.join("root/config.toml")]);
    Local::Below(Arc::new(Root::open(&place.join("root"), protected).await.unwrap()))
}

#[cfg(unix)]
fn is_out_of_reach<T>(outcome: &Result<T, LocalFileError>) -> bool {
    matches!(outcome, Err(LocalFileError::OutOfReach { .. }))
}

#[cfg(unix)]
#[tokio::test]
async fn below_a_root_only_what_is_there_by_its_own_name_is_reached() {
    use std::os::unix::fs::symlink;
    let place = tempfile::tempdir().unwrap();
    let at = |path: &str| place.path().join(path);
    let local = root(place.path()).await;
    assert_eq!(local.open(&at("root/a"), LIMIT).await.unwrap().length, 6);
    assert_eq!(local.open(&at("root/./in//b"), LIMIT).await.unwrap().length, 9);
    symlink(at("outside/secret"), at("root/link")).unwrap();
    symlink(at("outside"), at("root/way")).unwrap();
    symlink("in", at("root/within")).unwrap();
    symlink(at("outside/new"), at("root/dangling")).unwrap();
    fs::hard_link(at("state/token"), at("root/hard")).unwrap();
    for path in [
        "outside/secret",
        "root/../outside/secret",
        "root/in/../a",
        "root/link",
        "root/way/secret",
        "root/within/b",
        "root/dangling",
        "root/hard",
        "root/config.toml",
        "root/CONFIG.toml",
        "state/token",
        "",
    ] {
        let path = at(path);
        let is_missing = path.ends_with("config.toml") || path.ends_with("CONFIG.toml");
        assert!(is_missing || is_out_of_reach(&local.open(&path, LIMIT).await), "{path:?} was read");
        assert!(is_out_of_reach(&begin_in(&local, &path).await), "{path:?} was written");
    }
    for path in ["root/way", "root/within", "root/config.toml", "root/way/x", "outside/x"] {
        assert!(is_out_of_reach(&local.make_directory(&at(path)).await), "{path} was made");
    }
    assert_eq!(fs::read_to_string(at("outside/secret")).unwrap(), "outside/secret");
    assert_eq!(names(&at("outside")), ["secret"]);
    assert_eq!(names(&at("root")), ["a", "dangling", "hard", "in", "link", "way", "within"]);
}

#[cfg(unix)]
async fn begin_in(local: &Local, path: &Path) -> Result<Draft, LocalFileError> {
    local.draft(path).await
}

/// Whatever takes a name's place after it was opened is not what is used.
#[cfg(unix)]
#[tokio::test]
async fn a_link_that_takes_a_directory_s_place_leads_nowhere() {
    use std::os::unix::fs::symlink;
    let place = tempfile::tempdir().unwrap();
    let at = |path: &str| place.path().join(path);
    let local = root(place.path()).await;
    let opened = local.directory(&at("root/in")).await.unwrap();
    let mut draft = local.draft(&at("root/in/new")).await.unwrap();
    draft.write(b"new").await.unwrap();
    fs::rename(at("root/in"), at("root/moved")).unwrap();
    fs::create_dir(at("outside/in")).unwrap();
    symlink(at("outside/in"), at("root/in")).unwrap();
    draft.place().await.unwrap();
    assert_eq!(fs::read_to_string(at("root/moved/new")).unwrap(), "new");
    assert!(names(&at("outside/in")).is_empty());
    assert_eq!(opened.names().await.unwrap(), ["b", "new"]);
    // The place itself may become a link, or a protected file, while a file is fetched.
    let draft = local.draft(&at("root/moved/b")).await.unwrap();
    fs::remove_file(at("root/moved/b")).unwrap();
    symlink(at("outside/secret"), at("root/moved/b")).unwrap();
    assert!(is_out_of_reach(&draft.place().await));
    let draft = local.draft(&at("root/moved/c")).await.unwrap();
    fs::hard_link(at("state/token"), at("root/moved/c")).unwrap();
    assert!(is_out_of_reach(&draft.place().await));
    assert_eq!(fs::read_to_string(at("outside/secret")).unwrap(), "outside/secret");
    assert_eq!(names(&at("root/moved")), ["b", "c", "new"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_root_is_not_a_protected_directory_and_not_in_one() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir_all(place.path().join("state/deep")).unwrap();
    std::os::unix::fs::symlink(place.path().join("state/deep"), place.path().join("link")).unwrap();
    for name in ["state", "state/deep", "link"] {
        let protected = Protected::new([place.path().join("state")]);
        assert!(is_out_of_reach(&Root::open(&place.path().join(name), protected).await), "{name}");
    }
    let missing = Root::open(&place.path().join("none"), Protected::default()).await;
    assert!(matches!(missing, Err(LocalFileError::Read { .. })));
}

/// A pipe is not waited for, even one that takes a file's place.
#[cfg(unix)]
#[tokio::test]
async fn what_is_not_a_regular_file_is_refused_at_once() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let place = tempfile::tempdir().unwrap();
    let local = root(place.path()).await;
    let pipe = place.path().join("root/pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    for error in [local.open(&pipe, LIMIT).await.unwrap_err(), local.draft(&pipe).await.unwrap_err()] {
        assert!(matches!(error, LocalFileError::NoFile { .. }), "{error}");
    }
    let directory = local.directory(&place.path().join("root")).await.unwrap();
    assert_eq!(directory.kind("pipe".as_ref()).await.unwrap(), Kind::Skipped("neither a file nor a directory"));
}
