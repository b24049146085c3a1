//! A separate emulator as a process: it stays in the terminal until a signal ends it; a second one does not wait for its agents.
//!
//! - [`output`]: what its agents write; [`variables`]: `--env` and `--env-file`

mod output;
mod variables;

use super::log::OneLine;
use super::{Reason, one_line, runtime_of_many};
use crate::config;
use crate::inbound::server::descriptors;
use crate::lifetime::shutdown;
use cupola_cli::exit;
use cupola_emulator::command::token::{TokenCommandError, TokenOptions, token};
use cupola_emulator::command::{self, CommandError, CommandOptions};
use cupola_emulator::logs::AgentOutput;
use output::{Output, has_colours};
use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use variables::VariablesError;

/// Runs an emulator until the first signal. Where it listens goes to standard output, its log to standard error. Its agents get the
/// `variables`, each `NAME=VALUE` or `NAME`, and those in the `files`.
pub fn emulator(mut options: CommandOptions, files: &[PathBuf], variables: &[String]) -> ExitCode {
    options.registry = config::own_emulators_directory();
    let output = Output::new(&options.agents, has_colours());
    options.agent_output = Some(AgentOutput::new(move |agent, stream, line| output.show(agent, stream, line)));
    let read = variables::read(files, variables, config::variable).map_err(Reason::from);
    finished(read.and_then(|variables| try_emulator(CommandOptions { variables, ..options })))
}

/// Prints a token for an emulator of this user.
pub fn emulator_token(mut options: TokenOptions) -> ExitCode {
    options.registry = config::own_emulators_directory();
    let printed = token(&options).map_err(Reason::from).and_then(|token| Ok(writeln!(io::stdout(), "{token}")?));
    finished(printed)
}

fn finished(result: Result<(), Reason>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            // Standard error may be closed; then it cannot be reported.
            let _ = writeln!(io::stderr(), "error: {}", one_line(&*reason));
            ExitCode::from(exit_code(&*reason))
        }
    }
}

/// The exit codes of `cupola --help`.
fn exit_code(reason: &(dyn Error + Send + Sync + 'static)) -> u8 {
    let is_usage = match (reason.downcast_ref::<CommandError>(), reason.downcast_ref::<TokenCommandError>()) {
        (Some(error), _) => error.is_usage(),
        (_, Some(TokenCommandError::NoneRuns | TokenCommandError::NotThere(_))) => return exit::NOT_FOUND,
        (_, Some(TokenCommandError::Registry(_) | TokenCommandError::Secret(_))) => false,
        (_, Some(_)) => true,
        (None, None) => reason.is::<VariablesError>(),
    };
    if is_usage { exit::USAGE } else { exit::FAILED }
}

fn try_emulator(mut options: CommandOptions) -> Result<(), Reason> {
    descriptors::raise_limit();
    options.open_files = descriptors::limit();
    let colours = has_colours();
    tracing_subscriber::fmt()
        .with_writer(OneLine::new(BoxMakeWriter::new(io::stderr), colours))
        .with_ansi(colours)
        .with_max_level(LevelFilter::WARN)
        .try_init()?;
    if let Some(warning) = options.warning() {
        // A closed standard error means that no warning is wanted.
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
    let runtime = runtime_of_many()?;
    runtime.block_on(async {
        let mut asked = shutdown::signals()?;
        let stop = CancellationToken::new();
        let mut output = io::stdout();
        tokio::select! {
            ended = command::run(options, &mut output, stop.cancelled()) => Ok(ended?),
            // The first signal stops agents with their grace period, the second without.
            () = async {
                asked.recv().await;
                stop.cancel();
                asked.recv().await;
            } => Ok(()),
        }
    })
}
