//! `--if-busy` and `--on-disconnect`: what to do when another call is using the session, and when this command leaves.

use clap::{Args, ValueEnum};
use cupola_protocol::invoke;

#[derive(Debug, Args)]
#[command(next_help_heading = "Other calls")]
pub(super) struct BusyFlags {
    /// What to do when another call is using the session
    #[arg(long, value_name = "WHAT", default_value = "queue")]
    if_busy: IfBusy,
    /// What becomes of the run when this command is disconnected; cancelled if omitted, kept with --detach
    #[arg(long, value_name = "WHAT")]
    on_disconnect: Option<OnDisconnect>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum IfBusy {
    /// Wait for it
    Queue,
    /// Fail at once
    Reject,
    /// Send the message beside it
    Parallel,
    /// Send the message beside it; an agent that can be steered continues with it
    Steer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnDisconnect {
    /// Cancel it
    Cancel,
    /// Let it finish; see `cupola runs`
    Keep,
}

impl BusyFlags {
    /// As the daemon takes it.
    pub(super) const fn if_busy(&self) -> invoke::IfBusy {
        match self.if_busy {
            IfBusy::Queue => invoke::IfBusy::Queue,
            IfBusy::Reject => invoke::IfBusy::Reject,
            IfBusy::Parallel => invoke::IfBusy::Parallel,
            IfBusy::Steer => invoke::IfBusy::Steer,
        }
    }

    /// As the daemon takes it.
    pub(super) fn on_disconnect(&self) -> Option<invoke::OnDisconnect> {
        self.on_disconnect.map(|what| match what {
            OnDisconnect::Cancel => invoke::OnDisconnect::Cancel,
            OnDisconnect::Keep => invoke::OnDisconnect::Keep,
        })
    }
}
