//! What survives a restart: small JSON files, each replaced as a whole, and logs of lines.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

/// Begins the names of directories that are to be removed. No id begins so.
const GONE: &str = ".gone-";

/// How often a directory is removed while something still writes there. Each time removes all but what came meanwhile.
pub(crate) const REMOVALS: usize = 10;

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

/// Removes a directory, even while something still writes there: it is moved out of the way first, so to its users it is gone
/// at once. What cannot be removed now is left to [`sweep`].
pub(crate) fn discard(directory: &Path) -> io::Result<()> {
    let gone = directory.with_file_name(format!("{GONE}{}", uuid::Uuid::new_v4().simple()));
    match fs::rename(directory, &gone) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        moved => moved?,
    }
    for _ in 0..REMOVALS {
        match fs::remove_dir_all(&gone) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => return removed,
        }
    }
    tracing::warn!(path = %gone.display(), "a directory is removed at the next start, because something still writes there");
    Ok(())
}

/// Removes what [`discard`] left directly inside a directory in an earlier run.
pub(crate) fn sweep(directory: &Path) {
    for path in entries(directory) {
        let is_gone = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(GONE.as_bytes()));
        if is_gone && let Err(error) = fs::remove_dir_all(&path) {
            tracing::warn!(path = %path.display(), %error, "a directory could not be removed");
        }
    }
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
    use cap_std::ambient_authority;
    use cap_std::fs::Dir;

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
    fn a_directory_is_gone_at_once_also_while_something_writes_there() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("session");
        for _ in 0..20 {
            fs::create_dir_all(directory.join("home")).unwrap();
            let (home, started) = (directory.join("home"), std::sync::Barrier::new(2));
            let started = &started;
            std::thread::scope(|scope| {
                // As a process does whose working directory it is: it writes there wherever the directory is.
                let home = Dir::open_ambient_dir(&home, ambient_authority()).unwrap();
                scope.spawn(move || {
                    let write = |number: i32| home.write(number.to_string(), "");
                    write(0).unwrap();
                    started.wait();
                    (1..2_000).take_while(|number| write(*number).is_ok()).for_each(drop);
                });
                started.wait();
                discard(&directory).unwrap();
                assert!(!directory.exists());
            });
        }
        discard(&directory).unwrap();
        fs::create_dir(root.path().join(format!("{GONE}left"))).unwrap();
        fs::create_dir(root.path().join("kept")).unwrap();
        sweep(root.path());
        assert_eq!(entries(root.path()), [root.path().join("kept")]);
    }

    #[test]
    fn file_names_differ_beyond_case() {
        assert_ne!(file_name("Session-A").to_lowercase(), file_name("session-a").to_lowercase());
    }
}
