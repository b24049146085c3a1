//! What a run made, and its deletion: responses first, because they may go with their session, sessions last.

use super::expect::Read;
use super::report::Cleanup;
use super::subject::{Outgoing, Subject};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How far the service's clock may be behind ours: a session that the service named is deleted only if it began after the run did.
const CLOCK_SKEW: Duration = Duration::from_mins(5);

/// What kind of thing it is, in the order of deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Thing {
    Response,
    Conversation,
    Session,
}

#[derive(Debug)]
struct One {
    thing: Thing,
    id: String,
    /// Whose it is.
    headers: BTreeMap<String, String>,
    /// The service has named it, so it may be older than the run.
    is_unnamed: bool,
}

/// Everything that was made.
#[derive(Debug)]
pub(super) struct Made {
    began: SystemTime,
    things: Vec<One>,
}

impl Default for Made {
    fn default() -> Self {
        Self { began: SystemTime::now(), things: Vec::new() }
    }
}

impl Made {
    pub(super) fn add(&mut self, thing: Thing, id: String, headers: BTreeMap<String, String>, is_unnamed: bool) {
        if !self.things.iter().any(|known| known.thing == thing && known.id == id) {
            self.things.push(One { thing, id, headers, is_unnamed });
        }
    }

    /// Everything that is not deleted yet.
    pub(super) fn shown(&self) -> Vec<String> {
        self.things.iter().map(One::shown).collect()
    }

    pub(super) async fn delete_all(&mut self, subject: &Subject) -> Cleanup {
        self.things.sort_by_key(|one| one.thing);
        let mut cleanup = Cleanup::default();
        while let Some(one) = self.things.first() {
            if one.is_unnamed && !self.is_ours(one, subject).await {
                cleanup.left.push(one.shown());
            } else if delete(one, subject).await {
                cleanup.deleted += 1;
            } else {
                cleanup.left.push(one.shown());
            }
            // Only now: what is being deleted when the run is ended is not forgotten.
            self.things.remove(0);
        }
        cleanup
    }

    /// Did the session begin after the run did?
    async fn is_ours(&self, one: &One, subject: &Subject) -> bool {
        let Some(shown) = ask(&format!("GET {}", one.place()), one, subject).await else { return false };
        if shown.status == 404 {
            return true;
        }
        let created = shown.at("created_at").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        let began = self.began.duration_since(UNIX_EPOCH).unwrap_or_default();
        created.is_some_and(|created| created + CLOCK_SKEW >= began)
    }
}

impl One {
    fn place(&self) -> String {
        let root = match self.thing {
            Thing::Response => "@responses",
            Thing::Conversation => "@conversations",
            Thing::Session => "@sessions",
        };
        format!("{root}/{}", self.id)
    }

    fn shown(&self) -> String {
        let thing = match self.thing {
            Thing::Response => "response",
            Thing::Conversation => "conversation",
            Thing::Session => "session",
        };
        format!("{thing} {}", self.id)
    }
}

/// Is it gone? A run that is still under way must be cancelled first.
async fn delete(one: &One, subject: &Subject) -> bool {
    let place = one.place();
    let gone =
        |answer: Option<Read>| answer.is_some_and(|answer| (200..300).contains(&answer.status) || answer.status == 404);
    let send = format!("DELETE {place}");
    let first = ask(&send, one, subject).await;
    if one.thing != Thing::Response || first.as_ref().is_none_or(|answer| answer.status != 400) {
        return gone(first);
    }
    ask(&format!("POST {place}/cancel"), one, subject).await;
    gone(ask(&send, one, subject).await)
}

async fn ask(send: &str, one: &One, subject: &Subject) -> Option<Read> {
    let request = Outgoing { send: send.to_owned(), headers: one.headers.clone(), ..Outgoing::default() };
    subject.send(&request).await.ok().map(|answer| Read::of(&answer))
}
