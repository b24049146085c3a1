//! Who reaches what: every operation, asked for under every isolation, on every kind of agent. What happens is held
//! against the rules in [`rules`] and against `docs/isolation.md`, which is this table.
//!
//! What is asked for was made with plain HTTP, by the right user, before Cupola knew of it; so each answer is the
//! service's own, as Cupola passes it on. Half of it is then shown to Cupola, for the fence. Everything is asked for over
//! Cupola's own socket. Its token says one caller only, so "another caller" is who *made* the thing, with a token of its
//! own, under the very keys that are asked with.

mod page;
mod rules;
mod world;

use crate::support::TestDaemon;
use std::path::Path;
use world::World;

/// Set it to write the page instead of comparing with it.
const UPDATE: &str = "CUPOLA_UPDATE_DOCS";

/// How an agent isolates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    KeysOptional,
    KeysRequired,
    Identity,
    IdentityWithoutPermission,
    Local,
}

impl Kind {
    const ALL: [Self; 5] =
        [Self::KeysOptional, Self::KeysRequired, Self::Identity, Self::IdentityWithoutPermission, Self::Local];

    const fn takes_keys(self) -> bool {
        matches!(self, Self::KeysOptional | Self::KeysRequired)
    }
}

/// Under which isolation something is asked for, as its owner's differs from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    RightKeys,
    NoKeys,
    WrongUser,
    WrongChat,
    /// The right keys, but somebody else made it with them.
    OtherCaller,
}

impl Asking {
    const ALL: [Self; 5] = [Self::RightKeys, Self::NoKeys, Self::WrongUser, Self::WrongChat, Self::OtherCaller];
    /// Isolations that are not the one a thing was made with.
    const OTHERS: [Self; 3] = [Self::NoKeys, Self::WrongUser, Self::WrongChat];
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Responses,
    Invocations,
    InvocationsWs,
    A2a,
    Conversation,
    CreateSession,
    ListSessions,
    ShowSession,
    StopSession,
    DeleteSession,
    Upload,
    Download,
    ListFiles,
    Stat,
    MakeDirectory,
    DeleteFile,
    Monitor,
}

impl Operation {
    const ALL: [Self; 17] = [
        Self::Responses,
        Self::Invocations,
        Self::InvocationsWs,
        Self::A2a,
        Self::Conversation,
        Self::CreateSession,
        Self::ListSessions,
        Self::ShowSession,
        Self::StopSession,
        Self::DeleteSession,
        Self::Upload,
        Self::Download,
        Self::ListFiles,
        Self::Stat,
        Self::MakeDirectory,
        Self::DeleteFile,
        Self::Monitor,
    ];

    const fn method(self) -> &'static str {
        match self {
            Self::Responses | Self::Invocations | Self::InvocationsWs | Self::A2a | Self::Conversation => "invoke",
            Self::CreateSession => "sessions/create",
            Self::ListSessions => "sessions/list",
            Self::ShowSession => "sessions/show",
            Self::StopSession => "sessions/stop",
            Self::DeleteSession => "sessions/delete",
            Self::Upload => "files/upload",
            Self::Download => "files/download",
            Self::ListFiles => "files/list",
            Self::Stat => "files/stat",
            Self::MakeDirectory => "files/mkdir",
            Self::DeleteFile => "files/delete",
            Self::Monitor => "monitor",
        }
    }

    const fn is_invoke(self) -> bool {
        matches!(self, Self::Responses | Self::Invocations | Self::InvocationsWs | Self::A2a)
    }

    /// Does a call say which session or conversation it means?
    const fn names_something(self) -> bool {
        !matches!(self, Self::CreateSession | Self::ListSessions)
    }
}

/// One question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Question {
    kind: Kind,
    operation: Operation,
    asking: Asking,
    /// Does Cupola know whose the thing is?
    is_known: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Allowed,
    /// A list that does not have it.
    NotListed,
    /// The error's kind.
    Refused(String),
}

fn questions(kind: Kind) -> Vec<Question> {
    let ask = |operation, asking, is_known| Question { kind, operation, asking, is_known };
    let unknown =
        Operation::ALL.into_iter().flat_map(|operation| Asking::ALL.map(|asking| ask(operation, asking, false)));
    let named = Operation::ALL.into_iter().filter(|operation| operation.names_something());
    let known = named.flat_map(|operation| Asking::OTHERS.map(|asking| ask(operation, asking, true)));
    unknown.chain(known).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reaches_what_is_what_the_rules_and_the_page_say() {
    let mut answers = Vec::new();
    for kind in Kind::ALL {
        let daemon = TestDaemon::start();
        let world = World::prepare(kind, &daemon, &questions(kind)).await;
        answers.extend(world.ask(&daemon).await);
        daemon.end().await;
    }
    let broken: Vec<_> = answers
        .iter()
        .map(|(question, outcome)| (question, outcome, rules::expect(*question)))
        .filter(|(_, outcome, expected)| *outcome != expected)
        .map(|(question, outcome, expected)| format!("{question:?}: {outcome:?}, where the rules say {expected:?}"))
        .collect();
    assert!(broken.is_empty(), "{} of {}:\n{}", broken.len(), answers.len(), broken.join("\n"));

    let page = page::render(&answers);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/isolation.md");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(path, page).unwrap();
        return;
    }
    let shown = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        shown == page,
        "docs/isolation.md differs from the results; update it with {UPDATE}=1 cargo test --test it matrix"
    );
}
