//! The marks that stand for secrets, the places they could turn up in, and where they may.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A secret that a call carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    Token,
    UserKey,
    ChatKey,
    OwnershipKey,
    Identity,
    /// A key that somebody wrote without quotes.
    NumberKey,
    Prompt,
    /// What is in a transferred file.
    Content,
}

impl Mark {
    pub(crate) const ALL: [Self; 8] = [
        Self::Token,
        Self::UserKey,
        Self::ChatKey,
        Self::OwnershipKey,
        Self::Identity,
        Self::NumberKey,
        Self::Prompt,
        Self::Content,
    ];

    /// What to look for. Nothing in it changes its look in JSON, a URL or a shell.
    pub(crate) fn text(self) -> String {
        match self {
            // Whichever part of it is shown, its claims are its longest and its own.
            Self::Token => super::token().split('.').max_by_key(|part| part.len()).unwrap().to_owned(),
            Self::UserKey => "hush-user-6f1d2c".to_owned(),
            Self::ChatKey => "hush-chat-8a40e7".to_owned(),
            Self::OwnershipKey => "hush-owner-51b9d3".to_owned(),
            Self::Identity => "hush-identity-c27f08".to_owned(),
            Self::NumberKey => "477112384755".to_owned(),
            Self::Prompt => "hush-prompt-e93a16".to_owned(),
            Self::Content => "hush-content-04bd7f".to_owned(),
        }
    }

    /// The mark as it is and in base64, wherever in its text it begins.
    fn needles(self) -> Vec<Vec<u8>> {
        let text = self.text();
        let encoded = (0..3).map(|offset| {
            let padded = [&vec![b'.'; offset][..], text.as_bytes()].concat();
            let encoded = STANDARD.encode(padded);
            // Its ends depend on what stands beside the mark.
            encoded.as_bytes()[4..encoded.len() - 4].to_vec()
        });
        std::iter::once(text.clone().into_bytes()).chain(encoded).collect()
    }

    fn is_in(self, bytes: &[u8]) -> bool {
        self.needles().iter().any(|needle| bytes.windows(needle.len()).any(|window| window == needle))
    }
}

/// Where a mark could turn up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The daemon's log, at `trace`.
    Log,
    /// The state file and what SQLite keeps beside it.
    State,
    /// What emulators keep, the embedded one and a separate one: they stand for the service.
    Emulated,
    /// A file that a call was told to read or write.
    Transferred,
    /// What stands between a pipe and the daemon while it is used.
    Spool,
    /// The program that gives tokens.
    Credential,
    /// Any other file below the home or the directory for temporary files.
    OtherFile,
    /// Error responses and what failed commands print.
    Error,
    /// Responses that describe: status, doctor, lists, sessions, files.
    Description,
    /// Responses that describe runs, to those who may read their answers.
    Runs,
    /// An agent's answer, to the caller that asked.
    Answer,
    /// A request that was shown because the call said `debug`.
    ShownRequest,
    /// Arguments of the daemon and of programs that it or the emulator starts.
    Arguments,
    /// The environment of the same.
    Environment,
}

/// Where each mark may be, and must be found: so the test shows that it looks.
const EXPECTED: &[(Place, Mark)] = &[
    // `sessions delete` needs it, so it is remembered with its session.
    (Place::State, Mark::OwnershipKey),
    // As the service, it must tell its users apart; and the stock agent remembers what it is told.
    (Place::Emulated, Mark::UserKey),
    (Place::Emulated, Mark::ChatKey),
    (Place::Emulated, Mark::OwnershipKey),
    (Place::Emulated, Mark::Prompt),
    (Place::Emulated, Mark::Content),
    (Place::Transferred, Mark::Content),
    (Place::Spool, Mark::Content),
    (Place::Credential, Mark::Token),
    // The first words of what was asked.
    (Place::Runs, Mark::Prompt),
    (Place::Answer, Mark::Prompt),
    (Place::Answer, Mark::Content),
    // A caller that asks for it sees all of a request but the token.
    (Place::ShownRequest, Mark::UserKey),
    (Place::ShownRequest, Mark::ChatKey),
    (Place::ShownRequest, Mark::OwnershipKey),
    (Place::ShownRequest, Mark::Identity),
    (Place::ShownRequest, Mark::Prompt),
];

/// What was found, and where.
#[derive(Default)]
pub(crate) struct Search {
    found: BTreeSet<(Place, Mark)>,
    leaks: Vec<String>,
}

impl Search {
    /// Looks through bytes; `name` says what they are if something is in them that must not be.
    pub(crate) fn look(&mut self, place: Place, name: &str, bytes: &[u8]) {
        for mark in Mark::ALL.into_iter().filter(|mark| mark.is_in(bytes)) {
            self.found.insert((place, mark));
            if !EXPECTED.contains(&(place, mark)) {
                let text = String::from_utf8_lossy(bytes);
                let at = text.find(&mark.text()).unwrap_or(0);
                let begin = text.floor_char_boundary(at.saturating_sub(120));
                let end = text.ceil_char_boundary((at + 120).min(text.len()));
                self.leaks.push(format!("{mark:?} in {place:?}, {name}: …{}…", &text[begin..end]));
            }
        }
    }

    /// Looks through all files below a directory.
    pub(crate) fn look_below(&mut self, directory: &Path, place: &dyn Fn(&str) -> Place) {
        let mut waiting = vec![directory.to_owned()];
        while let Some(path) = waiting.pop() {
            let Ok(kind) = fs::symlink_metadata(&path) else { continue };
            if kind.is_dir() {
                waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if kind.is_file() {
                let name = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
                let place = place(&name);
                // A name can tell as much as what it names.
                self.look(place, &name, name.as_bytes());
                self.look(place, &name, &fs::read(&path).unwrap());
            }
        }
    }

    /// Was the mark found there?
    pub(crate) fn has(&self, place: Place, mark: Mark) -> bool {
        self.found.contains(&(place, mark))
    }

    /// Adds what another search has found.
    pub(crate) fn take(&mut self, other: Self) {
        self.found.extend(other.found);
        self.leaks.extend(other.leaks);
    }

    /// Fails for a mark that is where it must not be, and for one that is not where it must.
    pub(crate) fn judge(self) {
        assert!(self.leaks.is_empty(), "{} leaks:\n{}", self.leaks.len(), self.leaks.join("\n"));
        let missing: Vec<_> = EXPECTED.iter().filter(|expected| !self.found.contains(expected)).collect();
        assert!(missing.is_empty(), "not found where they must be, so this test does not look there: {missing:?}");
    }
}
