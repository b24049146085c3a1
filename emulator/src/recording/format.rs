//! The file: JSON Lines. The first line says what it is, each other line is one exchange. `docs/emulator.md` documents it.

use crate::private;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// Longest file that is read, in bytes. Far beyond a test suite's exchanges; one that is longer is hardly a recording.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Head {
    /// [`VERSION`].
    pub cupola_recording: u32,
    /// Random text that makes the digests of this file unlike those of others.
    pub salt: String,
    /// Are requests kept as they were? Otherwise only their digests are.
    pub prompts: bool,
}

/// One exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exchange {
    /// The agent's name.
    pub agent: String,
    /// Digest of whose request it was.
    pub partition: String,
    /// Digest of the request and whose it was.
    pub digest: String,
    /// What later requests of this file call the response, if this exchange created one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_id: Option<String>,
    /// What was asked.
    pub request: Asked,
    /// What was answered.
    pub answer: Answer,
}

/// What was asked, for people: requests are compared by their digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// The container's path, with its query.
    pub path: String,
    /// The body, if it was text and prompts are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers that matter to clients.
    pub headers: BTreeMap<String, String>,
    /// The body as it came.
    pub pieces: Vec<Piece>,
}

/// A part of a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Piece {
    /// When it came, in milliseconds after the request.
    pub after_ms: u64,
    /// What came, if it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What came otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// A whole file.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Where it is.
    pub path: PathBuf,
    /// Its first line.
    pub head: Head,
    /// Its exchanges, in their order.
    pub exchanges: Vec<Exchange>,
}

/// Why a recording cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// There is a file already.
    #[error("{} exists already; name another file, or delete it first", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// It could not be opened, read or created.
    #[error("the recording {} cannot be used: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A line is not what the format says.
    #[error("the recording {} is damaged in line {line}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// It was written by another version of the format.
    #[error("the recording {} has version {found} of the format; this program reads version {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It was begun with the other choice about prompts.
    #[error("the recording {} {}; name another file", path.display(), if *prompts { "keeps prompts" } else { "keeps no prompts" })]
    Prompts {
        /// The file.
        path: PathBuf,
        /// What it was begun with.
        prompts: bool,
    },
    /// It has nothing for the agent.
    #[error("the recording {} has no exchange of an agent {agent:?}; it has: {}", path.display(), others.join(", "))]
    NoAgent {
        /// The file.
        path: PathBuf,
        /// The agent that was asked for.
        agent: String,
        /// The agents that it has.
        others: Vec<String>,
    },
}

/// Creates a file that only its owner can open, with its first line. An existing one is never written to.
pub fn create(path: &Path, prompts: bool) -> Result<(File, Head), RecordingError> {
    let unusable = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => RecordingError::Exists { path: path.to_owned() },
        _ => RecordingError::File { path: path.to_owned(), source },
    };
    let head = Head { cupola_recording: VERSION, salt: crate::ids::hex(), prompts };
    let mut file = private::create(path).map_err(unusable)?;
    write_line(&mut file, &head).map_err(unusable)?;
    Ok((file, head))
}

/// Creates a file, or opens a recording to append to it. Any other file is refused, and so is one that others can open.
pub fn open(path: &Path, prompts: bool) -> Result<(File, Head), RecordingError> {
    match create(path, prompts) {
        Err(RecordingError::Exists { .. }) => {}
        created => return created,
    }
    let unusable = |source| RecordingError::File { path: path.to_owned(), source };
    private::open(path).map_err(unusable)?;
    let head = read(path)?.head;
    if head.prompts != prompts {
        return Err(RecordingError::Prompts { path: path.to_owned(), prompts: head.prompts });
    }
    Ok((File::options().append(true).open(path).map_err(unusable)?, head))
}

/// Appends one line, in one piece, so that a process that ends leaves whole lines.
pub fn write_line(file: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    file.write_all(&bytes)
}

/// Reads a whole file. Damage anywhere refuses all of it: an answer from a damaged file would be a guess.
pub fn read(path: &Path) -> Result<Recording, RecordingError> {
    let unusable = |source| RecordingError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(unusable)?;
    let about = file.metadata().map_err(unusable)?;
    if !about.is_file() || about.len() > MAX_FILE_BYTES {
        let reason = format!("it must be a regular file of at most {MAX_FILE_BYTES} bytes");
        return Err(unusable(io::Error::other(reason)));
    }
    let (mut head, mut exchanges) = (None::<Head>, Vec::new());
    for (number, line) in (1..).zip(BufReader::new(file).split(b'\n')) {
        let line = line.map_err(unusable)?;
        let damaged = |reason: String| RecordingError::Damaged { path: path.to_owned(), line: number, reason };
        if head.is_none() {
            head = Some(read_head(&line, path)?.map_err(damaged)?);
            continue;
        }
        let exchange: Exchange = serde_json::from_slice(&line).map_err(|error| damaged(error.to_string()))?;
        if !(200..=599).contains(&exchange.answer.status) {
            return Err(damaged(format!("{} is not the status of an answer", exchange.answer.status)));
        }
        exchanges.push(exchange);
    }
    let empty = || RecordingError::Damaged { path: path.to_owned(), line: 1, reason: "it is empty".to_owned() };
    Ok(Recording { path: path.to_owned(), head: head.ok_or_else(empty)?, exchanges })
}

/// The first line; another version may have other members, so the version is looked at first.
fn read_head(line: &[u8], path: &Path) -> Result<Result<Head, String>, RecordingError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        cupola_recording: u32,
    }
    let Ok(version) = serde_json::from_slice::<Version>(line) else {
        return Ok(Err("it is not the first line of a recording".to_owned()));
    };
    if version.cupola_recording != VERSION {
        return Err(RecordingError::Version { path: path.to_owned(), found: version.cupola_recording });
    }
    Ok(serde_json::from_slice(line).map_err(|error| error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange() -> Exchange {
        Exchange {
            agent: "mine".to_owned(),
            partition: "p".to_owned(),
            digest: "d".to_owned(),
            response_id: None,
            request: Asked { method: "POST".to_owned(), path: "/responses".to_owned(), body: None },
            answer: Answer { status: 200, headers: BTreeMap::new(), pieces: Vec::new() },
        }
    }

    #[test]
    fn a_file_is_created_for_its_owner_alone_read_back_and_never_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.jsonl");
        let (mut file, head) = create(&path, true).unwrap();
        write_line(&mut file, &exchange()).unwrap();
        let read = read(&path).unwrap();
        assert_eq!((read.head, read.exchanges), (head, vec![exchange()]));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let before = std::fs::read(&path).unwrap();
        let refusal = create(&path, true).unwrap_err().to_string();
        assert!(refusal.contains("exists already") && refusal.contains("a.jsonl"), "{refusal}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
        // It can be continued, but not with another choice about prompts.
        let (mut more, _) = open(&path, true).unwrap();
        write_line(&mut more, &exchange()).unwrap();
        assert_eq!(super::read(&path).unwrap().exchanges.len(), 2);
        assert!(open(&path, false).unwrap_err().to_string().contains("keeps prompts"));
        std::fs::write(&path, "notes of mine").unwrap();
        assert!(open(&path, true).unwrap_err().to_string().contains("line 1"));
        assert_eq!(std::fs::read(&path).unwrap(), b"notes of mine");
    }

    #[test]
    fn a_damaged_file_is_refused_with_the_line() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.jsonl");
        let (mut file, _) = create(&path, true).unwrap();
        write_line(&mut file, &exchange()).unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        for (text, expected) in [
            (String::new(), "line 1"),
            ("{}\n".to_owned(), "line 1"),
            (whole.replace("\"cupolaRecording\":1", "\"cupolaRecording\":2"), "version 2"),
            (format!("{whole}\n"), "line 3"),
            (whole[..whole.len() - 4].to_owned(), "line 2"),
            (whole.replace("\"status\":200", "\"status\":20"), "line 2"),
            (whole.replace("\"digest\":", "\"digests\":"), "line 2"),
        ] {
            std::fs::write(&path, text).unwrap();
            let refusal = read(&path).unwrap_err().to_string();
            assert!(refusal.contains(expected) && refusal.contains("a.jsonl"), "{refusal}");
        }
    }
}
