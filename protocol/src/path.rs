//! Paths of files: in a session's home, and on this machine.

use crate::text::shown_text;

/// Longest path, in bytes; Linux takes no longer one.
const MAX_PATH: usize = 4096;

shown_text! {
    /// A path in a session's home: `data/in.csv`, or with a leading slash, which means the home too. Sent as it is.
    RemotePath, field "path",
    rule "must be 1 to 4096 bytes without control characters",
    |value| (1..=MAX_PATH).contains(&value.len()) && !value.chars().any(char::is_control),
    schema { "minLength" = 1, "maxLength" = MAX_PATH, "pattern" = "^[^\\x00-\\x1f\\x7f-\\x9f]*$" }
}

shown_text! {
    /// A file on this machine, absolute: the daemon's working directory means nothing to a caller.
    LocalPath, field "localPath",
    rule "must be an absolute path of at most 4096 bytes, without NUL",
    |value| value.len() <= MAX_PATH && !value.contains('\0') && std::path::Path::new(value).is_absolute(),
    schema { "minLength" = 1, "maxLength" = MAX_PATH, "pattern" = "^[^\\x00]*$" }
}

impl RemotePath {
    /// The last segment; `None` for the home itself.
    pub fn name(&self) -> Option<&str> {
        self.0.rsplit('/').find(|segment| !segment.is_empty()).filter(|segment| *segment != ".")
    }

    /// The directory it is in; `None` when that is the home.
    pub fn parent(&self) -> Option<Self> {
        let parent = self.0.trim_end_matches('/').rsplit_once('/')?.0.trim_end_matches('/');
        Self::try_from(parent.to_owned()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_knows_its_name_and_its_directory() {
        for (path, name, parent) in [
            ("a.txt", Some("a.txt"), None),
            ("/a.txt", Some("a.txt"), None),
            ("data/in/a.txt", Some("a.txt"), Some("data/in")),
            ("/data//a", Some("a"), Some("/data")),
            ("data/", Some("data"), None),
            (".", None, None),
            ("/", None, None),
        ] {
            let parsed: RemotePath = path.parse().unwrap();
            assert_eq!(parsed.name(), name, "{path}");
            assert_eq!(parsed.parent().as_ref().map(RemotePath::as_str), parent, "{path}");
        }
        for path in ["", "a\0b", "a\nb", &"x".repeat(MAX_PATH + 1)] {
            assert!(path.parse::<RemotePath>().is_err(), "{path:?}");
        }
    }
}
