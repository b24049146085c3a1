//! A call's turn on its session: it waits for it, or does what its caller chose for a session that is busy.

use super::attempt::Attempt;
use super::hold::{SessionHold, SessionKey};
use crate::error::CallError;
use crate::foundry::Observer;
use crate::partition::Partition;
use crate::partition::locks::{Lock, Position, Waiter};
use cupola_protocol::error::{ErrorKind, Turn};
use cupola_protocol::id::SessionId;
use cupola_protocol::invoke::{IfBusy, Notice, NoticeCode};
use std::convert::Infallible;
use std::hash::Hash;
use std::time::Duration;

/// How long a call waits before its caller is told. A shorter wait is not worth a line.
const NOTICE_AFTER: Duration = Duration::from_millis(300);

/// Who holds the partition while a session is found or made.
const SAME_PARTITION: &str = "another call of this agent and isolation, which finds or makes its session";

impl Attempt<'_> {
    /// Waits for the partition, whose ids are being found or made.
    pub(super) async fn partition_turn(&self, place: Waiter<Partition>) -> Result<Lock<Partition>, CallError> {
        match self.params.if_busy {
            IfBusy::Reject => place.now().await?.map_err(|_| busy(SAME_PARTITION)),
            IfBusy::Queue | IfBusy::Parallel | IfBusy::Steer => self.wait(place, SAME_PARTITION).await,
        }
    }

    /// Waits for the session, or does what the caller chose.
    pub(super) async fn session_turn(&self, place: Waiter<SessionKey>) -> Result<SessionHold, CallError> {
        let whom = format!("another call on session {}", place.key().1);
        match self.params.if_busy {
            IfBusy::Queue => self.wait(place, &whom).await.map(SessionHold::Lock),
            IfBusy::Reject => place.now().await?.map(SessionHold::Lock).map_err(|_| busy(&whom)),
            IfBusy::Parallel | IfBusy::Steer => match place.now().await? {
                Ok(lock) => Ok(SessionHold::Lock(lock)),
                Err(place) => {
                    self.observer.tell(sent_while_busy(&place.key().1)).await;
                    Ok(SessionHold::Place(place))
                }
            },
        }
    }

    /// The hold on a session that was made with the turn.
    pub(super) async fn new_session_turn(&self, place: Waiter<SessionKey>) -> Result<SessionHold, CallError> {
        if self.params.if_busy.is_beside() {
            return Ok(SessionHold::Place(place));
        }
        Ok(SessionHold::Lock(place.wait().await?))
    }

    /// Waits, and tells the caller how many calls are ahead.
    async fn wait<Key: Eq + Hash>(&self, place: Waiter<Key>, whom: &str) -> Result<Lock<Key>, CallError> {
        let position = place.position();
        let waiting = async {
            tokio::select! {
                biased;
                lock = place.wait() => lock,
                never = tell(self.observer, &position, whom) => match never {},
            }
        };
        Ok(self.run.wait_behind(whom, position.clone(), waiting).await?)
    }
}

/// Says where a call is in its queue, and says it again when that changes.
async fn tell(observer: &Observer, position: &Position, whom: &str) -> Infallible {
    tokio::time::sleep(NOTICE_AFTER).await;
    loop {
        let ahead = position.ahead();
        observer.waiting(queued(ahead, whom)).await;
        position.below(ahead).await;
    }
}

fn queued(ahead: u64, whom: &str) -> Notice {
    let message = match ahead {
        0 => format!("waiting for {whom}, from another process"),
        1 => format!("waiting for {whom}"),
        _ => format!("waiting for {whom}; {ahead} calls are ahead of this one"),
    };
    Notice { code: NoticeCode::Queued, message }
}

fn sent_while_busy(session: &SessionId) -> Notice {
    let message = format!("another call is using session {session}; this one is sent without waiting for it");
    Notice { code: NoticeCode::SentWhileBusy, message }
}

/// The refusal of a call that does not wait.
fn busy(whom: &str) -> CallError {
    CallError::new(ErrorKind::Busy, format!("{whom} is running; nothing was sent, because the call does not wait"))
        .hint("send it again later, or leave --if-busy out to wait; `cupola runs list` shows what is running")
        .of_turn(Turn::NotRun)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_says_how_many_are_ahead() {
        let shown = |ahead| queued(ahead, "another call on session s1").message;
        assert_eq!(shown(0), "waiting for another call on session s1, from another process");
        assert_eq!(shown(1), "waiting for another call on session s1");
        assert_eq!(shown(3), "waiting for another call on session s1; 3 calls are ahead of this one");
    }
}
