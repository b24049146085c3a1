//! Drafts: what they are called, and those that a killed daemon left.

use cap_std::fs::Dir;
use std::path::Path;
use std::time::Duration;
use uuid::Uuid;

/// What a draft's name begins and ends with; between them are 32 hexadecimal digits.
const DRAFT: (&str, &str) = (".cupola-", ".part");

/// How old a draft is before it is taken for a leftover. It is locked as long as it is being written; this is the moment
/// between its making and its locking, generously.
const LEFTOVER_AGE: Duration = Duration::from_mins(1);

/// Most names that are looked at for leftovers. A directory that is larger is not worth the time.
const MAX_LOOKED_AT: usize = 10_000;

/// A name for a draft that nothing else has.
pub(super) fn draft_name() -> String {
    format!("{}{}{}", DRAFT.0, Uuid::new_v4().simple(), DRAFT.1)
}

/// Removes drafts that no process is writing.
pub(super) fn sweep(directory: &Dir, path: &Path) {
    let Ok(entries) = directory.entries() else { return };
    for entry in entries.take(MAX_LOOKED_AT).flatten() {
        let name = entry.file_name();
        if !is_draft(&name.to_string_lossy()) {
            continue;
        }
        let is_old = entry.metadata().is_ok_and(|found| {
            let age = found.modified().map(|at| at.into_std().elapsed());
            found.is_file() && matches!(age, Ok(Ok(age)) if age >= LEFTOVER_AGE)
        });
        if is_old && directory.open(&name).is_ok_and(|file| file.into_std().try_lock().is_ok()) {
            let path = path.join(&name);
            match directory.remove_file(&name) {
                Ok(()) => tracing::info!(path = %path.display(), "removed what a killed download left"),
                Err(error) => tracing::warn!(path = %path.display(), %error, "a leftover could not be removed"),
            }
        }
    }
}

fn is_draft(name: &str) -> bool {
    let id = name.strip_prefix(DRAFT.0).and_then(|name| name.strip_suffix(DRAFT.1));
    id.is_some_and(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
