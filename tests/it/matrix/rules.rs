//! The rules of contract section 13, each said once.

use super::{Asking, Kind, Operation, Outcome, Question};

/// The rules as the page shows them, in the order in which they apply.
pub(super) const RULES: [&str; 8] = [
    "Cupola refuses what it knows to belong to another isolation, before it asks the service: `foreignSession`. \
     `--allow-shared-session` lifts this; the service's own rules still apply.",
    "Acting for a user needs a permission. Without it, every call that names a user is refused: \
     `impersonationNotPermitted`. `--isolation-model local` does not need it.",
    "Where a key is required, nothing can be found or done without one: `isolationKeyRequired`.",
    "Keys decide, not callers: anyone who has the keys has access. Only deletion checks who created the session. The \
     session's ownership key comes from the caller's token unless `--isolation-key` was given (`notSessionOwner`). \
     2.0.0 has no ownership keys, so none is sent; Cupola itself refuses to delete with a key other than the one it \
     remembers (`notSessionOwner`).",
    "With other keys, an invoke is forbidden (`isolationMismatch`), and everything else is not found, as if it did \
     not exist. A call without any key is told that one is missing where the service says that the thing is there: \
     `isolationKeyRequired`. Elsewhere the hint names the missing keys as one possible cause.",
    "The identity decides, not the caller who acts for it. The service does not separate the sessions of users that \
     one caller acts for: only rule 1 does. It does separate such a user from the caller itself: `isolationMismatch`. \
     A chat is Cupola's own label and is never sent.",
    "A conversation belongs only to its owner, on every kind of agent: `notFound`. Between a user and the caller that acts \
     for it, the error is `isolationMismatch`, as for sessions.",
    "With `--isolation-model local` the service sees only the caller. Users and chats are kept apart by what Cupola \
     continues for each, and by rule 1; lists show all of them.",
];

/// The outcome that the rules require for a question.
pub(super) fn expect(question: Question) -> Outcome {
    let Question { kind, operation, asking, is_known } = question;
    if is_known && asking != Asking::RightKeys {
        return refused("foreignSession");
    }
    if kind == Kind::IdentityWithoutPermission && asking != Asking::NoKeys {
        return refused("impersonationNotPermitted");
    }
    if kind == Kind::KeysRequired && asking == Asking::NoKeys {
        return refused("isolationKeyRequired");
    }
    let own = is_same_partition(kind, asking);
    match operation {
        Operation::CreateSession => Outcome::Allowed,
        Operation::ListSessions if !own => Outcome::NotListed,
        Operation::DeleteSession if own && kind.takes_keys() && asking == Asking::OtherCaller => {
            refused("notSessionOwner")
        }
        _ if own => Outcome::Allowed,
        _ if kind.takes_keys() => match (asking, operation) {
            (_, Operation::Conversation) => refused("notFound"),
            (Asking::NoKeys, invoke) if invoke.is_invoke() => refused("isolationKeyRequired"),
            (_, invoke) if invoke.is_invoke() => refused("isolationMismatch"),
            _ => refused("sessionNotFound"),
        },
        Operation::Conversation if asking != Asking::NoKeys => refused("notFound"),
        _ if kind == Kind::Identity && asking == Asking::WrongUser => Outcome::Allowed,
        _ => refused("isolationMismatch"),
    }
}

/// Does the service treat the caller as the one who created the thing?
fn is_same_partition(kind: Kind, asking: Asking) -> bool {
    match (kind, asking) {
        (_, Asking::RightKeys) => true,
        (Kind::Local, _) => asking != Asking::OtherCaller,
        (_, Asking::OtherCaller) => true,
        (_, Asking::WrongChat) => !kind.takes_keys(),
        (_, Asking::NoKeys | Asking::WrongUser) => false,
    }
}

fn refused(kind: &str) -> Outcome {
    Outcome::Refused(kind.to_owned())
}
