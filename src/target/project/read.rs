//! A project's files: of this user or root, regular, bounded, and text.

use super::ProjectError;
use cupola_cli::ownership::{self, Rule, Unusable, User};
use std::io::{Error, ErrorKind};
use std::path::Path;

/// The most that is read of one file, in bytes. A long `azure.yaml` has some thousand lines; azd's own `config.json` keeps
/// an id per agent, version and user.
pub(super) const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The file's text as `user` may believe it; `None` if the file does not exist. Editors and shells of Windows begin files with a byte
/// order mark, and write UTF-16.
pub(super) fn text(path: &Path, user: User) -> Result<Option<String>, ProjectError> {
    let Some(bytes) = ownership::bytes(path, Rule::Project, MAX_FILE_BYTES, user)? else { return Ok(None) };
    let refused = || {
        let source = Error::new(ErrorKind::InvalidData, "it is not UTF-8 text");
        Unusable::Unreadable { path: path.to_owned(), source }
    };
    Ok(Some(decoded(bytes).ok_or_else(refused)?))
}

/// The text without its byte order mark. UTF-16 is known by its mark alone.
fn decoded(bytes: Vec<u8>) -> Option<String> {
    let wide = |unit: fn([u8; 2]) -> u16, bytes: &[u8]| {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().copied().map(unit).collect();
        if rest.is_empty() { String::from_utf16(&units).ok() } else { None }
    };
    match bytes.as_slice() {
        [0xFF, 0xFE, rest @ ..] => wide(u16::from_le_bytes, rest),
        [0xFE, 0xFF, rest @ ..] => wide(u16::from_be_bytes, rest),
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8(rest.to_vec()).ok(),
        _ => String::from_utf8(bytes).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_windows_are_text() {
        let wide = |mark: [u8; 2], bytes: fn(u16) -> [u8; 2]| {
            let units = "A=ü🦀".encode_utf16().flat_map(bytes);
            mark.into_iter().chain(units).collect::<Vec<u8>>()
        };
        for bytes in [
            "A=ü🦀".as_bytes().to_vec(),
            "\u{feff}A=ü🦀".as_bytes().to_vec(),
            wide([0xFF, 0xFE], u16::to_le_bytes),
            wide([0xFE, 0xFF], u16::to_be_bytes),
        ] {
            assert_eq!(decoded(bytes.clone()).as_deref(), Some("A=ü🦀"), "{bytes:?}");
        }
        for bytes in [vec![0xFF, 0xFE, 1], vec![0xC3], vec![0xFF, 0xFE, 0x00, 0xD8]] {
            assert_eq!(decoded(bytes.clone()), None, "{bytes:?}");
        }
    }
}
