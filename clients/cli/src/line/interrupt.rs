//! Ctrl-C: the first cancels the call and waits for its end, the second leaves at once. Without a call the first leaves.

use super::stream::Stream;
use crate::exit;
use crate::terminal;
use cupola_protocol::Method;
use cupola_protocol::id::RunId;
use cupola_protocol::rpc::{CANCEL, Cancel, Id, Request};
use cupola_protocol::runs::{Cancel as CancelRun, RunParams};
use std::io::Write;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Set by the first Ctrl-C. A process has one set of signal handlers, so this is one flag.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Does this process continue when a call ends? Then Ctrl-C may only end the call, whatever it is.
static STAYS: AtomicBool = AtomicBool::new(false);

/// Where the call under way is to be cancelled, and the message that does it.
static CALL: Mutex<Option<(Stream, Vec<u8>)>> = Mutex::new(None);

/// The id of the call that cancels a run, beside the call that follows it. Nobody waits for its answer.
const BESIDE: Id = Id::Number(2);

/// Has the user asked to cancel?
pub(crate) fn happened() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// The call is over: the next Ctrl-C is a first one again.
pub(crate) fn settle() {
    *CALL.lock().unwrap_or_else(PoisonError::into_inner) = None;
    INTERRUPTED.store(false, Ordering::SeqCst);
}

/// From now on this process outlives its calls.
pub(crate) fn stay() {
    STAYS.store(true, Ordering::SeqCst);
}

/// As [`cancels`], for a call whose command Ctrl-C simply ends unless the process continues.
pub(crate) fn spares(stream: &Stream, id: Id) {
    if STAYS.load(Ordering::SeqCst) {
        cancels(stream, id);
    }
}

/// From now on Ctrl-C cancels call `id` on this connection. Called once the request has been written, so that setting up
/// costs the call no time.
pub(crate) fn cancels(stream: &Stream, id: Id) {
    on_interrupt(stream, serde_json::to_vec(&Request::notification(CANCEL, Cancel { id })));
}

/// As [`cancels`], for a run that another daemon began: the call on this connection only follows it, so cancelling the call would leave
/// the run alone. A Ctrl-C that was pressed before the connection was open counts, too.
pub(super) fn cancels_run(stream: &Stream, run_id: &RunId) {
    let request = Request::call(BESIDE, CancelRun::NAME, RunParams { run_id: run_id.clone(), isolation: None });
    on_interrupt(stream, serde_json::to_vec(&request));
    if happened()
        && let Some((stream, message)) = CALL.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
    {
        let _ = stream.write_all(message);
    }
}

/// From now on Ctrl-C sends this message on this connection.
fn on_interrupt(stream: &Stream, message: serde_json::Result<Vec<u8>>) {
    let (Ok(stream), Ok(mut message)) = (stream.try_clone(), message) else { return };
    message.push(b'\n');
    *CALL.lock().unwrap_or_else(PoisonError::into_inner) = Some((stream, message));
    // Fails when it is set already, which is as good. Without a handler Ctrl-C ends this process, and the daemon cancels
    // the run of a client that is gone.
    let _ = ctrlc::set_handler(|| {
        let is_second = INTERRUPTED.swap(true, Ordering::SeqCst);
        match CALL.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some((stream, message)) if !is_second => {
                let mut stderr = terminal::stderr();
                // A terminal shows ^C behind whatever of the answer is there.
                let line_end = if terminal::stderr_is_terminal() { "\n" } else { "" };
                let _ = writeln!(stderr, "{line_end}cancelling; press Ctrl-C again to exit immediately");
                let _ = stream.write_all(message);
            }
            _ => process::exit(i32::from(exit::CANCELLED)),
        }
    });
}
