//! The exit codes: one table from what happened to what a script sees.

use cupola_protocol::error::{ErrorKind, Turn};

/// The agent completed its answer, or the command did what it says.
pub(crate) const OK: u8 = 0;
/// The agent or the service failed, or the answer is incomplete.
pub const FAILED: u8 = 1;
/// The command line is wrong, or the service found the request wrong.
pub const USAGE: u8 = 2;
/// Authentication, permission or isolation forbids it.
pub(crate) const FORBIDDEN: u8 = 3;
/// There is no such session, agent or other thing.
pub const NOT_FOUND: u8 = 4;
/// Not now: the same call can succeed later.
pub(crate) const NOT_NOW: u8 = 5;
/// The daemon could not be reached or started, or does not work.
pub const DAEMON: u8 = 6;
/// The answer was cut off.
pub(crate) const TRUNCATED: u8 = 7;
/// No answer came, but the turn may have run.
pub(crate) const MAY_HAVE_RUN: u8 = 8;
/// The agent asks something and waits for the answer.
pub(crate) const WAITS: u8 = 9;
/// Cancelled, as a shell reports a program that Ctrl-C ended.
pub(crate) const CANCELLED: u8 = 130;
/// The reader of standard output closed it, as a shell reports SIGPIPE.
pub(crate) const READER_GONE: u8 = 141;

/// The table as `--help` shows it.
pub(crate) const HELP: &str = "\
Exit codes:
    0  success; the agent completed its answer
    1  the agent or the service failed, or the answer is incomplete
    2  invalid command line, or the service rejected the request as invalid
    3  not allowed: authentication, permissions or isolation
    4  not found: the session, agent or other resource does not exist
    5  temporary failure: the same command can succeed later
    6  the daemon cannot be reached or started, or has failed
    7  the answer was cut off
    8  no answer, but the turn may have run: find out before you send it again
    9  the agent waits for an answer: approve or deny a tool, give consent, or reply
  130  cancelled (Ctrl-C)
  141  the reader of standard output closed it";

/// The exit code of a failed call. Only a turn that did not run may be sent again by a script, so only its kind counts.
pub(crate) const fn of_failure(kind: ErrorKind, turn: Option<Turn>) -> u8 {
    match (kind, turn) {
        (ErrorKind::Cancelled, _) => CANCELLED,
        (_, Some(Turn::MayHaveRun)) => MAY_HAVE_RUN,
        (_, Some(Turn::Ran)) => FAILED,
        (kind, Some(Turn::NotRun) | None) => code(kind),
    }
}

/// The exit code of a kind of failure.
const fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::AgentFailed
        | ErrorKind::NotOffered
        | ErrorKind::AgentVersionFailed
        | ErrorKind::VersionMismatch
        | ErrorKind::Conflict
        | ErrorKind::ProxyTimeout
        | ErrorKind::ServiceError
        | ErrorKind::UnexpectedAnswer => FAILED,

        ErrorKind::InvalidParams
        | ErrorKind::BadRequest
        | ErrorKind::AgentNotChosen
        | ErrorKind::ProjectNotResolved
        | ErrorKind::ProjectFileInvalid
        | ErrorKind::FileTooLarge
        | ErrorKind::LocalFile => USAGE,

        ErrorKind::AuthenticationFailed
        | ErrorKind::Forbidden
        | ErrorKind::ImpersonationNotPermitted
        | ErrorKind::IsolationKeyRequired
        | ErrorKind::IsolationMismatch
        | ErrorKind::IsolationNotSupported
        | ErrorKind::ForeignSession
        | ErrorKind::NotSessionOwner
        | ErrorKind::PooledSession
        | ErrorKind::HostNotAllowed
        | ErrorKind::CertificateNotTrusted
        | ErrorKind::OutOfBounds => FORBIDDEN,

        ErrorKind::SessionNotFound | ErrorKind::AgentNotFound | ErrorKind::NotFound => NOT_FOUND,

        ErrorKind::ConversationLocked
        | ErrorKind::SessionNotReady
        | ErrorKind::SandboxIdle
        | ErrorKind::AgentVersionNotReady
        | ErrorKind::QuotaExceeded
        | ErrorKind::RateLimited
        | ErrorKind::ServiceUnavailable
        | ErrorKind::ConnectionFailed
        | ErrorKind::TimedOut
        | ErrorKind::Overloaded
        | ErrorKind::Busy
        | ErrorKind::DaemonGone
        | ErrorKind::ShuttingDown => NOT_NOW,

        ErrorKind::ClientStalled => TRUNCATED,

        ErrorKind::ParseError
        | ErrorKind::InvalidRequest
        | ErrorKind::MethodNotFound
        | ErrorKind::InternalError
        | ErrorKind::StateUnavailable
        | ErrorKind::ConfigurationInvalid
        | ErrorKind::EmulatorFailed => DAEMON,

        ErrorKind::Cancelled => CANCELLED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_now_is_exactly_what_the_protocol_calls_retryable() {
        for kind in ErrorKind::ALL {
            assert_eq!(code(*kind) == NOT_NOW, kind.retryable(), "{kind:?}");
        }
    }

    #[test]
    fn no_failure_exits_as_a_success() {
        for kind in ErrorKind::ALL {
            assert_ne!(code(*kind), OK, "{kind:?}");
        }
    }

    #[test]
    fn a_turn_that_may_have_run_never_exits_as_one_that_can_be_sent_again() {
        for kind in ErrorKind::ALL.iter().copied().filter(|kind| *kind != ErrorKind::Cancelled) {
            assert_eq!(of_failure(kind, Some(Turn::MayHaveRun)), MAY_HAVE_RUN, "{kind:?}");
            assert_eq!(of_failure(kind, Some(Turn::Ran)), FAILED, "{kind:?}");
            assert_eq!(of_failure(kind, Some(Turn::NotRun)), code(kind), "{kind:?}");
            assert_eq!(of_failure(kind, None), code(kind), "{kind:?}");
            assert_ne!(code(kind), MAY_HAVE_RUN, "{kind:?}");
        }
        for turn in [None, Some(Turn::NotRun), Some(Turn::MayHaveRun), Some(Turn::Ran)] {
            assert_eq!(of_failure(ErrorKind::Cancelled, turn), CANCELLED, "{turn:?}");
        }
    }

    #[test]
    fn help_lists_every_code() {
        let ours = [OK, FAILED, USAGE, FORBIDDEN, NOT_FOUND, NOT_NOW, DAEMON, TRUNCATED, MAY_HAVE_RUN];
        for code in ours.into_iter().chain([CANCELLED, READER_GONE]) {
            let listed = HELP.lines().any(|line| line.trim_start().starts_with(&format!("{code}  ")));
            assert!(listed, "{code} is not in the help");
        }
    }
}
