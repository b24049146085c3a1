//! `SHA256SUMS`: the digests of all packages, as `sha256sum --check` reads them.

use super::write as write_file;
use sha2::{Digest as _, Sha256};
use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// The name of the file.
const NAME: &str = "SHA256SUMS";

/// Writes the digests of all files in a directory, so that packages of other platforms that were put there are included.
pub(super) fn write(out: &Path) -> Result<(), String> {
    let entries = fs::read_dir(out).map_err(|error| format!("{}: {error}", out.display()))?;
    let mut names: Vec<_> =
        entries.flatten().filter(|entry| entry.path().is_file()).map(|entry| entry.file_name()).collect();
    names.retain(|name| name != NAME);
    names.sort();
    let line = |name: &OsString| Ok(format!("{}  {}\n", of(&out.join(name))?, name.to_string_lossy()));
    let sums = names.iter().map(line).collect::<Result<String, String>>()?;
    write_file(&out.join(NAME), sums)
}

/// The digest of a file, in hexadecimal digits.
pub(super) fn of(path: &Path) -> Result<String, String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(format!("{:x}", Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_are_those_of_all_other_files() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("b"), "abc").unwrap();
        fs::write(place.path().join("a"), "").unwrap();
        for _again in 0..2 {
            write(place.path()).unwrap();
            let sums = fs::read_to_string(place.path().join(NAME)).unwrap();
            // The digests of nothing and of "abc" from FIPS 180-2.
            assert_eq!(
                sums,
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a\n\
                 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  b\n"
            );
        }
    }
}
