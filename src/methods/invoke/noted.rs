//! What the journal gets of a run: that it is about to be sent, if it is to outlive the daemon, and what answers it.

use super::attempt::Attempt;
use super::perform::limit;
use crate::error::CallError;
use crate::foundry::Reply;
use crate::partition::journal::{Entry, Facts, Reach};
use cupola_protocol::id::{ConversationId, SessionId};
use cupola_protocol::invoke::AgentProtocol;
use std::time::SystemTime;

impl Attempt<'_> {
    /// Before a turn is sent that is to outlive the daemon. Nobody may be there to see it end: the journal is its only witness.
    pub(super) async fn note_before(
        &self,
        session: Option<&SessionId>,
        conversation: Option<&ConversationId>,
    ) -> Result<(), CallError> {
        let can_survive = matches!(self.protocol, AgentProtocol::Responses | AgentProtocol::Invocations);
        if self.run.may_survive() && can_survive {
            self.daemon.journal.write(&self.entry(session, conversation, true)).await?;
        }
        Ok(())
    }

    /// The answer has begun: from here on it is known what the run continues, and whether it outlives the daemon. A run that cannot
    /// be written down does not.
    pub(super) fn note_answer(
        &self,
        reply: &Reply,
        session: Option<&SessionId>,
        conversation: Option<&ConversationId>,
    ) -> impl Future<Output = ()> + use<'_> {
        let survives = self.run.may_survive() && reply.survives;
        let mut entry = self.entry(session, conversation, survives);
        entry.facts.version.clone_from(&reply.version);
        entry.facts.response.clone_from(&reply.response_id);
        self.run.answered_by(reply.response_id.as_ref());
        async move {
            if !self.run.may_survive() && self.daemon.journal.has_notes() {
                self.daemon.journal.note(entry);
                return;
            }
            let written = self.daemon.journal.write(&entry).await;
            if let Err(error) = &written {
                tracing::warn!(%error, "a run could not be written down");
            }
            self.run.set_survives(survives && written.is_ok());
        }
    }

    fn entry(&self, session: Option<&SessionId>, conversation: Option<&ConversationId>, survives: bool) -> Entry {
        let Self { run, params, scope, .. } = *self;
        let facts = Facts {
            detached: params.is_kept(),
            session: session.cloned(),
            conversation: conversation.cloned(),
            deadline: limit(params).and_then(|limit| run.started_at().checked_add(limit)),
            ..Facts::new(scope.model, self.protocol, run.started_at())
        };
        let reach = survives.then(|| Reach { target: scope.target.clone(), isolation: scope.isolation.clone() });
        Entry {
            run: run.id().clone(),
            partition: scope.partition.clone(),
            facts,
            reach,
            ended: None,
            updated_at: SystemTime::now(),
        }
    }
}
