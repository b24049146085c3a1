//! What a call names: may it use that session, conversation or response?

use super::attempt::Attempt;
use crate::error::CallError;
use crate::foundry::context_named;
use crate::partition::fence::{Verdict, judge};

impl Attempt<'_> {
    /// May this call use the session and the conversation it names?
    pub(super) async fn fence(&self) -> Result<Verdict, CallError> {
        let Self { daemon, params, scope, .. } = *self;
        let (agent, owner) = (&scope.partition.agent, scope.partition.owner);
        if params.new_session {
            scope.must_not_add()?;
        }
        if let Some(response) = &params.previous_response_id {
            let remembered = daemon.responses.find_owner(&*daemon.store, agent, response).await?;
            if judge(owner, remembered) == Verdict::Foreign && !params.allow_shared_session {
                return Err(CallError::foreign("response", response.as_str()));
            }
        }
        let in_request = if self.is_whole_request() { params.input.text().and_then(context_named) } else { None };
        if let Some(conversation) = params.conversation_id.as_ref().or(in_request.as_ref()) {
            let remembered = daemon.store.conversation_owner(agent, conversation).await?;
            if judge(owner, remembered) == Verdict::Foreign && !params.allow_shared_session {
                return Err(CallError::foreign("conversation", conversation.as_str()));
            }
        }
        match &params.session_id {
            None => Ok(Verdict::Own),
            Some(session) => {
                let verdict = scope.admit(daemon, session, params.allow_shared_session).await?;
                scope.check_version(session).await?;
                Ok(verdict)
            }
        }
    }
}
