//! `--record`: the exchange with the agent goes to a file, besides the answer to standard output.

use super::Output;
use super::print::{How, ending};
use crate::exit;
use crate::failure::Failure;
use crate::hooks::{Hooks, RecordedCall, SaveCall};
use crate::line::call::Connection;
use crate::show;
use crate::show::answer::Printer;
use crate::show::debug;
use crate::terminal;
use clap::Args;
use cupola_protocol::invoke::Question;
use cupola_protocol::isolation::Isolation;
use serde_json::value::RawValue;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

#[derive(Debug, Args)]
#[command(next_help_heading = "Recording")]
pub(super) struct RecordFlags {
    /// Add the exchange to this recording, for `cupola emulator --agent NAME=replay:FILE`; keys, identities and tokens are
    /// replaced. The answer is printed when it is complete
    #[arg(long, value_name = "FILE", conflicts_with_all = ["detach", "survive"])]
    pub(super) record: Option<PathBuf>,
    /// Keep only a digest of the message
    #[arg(long, requires = "record")]
    record_without_prompts: bool,
}

/// A recording to which a call is added.
pub(super) struct Recording {
    save: SaveCall,
    isolation: Isolation,
}

impl RecordFlags {
    /// Opens the recording, if there is one, before anything is sent.
    pub(super) fn open(
        &self,
        output: Output,
        isolation: &Isolation,
        hooks: Hooks,
    ) -> Result<Option<Recording>, Failure> {
        let Some(path) = &self.record else { return Ok(None) };
        if matches!(output, Output::Jsonl | Output::Raw) {
            return Err(Failure::usage("--record can be used with -o default and -o json only"));
        }
        let save = (hooks.record)(path, !self.record_without_prompts).map_err(Failure::usage)?;
        Ok(Some(Recording { save, isolation: isolation.clone() }))
    }
}

impl Recording {
    /// Prints the answer and saves the exchange, also when the call failed.
    pub(super) fn print(
        self,
        connection: &mut Connection,
        how: &How,
        shows_requests: bool,
    ) -> Result<(u8, Vec<Question>), Failure> {
        let mut printer = how.printer();
        let (began, mut events) = (Instant::now(), Vec::new());
        let received = connection.receive(|event| {
            let after = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            events.push((after, event.value.to_owned()));
            if shows_requests {
                debug::show(event.value, || &mut printer.err);
            }
            if how.output == Output::Default { printer.event(event.value, event.more) } else { Ok(()) }
        });
        let Self { save, isolation } = self;
        let response = received.as_ref().ok().cloned();
        let saved = save(&RecordedCall { events, response, isolation });
        if let Err(why) = &saved {
            // The answer matters more, so it is still printed.
            let _ = writeln!(terminal::stderr(), "warning: the exchange was not recorded: {}", terminal::line(why));
        }
        let code = shown(&received?, how, &mut printer)?;
        let code = if saved.is_err() && code == exit::OK { exit::FAILED } else { code };
        Ok((code, printer.questions))
    }
}

fn shown<Out: Write, Err: Write>(raw: &RawValue, how: &How, printer: &mut Printer<Out, Err>) -> Result<u8, Failure> {
    let ending = ending(raw)?;
    if how.output == Output::Default {
        return printer.end(&ending);
    }
    show::print(&show::indented(raw))?;
    Ok(ending.code())
}
