//! The beginning of an id in place of the id: tables on a terminal show no more, and people type no more.

use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::line::call::typed;
use crate::scope::ScopeFlags;
use crate::show::table::CUT;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::SessionId;
use cupola_protocol::isolation::Isolation;
use cupola_protocol::sessions::{List, ListParams, Session};
use cupola_protocol::target::Target;

/// The shortest beginning that is accepted. Less is more likely a slip than a choice, and some commands delete.
const SHORTEST: usize = 4;
/// How many ids an error lists.
const LISTED: usize = 10;

/// The only one of these ids that begins like this; nothing if there is none. The id itself wins over longer ones.
pub(super) fn whole(given: &str, known: &[String]) -> Result<Option<String>, Failure> {
    let beginning = given.trim_end_matches(CUT);
    if let Some(id) = known.iter().find(|id| *id == beginning) {
        return Ok(Some(id.clone()));
    }
    let mut fitting: Vec<&String> = known.iter().filter(|id| id.starts_with(beginning)).collect();
    fitting.sort_unstable();
    fitting.dedup();
    match fitting.as_slice() {
        _ if beginning.len() < SHORTEST => Ok(None),
        [] => Ok(None),
        [id] => Ok(Some((*id).clone())),
        several => {
            let more = if several.len() > LISTED { ", …" } else { "" };
            let listed: Vec<_> = several.iter().take(LISTED).map(|id| id.as_str()).collect();
            Err(Failure::usage(format!(
                "{} ids begin with {beginning:?}; type more of the one you mean: {}{more}",
                several.len(),
                listed.join(", ")
            )))
        }
    }
}

/// The session that a command names by `--session-id`, and where it is looked for.
pub(super) struct NamedSession<'a> {
    /// Which agent, and whose sessions.
    pub scope: &'a ScopeFlags,
    /// The agent named without a flag.
    pub agent: Option<String>,
    /// The id, or the beginning of one.
    pub id: &'a mut Option<String>,
}

impl NamedSession<'_> {
    /// After a command has failed because no session has this id: puts the only id that begins so in its place. False if there is none.
    pub(super) fn complete(self, failure: &Failure, hooks: Hooks) -> Result<bool, Failure> {
        let Some(given) = self.id.clone().filter(|given| lacks_session(failure, given)) else { return Ok(false) };
        let Ok((target, isolation)) = self.scope.resolve(self.agent.as_deref()) else { return Ok(false) };
        // If the sessions cannot be listed, the failure says more than that.
        let Ok(listed) = sessions(self.scope, hooks, &target, &isolation) else { return Ok(false) };
        let found = whole(&given, &ids(listed))?.filter(|id| *id != given);
        let is_found = found.is_some();
        *self.id = found.or(Some(given));
        Ok(is_found)
    }
}

/// Does no session have this id? A beginning may also be too short for an id, or end in the sign for what was cut.
pub(super) fn lacks_session(failure: &Failure, given: &str) -> bool {
    match failure {
        Failure::Usage { .. } => given.parse::<SessionId>().is_err(),
        Failure::Call(error) => error.data.as_ref().is_some_and(|data| data.kind == ErrorKind::SessionNotFound),
        _ => false,
    }
}

/// Every session that this isolation can see.
pub(super) fn sessions(
    scope: &ScopeFlags,
    hooks: Hooks,
    target: &Target,
    isolation: &Isolation,
) -> Result<Vec<Session>, Failure> {
    let (target, isolation, progress) = (target.clone(), isolation.clone(), scope.progress());
    let params = ListParams { target, isolation, limit: None, order: None, after: None, progress };
    Ok(typed::<List>(&scope.call::<List>(hooks, params)?)?.data)
}

pub(super) fn ids(listed: Vec<Session>) -> Vec<String> {
    listed.into_iter().map(|session| session.agent_session_id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_enough_when_it_is_the_only_one() {
        let known = ["sess_abc1", "sess_abc123", "sess_xyz"].map(str::to_owned);
        for (given, id) in [
            ("sess_x", Some("sess_xyz")),
            ("sess_xy…", Some("sess_xyz")),
            ("sess_abc1", Some("sess_abc1")),
            ("sess_abc12", Some("sess_abc123")),
            ("sess_q", None),
            ("", None),
            ("ses", None),
        ] {
            assert_eq!(whole(given, &known).unwrap().as_deref(), id, "{given:?}");
        }
        let Err(Failure::Usage { message, .. }) = whole("sess_a", &known) else { panic!("one was chosen") };
        assert_eq!(message, "2 ids begin with \"sess_a\"; type more of the one you mean: sess_abc1, sess_abc123");
    }
}
