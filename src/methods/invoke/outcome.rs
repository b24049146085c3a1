//! How a failed turn is reported: whether it ran, and how to find out when that is unknown. Pure.

use crate::error::CallError;
use cupola_protocol::error::{ErrorKind, Turn};
use cupola_protocol::id::{RunId, SessionId};
use cupola_protocol::invoke::RunFailure;
use std::time::Duration;

/// Why a run is ended from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Cancelled,
    TimedOut,
    ShuttingDown,
}

/// What is known of a turn when it fails.
#[derive(Debug)]
pub(in crate::methods) struct Standing<'a> {
    pub(in crate::methods) run: &'a RunId,
    pub(in crate::methods) turn: Turn,
    /// Has the agent no service in front of it that keeps a log?
    pub(in crate::methods) is_local: bool,
    /// The session that it continues or that answered.
    pub(in crate::methods) session: Option<SessionId>,
    /// The queue in which the call still waits.
    pub(in crate::methods) waits_behind: Option<String>,
    pub(in crate::methods) limit: Option<Duration>,
}

impl Stop {
    /// The failure of a run that is ended for this reason.
    pub(super) fn error(self, standing: &Standing<'_>) -> CallError {
        let refused = match self {
            Self::Cancelled => CallError::cancelled(),
            Self::ShuttingDown => CallError::shutting_down(),
            Self::TimedOut => timed_out(standing),
        };
        explain(refused, standing)
    }
}

fn timed_out(standing: &Standing<'_>) -> CallError {
    let seconds = standing.limit.unwrap_or_default().as_secs_f64();
    let timed_out = |message: String| CallError::new(ErrorKind::TimedOut, message);
    let more_time_hint = "give more time with --timeout SECONDS; 0 means no limit";
    match (&standing.waits_behind, standing.turn) {
        (Some(whom), Turn::NotRun) => {
            timed_out(format!("the call waited behind {whom} until its time limit of {seconds} s; nothing was sent"))
                .hint("`cupola runs list` shows what is under way; wait for it, cancel it, or use another session with --new-session")
        }
        (None, Turn::NotRun) => {
            timed_out(format!("the turn could not be sent within the call's time limit of {seconds} s")).hint(more_time_hint)
        }
        (_, Turn::MayHaveRun | Turn::Ran) => {
            timed_out(format!("the agent did not finish within the call's time limit of {seconds} s")).hint(more_time_hint)
        }
    }
}

/// Adds to an error whether the turn ran and, when that is unknown, how to find out.
pub(super) fn explain(error: CallError, standing: &Standing<'_>) -> CallError {
    let kind = error.kind();
    let mut error = error.of_turn(standing.turn).of_run(standing.run.clone());
    if error.data.turn != Some(Turn::MayHaveRun) || kind == ErrorKind::Cancelled {
        return error;
    }
    let find_out_hint = find_out_hint(standing, kind != ErrorKind::ShuttingDown);
    let hint = match error.data.hint.take() {
        // A new daemon would be asked for the same turn.
        Some(hint) if kind != ErrorKind::ShuttingDown => format!("{hint}\n{find_out_hint}"),
        _ => find_out_hint,
    };
    error.hint(hint)
}

/// The same for a run whose answer had begun.
pub(in crate::methods) fn explain_failure(mut failure: RunFailure, standing: &Standing<'_>) -> RunFailure {
    if failure.turn == Some(Turn::MayHaveRun) && failure.hint.is_none() && failure.kind != ErrorKind::Cancelled {
        failure.hint = Some(find_out_hint(standing, failure.kind != ErrorKind::ShuttingDown));
    }
    failure
}

/// Where to look for what became of the turn. `is_kept`: this daemon stays, and remembers the run.
fn find_out_hint(standing: &Standing<'_>, is_kept: bool) -> String {
    let here_hint = format!("`cupola runs show {}` shows how far it came", standing.run);
    let there_hint = match &standing.session {
        _ if standing.is_local => "the agent's own output shows what it did".to_owned(),
        Some(session) => format!("`cupola monitor --tail 100 --session-id {session}` shows what the agent did"),
        None => "`cupola sessions list` shows whether it made a session".to_owned(),
    };
    let places = if is_kept { format!("{here_hint}, {there_hint}") } else { there_hint };
    format!("the turn may have run, so look before you send it again: {places}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(run: &RunId, turn: Turn) -> Standing<'_> {
        let limit = Some(Duration::from_secs(4));
        Standing {
            run,
            turn,
            is_local: false,
            session: Some("sess_abc123".parse().unwrap()),
            waits_behind: None,
            limit,
        }
    }

    #[test]
    fn a_run_that_is_ended_from_here_says_whether_the_turn_ran() {
        let run: RunId = "run-1".parse().unwrap();
        for (stop, turn, kind, retryable) in [
            (Stop::TimedOut, Turn::NotRun, ErrorKind::TimedOut, true),
            (Stop::TimedOut, Turn::MayHaveRun, ErrorKind::TimedOut, false),
            (Stop::ShuttingDown, Turn::NotRun, ErrorKind::ShuttingDown, true),
            (Stop::ShuttingDown, Turn::MayHaveRun, ErrorKind::ShuttingDown, false),
            (Stop::Cancelled, Turn::NotRun, ErrorKind::Cancelled, false),
            (Stop::Cancelled, Turn::MayHaveRun, ErrorKind::Cancelled, false),
        ] {
            let error = stop.error(&standing(&run, turn));
            let data = &error.data;
            assert_eq!((data.kind, data.turn, data.retryable), (kind, Some(turn), retryable), "{stop:?} {turn:?}");
            let asks_to_look = data.hint.as_deref().is_some_and(|hint| hint.contains("may have run"));
            assert_eq!(asks_to_look, turn == Turn::MayHaveRun && stop != Stop::Cancelled, "{stop:?} {turn:?}");
        }
    }

    #[test]
    fn a_hint_leads_only_to_places_that_exist() {
        let run: RunId = "run-1".parse().unwrap();
        let hint = |kind, change: &dyn Fn(&mut Standing<'_>)| {
            let mut standing = standing(&run, Turn::MayHaveRun);
            change(&mut standing);
            explain(CallError::new(kind, "no"), &standing).data.hint.unwrap()
        };
        let usual = hint(ErrorKind::ServiceError, &|_| {});
        assert!(
            usual.contains("cupola runs show run-1")
                && usual.contains("cupola monitor --tail 100 --session-id sess_abc123"),
            "{usual}"
        );
        let leaving = hint(ErrorKind::ShuttingDown, &|_| {});
        assert!(!leaving.contains("runs show") && leaving.contains("cupola monitor"), "{leaving}");
        let local = hint(ErrorKind::ServiceError, &|standing| standing.is_local = true);
        assert!(local.contains("runs show") && !local.contains("cupola monitor"), "{local}");
        let first = hint(ErrorKind::ServiceError, &|standing| standing.session = None);
        assert!(first.contains("cupola sessions list") && !first.contains("cupola monitor"), "{first}");
    }

    #[test]
    fn a_call_that_only_waited_says_behind_what() {
        let run: RunId = "run-1".parse().unwrap();
        let mut standing = standing(&run, Turn::NotRun);
        standing.waits_behind = Some("another call on session s1".to_owned());
        let error = Stop::TimedOut.error(&standing);
        assert_eq!(
            error.message(),
            "the call waited behind another call on session s1 until its time limit of 4 s; nothing was sent"
        );
    }
}
