//! What a turn continues, decided before anything is made or sent. Pure: from what is saved and what the call says.

use crate::partition::store::Saved;
use cupola_protocol::id::{ConversationId, SessionId};
use cupola_protocol::invoke::{AgentProtocol, InvokeParams};

/// What decides beside what is saved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) params: &'a InvokeParams,
    pub(super) protocol: AgentProtocol,
    /// The agent runs on this machine, and Cupola makes all ids.
    pub(super) is_local: bool,
    /// The partition is one of a certain version of the agent.
    pub(super) has_version: bool,
}

/// Which session a turn runs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PlannedSession {
    /// The one that the call names, or the saved one.
    Known(SessionId),
    /// The service makes one with the turn.
    WithTurn,
    /// The service is asked for a new one before the turn. A conversation would lead it back to the session that the conversation is
    /// bound to, and no invoke can name a version.
    MadeFirst,
    /// A new id made by Cupola: a local agent makes none.
    MadeHere,
}

/// Which conversation a turn continues: in A2A, which context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PlannedConversation {
    /// The one that the call names, or the saved one.
    Known(ConversationId),
    /// The protocol has none, or the agent begins one with its answer.
    ByAgent,
    /// The service is asked for a new one before the turn.
    MadeFirst,
    /// A new id made by Cupola: a local agent makes none.
    MadeHere,
}

/// What a turn continues, and when that is saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) session: PlannedSession,
    pub(super) conversation: PlannedConversation,
    /// Something is saved only once the agent has answered, so that nothing is saved for a call that did not reach the agent. Until then the
    /// next call of the partition waits, to find it.
    pub(super) is_saved_with_answer: bool,
}

impl Plan {
    /// Decides it.
    pub(super) fn of(saved: &Saved, facts: Facts<'_>) -> Self {
        let session = session(saved, facts);
        let conversation = conversation(saved, facts);
        let is_saved_with_answer = match (&conversation, facts.protocol) {
            (PlannedConversation::ByAgent, protocol) => protocol == AgentProtocol::A2a,
            (PlannedConversation::Known(known), _) => kept(saved, facts.protocol) != Some(known),
            (PlannedConversation::MadeFirst, _) => false,
            (PlannedConversation::MadeHere, _) => true,
        } || matches!(session, PlannedSession::MadeHere | PlannedSession::WithTurn);
        Self { session, conversation, is_saved_with_answer }
    }
}

fn session(saved: &Saved, facts: Facts<'_>) -> PlannedSession {
    let Facts { params, is_local, has_version, .. } = facts;
    if params.version_override.is_some() {
        // Named with the turn itself, and in a session of its own.
        return PlannedSession::WithTurn;
    }
    match (&params.session_id, &saved.session) {
        (Some(named), _) => PlannedSession::Known(named.clone()),
        (None, Some(saved)) if !params.new_session => PlannedSession::Known(saved.clone()),
        _ if is_local => PlannedSession::MadeHere,
        _ if params.new_session || has_version => PlannedSession::MadeFirst,
        _ => PlannedSession::WithTurn,
    }
}

fn conversation(saved: &Saved, facts: Facts<'_>) -> PlannedConversation {
    let Facts { params, protocol, is_local, .. } = facts;
    let has_conversations = match protocol {
        // A whole request of A2A names its context itself, and is sent as it is.
        AgentProtocol::A2a => !params.input_is_request,
        AgentProtocol::Responses => true,
        AgentProtocol::Invocations | AgentProtocol::InvocationsWs => false,
    };
    // A branch continues a response, and no conversation.
    if !has_conversations || params.previous_response_id.is_some() {
        return PlannedConversation::ByAgent;
    }
    let named = params.conversation_id.as_ref();
    match named.or_else(|| kept(saved, protocol).filter(|_| !params.new_conversation)) {
        Some(known) => PlannedConversation::Known(known.clone()),
        None if protocol == AgentProtocol::A2a => PlannedConversation::ByAgent,
        None if is_local => PlannedConversation::MadeHere,
        None => PlannedConversation::MadeFirst,
    }
}

/// The saved conversation in the protocol's own sense.
fn kept(saved: &Saved, protocol: AgentProtocol) -> Option<&ConversationId> {
    match protocol {
        AgentProtocol::Responses => saved.conversation.as_ref(),
        AgentProtocol::A2a => saved.context.as_ref(),
        AgentProtocol::Invocations | AgentProtocol::InvocationsWs => None,
    }
}

/// The saved conversation that the turn continues: not one that the call names.
pub(super) fn continued<'a>(saved: &'a Saved, facts: Facts<'_>) -> Option<&'a ConversationId> {
    let is_planned =
        facts.params.conversation_id.is_none() && matches!(conversation(saved, facts), PlannedConversation::Known(_));
    kept(saved, facts.protocol).filter(|_| is_planned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn saved(session: Option<&str>, conversation: Option<&str>, context: Option<&str>) -> Saved {
        Saved {
            session: session.map(|id| id.parse().unwrap()),
            conversation: conversation.map(|id| id.parse().unwrap()),
            context: context.map(|id| id.parse().unwrap()),
        }
    }

    fn params(members: &Value) -> InvokeParams {
        let mut params = json!({"target": {"kind": "emulator"}, "input": "hello"});
        params.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        serde_json::from_value(params).unwrap()
    }

    /// The plan as one word each, such as `known conv_a`.
    fn plan(saved: &Saved, members: &Value, protocol: AgentProtocol, is_local: bool, has_version: bool) -> [String; 3] {
        let params = params(members);
        let plan = Plan::of(saved, Facts { params: &params, protocol, is_local, has_version });
        let session = match plan.session {
            PlannedSession::Known(id) => format!("known {id}"),
            PlannedSession::WithTurn => "with turn".to_owned(),
            PlannedSession::MadeFirst => "made first".to_owned(),
            PlannedSession::MadeHere => "made here".to_owned(),
        };
        let conversation = match plan.conversation {
            PlannedConversation::Known(id) => format!("known {id}"),
            PlannedConversation::ByAgent => "by agent".to_owned(),
            PlannedConversation::MadeFirst => "made first".to_owned(),
            PlannedConversation::MadeHere => "made here".to_owned(),
        };
        let when = if plan.is_saved_with_answer { "with answer" } else { "at once" };
        [session, conversation, when.to_owned()]
    }

    #[test]
    fn each_call_continues_what_its_caller_would_expect() {
        use AgentProtocol::{A2a, Invocations, InvocationsWs, Responses};
        let nothing = saved(None, None, None);
        let all = saved(Some("sess_saved"), Some("conv-saved"), Some("ctx-saved"));
        for (saved, members, protocol, expected) in [
            // A first call.
            (&nothing, json!({}), Responses, ["with turn", "made first", "with answer"]),
            (&nothing, json!({}), Invocations, ["with turn", "by agent", "with answer"]),
            (&nothing, json!({}), InvocationsWs, ["with turn", "by agent", "with answer"]),
            (&nothing, json!({}), A2a, ["with turn", "by agent", "with answer"]),
            // A later call.
            (&all, json!({}), Responses, ["known sess_saved", "known conv-saved", "at once"]),
            (&all, json!({}), Invocations, ["known sess_saved", "by agent", "at once"]),
            (&all, json!({}), A2a, ["known sess_saved", "known ctx-saved", "at once"]),
            // What the call names comes first, and is saved when the agent has answered.
            (&all, json!({"sessionId": "sess_named"}), Responses, ["known sess_named", "known conv-saved", "at once"]),
            (
                &all,
                json!({"conversationId": "conv-named"}),
                Responses,
                ["known sess_saved", "known conv-named", "with answer"],
            ),
            (
                &all,
                json!({"conversationId": "conv-saved"}),
                Responses,
                ["known sess_saved", "known conv-saved", "at once"],
            ),
            (
                &all,
                json!({"conversationId": "conv-named"}),
                A2a,
                ["known sess_saved", "known conv-named", "with answer"],
            ),
            // New ones.
            (&all, json!({"newSession": true}), Responses, ["made first", "known conv-saved", "at once"]),
            (&all, json!({"newConversation": true}), Responses, ["known sess_saved", "made first", "at once"]),
            (&all, json!({"newConversation": true}), A2a, ["known sess_saved", "by agent", "with answer"]),
            // A whole request of A2A names its own context.
            (&all, json!({"inputIsRequest": true}), A2a, ["known sess_saved", "by agent", "with answer"]),
        ] {
            assert_eq!(plan(saved, &members, protocol, false, false), expected, "{members} {protocol:?}");
        }
    }

    #[test]
    fn a_local_agent_gets_ids_from_cupola_and_a_version_gets_its_own_session() {
        let nothing = saved(None, None, None);
        let responses = AgentProtocol::Responses;
        assert_eq!(plan(&nothing, &json!({}), responses, true, false), ["made here", "made here", "with answer"]);
        assert_eq!(plan(&nothing, &json!({}), responses, false, true), ["made first", "made first", "at once"]);
        let all = saved(Some("sess_saved"), Some("conv-saved"), None);
        assert_eq!(plan(&all, &json!({}), responses, false, true), ["known sess_saved", "known conv-saved", "at once"]);
    }

    #[test]
    fn only_a_saved_conversation_counts_as_continued() {
        let all = saved(Some("sess_saved"), Some("conv-saved"), Some("ctx-saved"));
        for (members, protocol, expected) in [
            (json!({}), AgentProtocol::Responses, Some("conv-saved")),
            (json!({}), AgentProtocol::A2a, Some("ctx-saved")),
            (json!({}), AgentProtocol::Invocations, None),
            (json!({"conversationId": "conv-saved"}), AgentProtocol::Responses, None),
            (json!({"newConversation": true}), AgentProtocol::Responses, None),
            (json!({"inputIsRequest": true}), AgentProtocol::A2a, None),
        ] {
            let params = params(&members);
            let facts = Facts { params: &params, protocol, is_local: false, has_version: false };
            assert_eq!(continued(&all, facts).map(ConversationId::as_str), expected, "{members}");
        }
    }
}
