//! What the daemon sends, as it is read: with borrowed types and raw JSON, so that fields which are not needed are never parsed into a tree.

use cupola_protocol::error::{ErrorData, ErrorKind, Turn};
use cupola_protocol::rpc::{ErrorObject, Id};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Anything the daemon sends. As [`cupola_protocol::rpc::Incoming`], borrowed from the line.
#[derive(Deserialize)]
pub(super) struct Message<'line> {
    #[serde(default)]
    pub(super) id: Option<Id>,
    #[serde(default, borrow)]
    pub(super) method: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    pub(super) params: Option<&'line RawValue>,
    #[serde(default, borrow)]
    pub(super) result: Option<&'line RawValue>,
    #[serde(default, borrow)]
    pub(super) error: Option<&'line RawValue>,
}

/// `params` of `$/progress`, whose token can only be ours.
#[derive(Deserialize)]
pub(super) struct Progress<'line> {
    #[serde(borrow)]
    pub(super) value: &'line RawValue,
}

/// Did the daemon refuse to begin the call because it stops? What it had begun and cut is not to be sent again.
pub(super) fn is_refusal_to_begin(error: &ErrorData) -> bool {
    // A turn says whether it ran; of other calls a run's id shows that one had begun.
    let is_unbegun = error.turn.map_or(error.run_id.is_none(), |turn| turn == Turn::NotRun);
    error.kind == ErrorKind::ShuttingDown && error.retryable && is_unbegun
}

/// An error of a newer daemon may have a kind this program does not know: its message and number are kept.
pub(super) fn error_object(raw: &RawValue) -> ErrorObject {
    #[derive(Deserialize)]
    struct Bare {
        #[serde(default)]
        code: i32,
        #[serde(default)]
        message: String,
    }
    serde_json::from_str(raw.get()).unwrap_or_else(|_| {
        let bare = serde_json::from_str(raw.get())
            .unwrap_or(Bare { code: 0, message: format!("the daemon answered with an error: {raw}") });
        let known = ErrorKind::ALL.iter().find(|kind| kind.code() == bare.code);
        ErrorObject { code: bare.code, message: bare.message, data: known.map(|kind| ErrorData::new(*kind)) }
    })
}
