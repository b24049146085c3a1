//! What a directory below a root looks out for: files that decide over trust.

use super::LocalFileError;
use crate::system::protected::{FileId, Protected};
use cap_std::fs::Metadata;
use std::path::Path;
use std::sync::Arc;

/// What a directory looks out for below a root.
#[derive(Debug, Clone)]
pub(super) struct Guard(pub(super) Arc<Protected>);

impl Guard {
    /// Refuses a file or directory that was found.
    pub(super) fn admit(&self, found: &Metadata, path: &Path) -> Result<(), LocalFileError> {
        if self.0.look().has(found) { Err(Self::refusal(path)) } else { Ok(()) }
    }

    /// Refuses to make something at this place.
    pub(super) fn admit_name(&self, directory: FileId, path: &Path) -> Result<(), LocalFileError> {
        let name = path.file_name().unwrap_or_default();
        if self.0.look().has_name(directory, name) { Err(Self::refusal(path)) } else { Ok(()) }
    }

    fn refusal(path: &Path) -> LocalFileError {
        LocalFileError::OutOfReach {
            path: path.to_owned(),
            reason: "it belongs to the configuration, saved state or credentials",
        }
    }
}
