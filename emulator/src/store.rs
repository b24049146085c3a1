//! What survives a restart: small JSON files, each replaced as a whole, and logs of lines.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

/// Writes `value` so that a reader, also after a crash, finds the old file or the new one and nothing between.
pub(crate) fn save(path: &Path, value: &impl Serialize) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let draft = path.with_extension("draft");
    fs::write(&draft, serde_json::to_vec(value)?)?;
    fs::rename(&draft, path)
}

/// Reads what [`save`] wrote. A damaged file is reported with its path and counts as absent.
pub(crate) fn load<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = fs::read(path).ok()?;
    serde_json::from_slice(&bytes)
        .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "left out a damaged record"))
        .ok()
}

/// Adds one line to a log of records, and says where it begins, for [`read_at`].
pub(crate) fn append(path: &Path, value: &impl Serialize) -> io::Result<u64> {
    let mut file = File::options().create(true).read(true).append(true).open(path)?;
    let mut line = if is_cut(&mut file)? { vec![b'\n'] } else { Vec::new() };
    let before = line.len();
    serde_json::to_writer(&mut line, value)?;
    line.push(b'\n');
    file.write_all(&line)?;
    // The system has written at the end, wherever that was by then.
    Ok(file.stream_position()? - (line.len() - before) as u64)
}

/// Did a crash cut its last line?
fn is_cut(file: &mut File) -> io::Result<bool> {
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    Ok(last != [b'\n'])
}

/// Reads what [`append`] wrote, each line with where it begins, leaving out lines that a crash cut. One line at a time is in
/// memory; nothing comes of a file that is not there.
pub(crate) fn lines<T: DeserializeOwned>(path: &Path) -> impl Iterator<Item = (u64, T)> {
    let mut reader = File::open(path).ok().map(BufReader::new);
    let (mut at, mut line) = (0, Vec::new());
    std::iter::from_fn(move || {
        let reader = reader.as_mut()?;
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).ok().filter(|read| *read > 0)?;
            let begin = at;
            at += read as u64;
            if let Ok(value) = serde_json::from_slice(&line) {
                return Some((begin, value));
            }
        }
    })
}

/// Reads the line of a log that begins at `at`.
pub(crate) fn read_at<T: DeserializeOwned>(path: &Path, at: u64) -> Option<T> {
    let mut file = File::open(path).ok()?;
    file.seek(SeekFrom::Start(at)).ok()?;
    let mut line = Vec::new();
    BufReader::new(file).read_until(b'\n', &mut line).ok()?;
    serde_json::from_slice(&line).ok()
}

/// The paths directly inside a directory, none when it does not exist.
pub(crate) fn entries(directory: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(directory).map(|found| found.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

/// A file name for an id of letters, digits, `_` and `-` that stays unique where names differ in case only by
/// looks: capital letters get a `+` before them.
pub(crate) fn file_name(id: &str) -> String {
    let mut name = String::with_capacity(id.len());
    for c in id.chars() {
        if c.is_ascii_uppercase() {
            name.push('+');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(path: &Path) -> Vec<i32> {
        lines(path).map(|(_, value)| value).collect()
    }

    #[test]
    fn a_record_is_replaced_and_a_damaged_one_is_absent() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("inner/record.json");
        save(&path, &1).unwrap();
        save(&path, &2).unwrap();
        assert_eq!(load::<i32>(&path), Some(2));
        fs::write(&path, "{").unwrap();
        assert_eq!(load::<i32>(&path), None);
    }

    #[test]
    fn a_cut_line_does_not_lose_the_others() {
        let directory = tempfile::tempdir().unwrap();
        // Anywhere, also within a character.
        for cut in [&b"{\"cut"[..], "\"ä".as_bytes().get(..2).unwrap()] {
            let path = directory.path().join(format!("{}.jsonl", cut.len()));
            append(&path, &1).unwrap();
            append(&path, &2).unwrap();
            fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(cut).unwrap();
            assert_eq!(values(&path), [1, 2], "{cut:?}");
            let at = append(&path, &3).unwrap();
            assert_eq!(values(&path), [1, 2, 3], "{cut:?}");
            assert_eq!(read_at::<i32>(&path, at), Some(3));
        }
    }

    #[test]
    fn every_line_is_found_where_it_is_said_to_begin() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        assert_eq!(lines::<i32>(&path).count(), 0);
        let written: Vec<(u64, i32)> = (0..20).map(|value| (append(&path, &value).unwrap(), value)).collect();
        assert_eq!(lines(&path).collect::<Vec<(u64, i32)>>(), written);
        for (at, value) in written {
            assert_eq!(read_at(&path, at), Some(value));
        }
    }

    #[test]
    fn file_names_differ_beyond_case() {
        assert_ne!(file_name("Session-A").to_lowercase(), file_name("session-a").to_lowercase());
    }
}
