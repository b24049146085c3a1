//! The rules of contract section 13, each said once.

use super::{Asking, Kind, Operation, Outcome, Question};

/// The rules as the page tells them, in the order they are tried in.
pub(super) const RULES: [&str; 8] = [
    "What Cupola knows as another isolation's is refused before the service is asked: `foreignSession`. \
     `--allow-shared-session` lifts this, and the service's own rules remain.",
    "Acting for a user takes a permission; without it every call that names one is refused: `impersonationNotPermitted`. \
     `--isolation-model local` needs none.",
    "Where a key is required, nothing is found or done without it: `isolationKeyRequired`.",
    "Keys decide, not callers: whoever has them is in. Only deletion asks who made the session: its ownership key comes \
     from the caller's token unless `--isolation-key` was given (`notSessionOwner`). On 2.0.0, which has no ownership keys, \
     none is sent, and Cupola itself refuses to delete with another key than the one it remembers (`notSessionOwner`).",
    "Behind other keys an invoke is forbidden (`isolationMismatch`), and everything else is not found, as if it were not \
     there. To a call without any key the missing key is named: `isolationKeyRequired`.",
    "An identity decides, whoever acts for it. Between users one acts for, the service has no fence around sessions: only \
     rule 1 keeps them apart. Between such a user and the caller itself there is a wall: `isolationMismatch`. \
     A chat is a label of Cupola's own and never sent.",
    "A conversation is its owner's alone, on every kind of agent: `notFound`.",
    "With `--isolation-model local` the service sees the caller and nothing else. Users and chats are kept apart by what \
     Cupola continues for each, and by rule 1; lists show all of them.",
];

/// What must come of a question.
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
            (Asking::NoKeys, _) => refused("isolationKeyRequired"),
            (_, Operation::Conversation) => refused("notFound"),
            (_, invoke) if invoke.is_invoke() => refused("isolationMismatch"),
            _ => refused("sessionNotFound"),
        },
        Operation::Conversation => refused("notFound"),
        _ if kind == Kind::Identity && asking == Asking::WrongUser => Outcome::Allowed,
        _ => refused("isolationMismatch"),
    }
}

/// Does the service take who asks for who made it?
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
