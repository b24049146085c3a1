//! A project's files: of this user or root, regular, bounded, and text.

use super::ProjectError;
use cupola_cli::ownership::{self, Rule, User};
use std::path::Path;

/// The most that is read of one file, in bytes. A long `azure.yaml` has some thousand lines; azd's own `config.json` keeps
/// an id per agent, version and user.
pub(super) const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The file's text as `user` may believe it; nothing if there is no such file.
pub(super) fn text(path: &Path, user: User) -> Result<Option<String>, ProjectError> {
    Ok(ownership::text(path, Rule::Project, MAX_FILE_BYTES, user)?)
}
