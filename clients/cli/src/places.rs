//! Where files of the user are: the one rule that the daemon and every client follow.
//!
//! Pure: callers hand in how a variable is looked up, so that each program reads its environment in one place.

use std::ffi::OsString;
use std::path::PathBuf;

/// Cupola's own configuration: `$XDG_CONFIG_HOME/cupola`, else `~/.config/cupola`; `%APPDATA%\cupola` on Windows.
pub fn config_directory(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let parent = if cfg!(windows) {
        absolute(&variable, "APPDATA")
    } else {
        absolute(&variable, "XDG_CONFIG_HOME").or_else(|| Some(absolute(&variable, "HOME")?.join(".config")))
    };
    Some(parent?.join("cupola"))
}

/// azd's own directory, with its `config.json`: `AZD_CONFIG_DIR`, else `~/.azd`.
pub fn azd_config_directory(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let home = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    absolute(&variable, "AZD_CONFIG_DIR").or_else(|| Some(absolute(&variable, home)?.join(".azd")))
}

/// Where azd and az keep who is signed in: azd's own directory, and `AZURE_CONFIG_DIR`, else `~/.azure`.
pub fn sign_in_directories(variable: impl Fn(&str) -> Option<OsString>) -> impl Iterator<Item = PathBuf> {
    let home = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    let az = absolute(&variable, "AZURE_CONFIG_DIR").or_else(|| Some(absolute(&variable, home)?.join(".azure")));
    azd_config_directory(variable).into_iter().chain(az)
}

/// A relative path would mean another directory to every program.
fn absolute(variable: &impl Fn(&str) -> Option<OsString>, name: &str) -> Option<PathBuf> {
    variable(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_relative_path_in_a_variable_is_ignored() {
        let set = |pairs: &'static [(&str, &str)]| {
            move |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        };
        let home = set(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "x"), ("AZD_CONFIG_DIR", "a")]);
        assert_eq!(config_directory(home).as_deref(), Some(Path::new("/h/.config/cupola")));
        assert_eq!(azd_config_directory(home).as_deref(), Some(Path::new("/h/.azd")));
        let named = set(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x"), ("AZD_CONFIG_DIR", "/a")]);
        assert_eq!(config_directory(named).as_deref(), Some(Path::new("/x/cupola")));
        assert_eq!(azd_config_directory(named).as_deref(), Some(Path::new("/a")));
    }
}
