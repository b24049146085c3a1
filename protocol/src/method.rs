//! What every method of the protocol declares: its name, its types, and how far it reaches.

use crate::observe::ProgressOptions;
use crate::reach::{Reach, Subject};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// One RPC method: its name on the wire and the types that travel.
///
/// The daemon's table, the command line and the generated documents all read these constants and types; each
/// method is declared once.
pub trait Method {
    /// The JSON-RPC method name, for example `sessions/create`.
    const NAME: &'static str;
    /// How far it reaches. A method that does not say is out of bounds for every bound connection.
    const REACH: Reach = Reach::Unbounded;
    /// Does the call send a turn to an agent? Its errors then say whether the turn ran (`data.turn`).
    const IS_TURN: bool = false;
    /// Can its answer be read in pages, with `limit` and `after`? An answer that is too long then says so.
    const HAS_PAGES: bool = false;
    /// What the caller sends. `params` on the wire is this object itself.
    type Params: Serialize + DeserializeOwned + Send + 'static;
    /// What the caller gets when the call succeeds.
    type Response: Serialize + DeserializeOwned + Send + 'static;

    /// Whose state a call names. Every method that reaches an agent says so.
    fn subject(_params: &Self::Params) -> Subject<'_> {
        Subject::default()
    }

    /// What to report of the requests that the call makes. Nothing, for methods that do not offer it.
    fn progress(_params: &Self::Params) -> ProgressOptions {
        ProgressOptions::default()
    }

    /// The hints in an answer, for those who word them for their client ([`crate::wording`]). Those of an error are in its data.
    fn hints(_response: &mut Self::Response) -> Vec<&mut String> {
        Vec::new()
    }
}
