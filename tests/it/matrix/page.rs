//! Writes `docs/isolation.md` from the results of the test.

use super::rules::RULES;
use super::{Asking, Kind, Operation, Outcome, Question};
use std::fmt::Write as _;

const HEAD: &str = "\
# Who reaches what

This page shows the result of every operation of Cupola under every isolation, on every kind of agent, against the emulator. The test
`tests/it/matrix.rs` writes it, and fails if the page differs from the results.

One user created each thing. Except for *other caller*, `cupola` asks for it with the token that created it, and with

- **right keys**: the user and the chat that it was created with;
- **no keys**: neither of them;
- **wrong user**, **wrong chat**: one of the two differs;
- **other caller**: the right keys, but another token created the thing;
- **known, other keys**: no keys, the wrong user or the wrong chat, after Cupola has seen the right user create or use the thing.

A cell shows `allowed`, the `kind` of the error, or for a list whether it contains the thing.

## The rules

";

impl Kind {
    const fn title(self) -> &'static str {
        match self {
            Self::KeysOptional => "Isolation keys, optional",
            Self::KeysRequired => "Isolation keys, the user's required",
            Self::Identity => "User identity",
            Self::IdentityWithoutPermission => "User identity, without the permission to act for users",
            Self::Local => "`--isolation-model local`",
        }
    }

    const fn says(self) -> &'static str {
        match self {
            Self::KeysOptional => {
                "An agent of container protocol 1.0.0. A key partitions if it is sent. The emulator calls it `notes`."
            }
            Self::KeysRequired => {
                "As above, but a call without a user key is refused. The emulator calls it `notes-required`."
            }
            Self::Identity => {
                "An agent of container protocol 2.0.0. `--user-identity` names the user; `--chat` is never sent. The emulator \
                 calls it `notes-identity`."
            }
            Self::IdentityWithoutPermission => {
                "As above, but without the permission: `cupola emulator --withhold-impersonation`."
            }
            Self::Local => {
                "An agent of container protocol 2.0.0. Cupola sends no isolation and keeps users apart by itself."
            }
        }
    }
}

impl Operation {
    const fn shown(self) -> &'static str {
        match self {
            Self::Responses => "`invoke`, responses",
            Self::Invocations => "`invoke`, invocations",
            Self::InvocationsWs => "`invoke`, invocations_ws",
            Self::A2a => "`invoke`, a2a",
            Self::Conversation => "`invoke --conversation-id`",
            Self::CreateSession => "`sessions create`",
            Self::ListSessions => "`sessions list`",
            Self::ShowSession => "`sessions show`",
            Self::StopSession => "`sessions stop`",
            Self::DeleteSession => "`sessions delete`",
            Self::Upload => "`files upload`",
            Self::Download => "`files download`",
            Self::ListFiles => "`files list`",
            Self::Stat => "`files stat`",
            Self::MakeDirectory => "`files mkdir`",
            Self::DeleteFile => "`files delete`",
            Self::Monitor => "`monitor`",
        }
    }
}

impl Outcome {
    fn shown(&self, operation: Operation) -> String {
        match self {
            Self::Allowed if operation == Operation::ListSessions => "listed".to_owned(),
            Self::Allowed => "allowed".to_owned(),
            Self::NotListed => "not listed".to_owned(),
            Self::Refused(kind) => format!("`{kind}`"),
        }
    }
}

/// Which session a call continues. `tests/it/current_session.rs` holds each part of it.
const CURRENT: &str = "
## Which session is current

- A call without `--version` continues the current session. The last `sessions create`, `sessions use` (both with or without `--version`) or
  answered call without `--version` made it current.
- A call with `--version` continues only the last session of that version.
- `--new-session` replaces the session that the same call would have continued.
- A failed call changes nothing, except that a session it had already created stays current.
- After a redeployment the current session stays, at its version. If the agent then isolates its users in another way, the next call starts a
  new session.

A session and a version that do not match are refused: the command line does not take `--session-id` together with `--version` on `invoke`, and the
daemon refuses a session that is bound to another version than the one named.

`invoke --version-override VERSION` (or `latest`) tries a version once: the call gets a new session and a new conversation, continues nothing and
saves nothing. The service would quietly use its own selection if the version does not exist. Cupola then fails the call instead
(`versionMismatch`), and its hint says how to delete the session. A bound connection cannot override the version.
";

/// What a redeployment changes, and when. `tests/it/redeployed.rs` holds it.
const WINDOW: &str = "
## When an agent is redeployed

How an agent isolates its users depends on its version. Cupola therefore asks the service for the version before each call that creates a
session or a conversation, and before any other call if the last confirmation is older than 5 seconds. An answer from the expected version is a
confirmation, too. So for at most 5 seconds after a redeployment, a call can still use the isolation of the previous version; it can only
continue a session that the same user had there. If the agent is redeployed during a call, and a version answers that isolates in another way, the call
ends with `isolationMismatch` and its session is not saved. A caller who may not read the agent's definition is not protected by this: name the
model with `--isolation-model`.
";

/// The whole page.
pub(super) fn render(answers: &[(Question, Outcome)]) -> String {
    let mut page = HEAD.to_owned();
    for (number, rule) in RULES.iter().enumerate() {
        writeln!(page, "{}. {rule}", number + 1).unwrap();
    }
    page.push_str(CURRENT);
    page.push_str(WINDOW);
    for kind in Kind::ALL {
        write!(page, "\n## {}\n\n{}\n\n", kind.title(), kind.says()).unwrap();
        page.push_str("| | right keys | no keys | wrong user | wrong chat | other caller | known, other keys |\n");
        page.push_str("|---|---|---|---|---|---|---|\n");
        for operation in Operation::ALL {
            let cell = |asking: Asking, is_known| {
                let question = Question { kind, operation, asking, is_known };
                let (_, outcome) = answers.iter().find(|(asked, _)| *asked == question)?;
                Some(outcome.shown(operation))
            };
            let unknown = Asking::ALL.map(|asking| cell(asking, false).unwrap());
            let mut known: Vec<String> = Asking::OTHERS.iter().filter_map(|asking| cell(*asking, true)).collect();
            known.dedup();
            let known = if known.is_empty() { "names nothing".to_owned() } else { known.join(", ") };
            writeln!(page, "| {} | {} | {known} |", operation.shown(), unknown.join(" | ")).unwrap();
        }
    }
    page
}
