//! What was saved and is gone: asks the service which it is, and forgets that alone.

use super::attempt::Attempt;
use super::plan::continued;
use crate::error::CallError;
use crate::foundry::FoundryError;
use crate::partition::store::{Saved, Store};
use cupola_protocol::error::ErrorKind;
use cupola_protocol::id::{ConversationId, SessionId};
use cupola_protocol::invoke::{AgentProtocol, Notice, NoticeCode};

impl Attempt<'_> {
    /// Does the service say that it no longer has the session?
    async fn is_session_gone(&self, session: &SessionId) -> bool {
        let shown = self.scope.agent.get_session(&self.scope.wire, session).await;
        shown.is_err_and(|error| says_not_found(&error, &["session", "sandbox", session.as_str()]))
    }

    /// Does the service say that it no longer has the conversation? A2A has no way to ask about a context: what the
    /// agent refused the message with (`refusal`) must name it.
    async fn is_conversation_gone(&self, conversation: &ConversationId, refusal: &FoundryError) -> bool {
        if self.protocol == AgentProtocol::A2a {
            return says_not_found(refusal, &["context", conversation.as_str()]);
        }
        let shown = self.scope.agent.get_conversation(&self.scope.wire, conversation).await;
        shown.is_err_and(|error| says_not_found(&error, &["conversation", conversation.as_str()]))
    }

    /// After a 404 of the gateway, which by itself clears nothing: asks which saved thing is gone and forgets it. Things the
    /// caller named are never replaced.
    pub(super) async fn forget_what_is_gone(
        &self,
        store: &dyn Store,
        error: &FoundryError,
        saved: &Saved,
    ) -> Result<Option<Notice>, CallError> {
        let Self { params, scope, .. } = *self;
        if error.status() != Some(404) || !error.is_from_gateway() {
            return Ok(None);
        }
        let agent = &scope.partition.agent;
        let code = error.service().and_then(|error| error.code.as_deref());
        // Where the service names the sandbox there is no second question, and nothing else to suspect.
        let is_sandbox = matches!(code, Some("SandboxNotFound" | "sandbox_not_found"));
        if let Some(session) = &saved.session
            && params.session_id.is_none()
            && !params.new_session
            && (is_sandbox || self.is_session_gone(session).await)
        {
            store.forget_session(agent, session).await?;
            return Ok(Some(Notice {
                code: NoticeCode::SessionReplaced,
                message: format!(
                    "the service no longer has session {session}; a new one takes its place, and the old one's files are gone"
                ),
            }));
        }
        if let Some(conversation) = continued(saved, self.facts())
            && !is_sandbox
            && self.is_conversation_gone(conversation, error).await
        {
            store.forget_conversation(agent, conversation).await?;
            return Ok(Some(Notice {
                code: NoticeCode::ConversationReplaced,
                message: format!("the service no longer has conversation {conversation}; a new one takes its place"),
            }));
        }
        Ok(None)
    }

    /// A session that was made for this call and does not start is not continued by the next one, and neither is the conversation
    /// that was made with it, which would lead the service back there. What has worked before stays: it may have files.
    pub(super) async fn forget_what_never_began(
        &self,
        store: &dyn Store,
        error: &FoundryError,
        saved: &Saved,
        session: Option<&SessionId>,
        conversation: Option<&ConversationId>,
    ) -> Result<(), CallError> {
        let Self { params, scope, .. } = *self;
        let was_made = params.session_id.is_none() && (session.is_none() || session != saved.session.as_ref());
        if error.kind() != ErrorKind::SessionNotReady || !error.is_from_gateway() || !was_made {
            return Ok(());
        }
        let agent = &scope.partition.agent;
        if let Some(session) = session {
            store.forget_session(agent, session).await?;
        }
        let made =
            conversation.filter(|_| params.conversation_id.is_none() && continued(saved, self.facts()).is_none());
        if let Some(conversation) = made {
            store.forget_conversation(agent, conversation).await?;
        }
        Ok(())
    }
}

/// Is this a 404 in the service's own words, and about what one of `names` names? A proxy's page is not, nor is "Agent 'a' was
/// not found".
fn says_not_found(error: &FoundryError, names: &[&str]) -> bool {
    error.service().is_some_and(|service| {
        let message = service.message.to_lowercase();
        let is_named = names.iter().any(|name| message.contains(&name.to_lowercase()));
        service.status == 404 && service.code.is_some() && is_named
    })
}
