//! Names that the service gives to files: a local path made of one stays in its directory.

use super::*;
use crate::fuzz::Words;
use bolero::check;

const WORDS: &[&str] = &[
    "a", "file.txt", ".", "..", "/", "//", "\\", "\0", "C:", "~", "-rf", " ", "\n", "etc", "passwd", "…", "．．", "／",
    "NUL",
];

#[test]
fn a_local_path_of_a_remote_name_stays_in_its_directory() {
    let root = Path::new("/home/ada/downloads");
    check!().with_generator((Words(WORDS), Words(WORDS))).for_each(|(name, directory): &(String, String)| {
        if let Ok(own) = own_name(name) {
            let local = root.join(own);
            assert_eq!(local.parent(), Some(root), "{name:?} leads elsewhere");
            assert_eq!(local.file_name().and_then(std::ffi::OsStr::to_str), Some(name.as_str()));
            assert_eq!(local.components().count(), root.components().count() + 1);
        }
        let Ok(path) = name.parse::<RemotePath>() else { return };
        if let Some(last) = path.name() {
            assert!(!last.contains('/') && !last.is_empty() && last != ".", "{last:?}");
            assert!(path.as_str().contains(last));
        }
        if let Some(parent) = path.parent() {
            assert!(path.as_str().starts_with(parent.as_str()) && parent.as_str().len() < path.as_str().len());
        }
        // What is sent up goes below the directory that was named.
        if let Ok(directory) = directory.parse::<RemotePath>()
            && let Ok(target) = below(&directory, std::ffi::OsStr::new(name))
        {
            let start = directory.as_str().trim_end_matches('/');
            assert_eq!(target.as_str(), format!("{start}/{name}"));
        }
    });
}
