//! `--env` and `--env-file`: the environment variables that the emulator's `exec:` agents get.

use crate::target::project::dotenv;
use std::path::{Path, PathBuf};

/// Why they cannot be read. No value is named: it may be a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum VariablesError {
    /// A file cannot be read.
    #[error("--env-file: {} cannot be read: {source}", path.display())]
    File {
        /// As given.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A line of a file is not an assignment.
    #[error("--env-file: {}, line {line}: {reason}", path.display())]
    Line {
        /// As given.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A variable to pass on is not there.
    #[error(
        "--env {name}: the variable is not set in this environment, or is empty; set it, or write --env {name}=VALUE"
    )]
    NotSet {
        /// Its name.
        name: String,
    },
}

/// Names and values in ascending order of precedence: of the files in their order, then those given one by one, each `NAME=VALUE`, or
/// `NAME` for the value that `lookup` finds.
pub(super) fn read(
    files: &[PathBuf],
    given: &[String],
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, VariablesError> {
    let mut variables = Vec::new();
    for path in files {
        variables.extend(read_file(path)?);
    }
    for text in given {
        variables.push(if let Some((name, value)) = text.split_once('=') {
            (name.to_owned(), value.to_owned())
        } else {
            let value = lookup(text).ok_or_else(|| VariablesError::NotSet { name: text.clone() })?;
            (text.clone(), value)
        });
    }
    Ok(variables)
}

fn read_file(path: &Path) -> Result<impl Iterator<Item = (String, String)>, VariablesError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| VariablesError::File { path: path.to_owned(), source })?;
    let assignments = dotenv::parse(&text).map_err(|error| VariablesError::Line {
        path: path.to_owned(),
        line: error.line,
        reason: error.reason,
    })?;
    Ok(assignments.into_iter().map(|assignment| (assignment.name, assignment.value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_wins_over_files_and_a_later_file_over_an_earlier_one() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let files = [file("a", "# model\nMODEL=\"one two\"\nKEY=a\n"), file("b", "export KEY=b\nREGION='x'\n")];
        let given = ["REGION=y=z".to_owned(), "PASSED".to_owned()];
        let read = read(&files, &given, |name| (name == "PASSED").then(|| "on".to_owned())).unwrap();
        let found: std::collections::BTreeMap<_, _> = read.into_iter().collect();
        let expected = [("KEY", "b"), ("MODEL", "one two"), ("PASSED", "on"), ("REGION", "y=z")];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn what_cannot_be_read_is_named_without_a_value() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("env");
        std::fs::write(&path, "A=1\nsecret-without-a-name\n").unwrap();
        for (files, given, expected) in [
            (vec![directory.path().join("absent")], vec![], "absent cannot be read"),
            (vec![path], vec![], "line 2: a line must read NAME=value"),
            (vec![], vec!["ABSENT".to_owned()], "--env ABSENT=VALUE"),
        ] {
            let error = read(&files, &given, |_| None).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
    }
}
