//! `cupola auth status|clear|login`: the tokens the daemon holds, without the tokens, and how to sign in.

use crate::exit;
use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::line::call::{encode, typed};
use crate::line::connect::DaemonFlags;
use crate::show;
use crate::show::table::{Output, columns};
use crate::terminal;
use clap::{Args, Subcommand};
use cupola_protocol::auth::{Clear, Status, StatusResponse};
use cupola_protocol::daemon::NoParams;

pub(crate) const HELP: &str = "\
The daemon fetches a token when a call needs one, and replaces it in the background while it is in use. After signing in with \
another account, run `clear` so that the next call fetches a new token.

Examples:
  cupola auth status
  az login && cupola auth clear";

/// A script that expects to be signed in afterwards must stop.
const SIGN_IN: &str = "Cupola has no sign-in of its own: it uses the one of the Azure CLI or of azd.\n\
    Run `az login` or `azd auth login`. After you change the account, also run `cupola auth clear`.\n\
    `cupola auth status` shows what is used.";

#[derive(Debug, Args)]
pub(crate) struct Flags {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the configured credential and the status of its tokens
    Status {
        /// How to print it
        #[arg(long, short, value_name = "FORMAT", default_value = "table")]
        output: Output,
        #[command(flatten)]
        daemon: DaemonFlags,
    },
    /// Forget every token
    Clear {
        #[command(flatten)]
        daemon: DaemonFlags,
    },
    /// Say how to sign in: Cupola uses the sign-in of the Azure CLI or of azd
    Login,
}

/// Asks the daemon.
pub(crate) fn run(flags: &Flags, hooks: Hooks) -> Result<u8, Failure> {
    match &flags.action {
        Action::Status { output, daemon } => {
            let raw = daemon.ask(hooks.embedded, encode::<Status>(NoParams {})?, |_| ())?.receive(|_| Ok(()))?;
            show::print(&match output {
                Output::Json => show::indented(&raw),
                Output::Table => lines(&typed::<Status>(&raw)?),
            })?;
        }
        Action::Clear { daemon } => {
            let raw = daemon.ask(hooks.embedded, encode::<Clear>(NoParams {})?, |_| ())?.receive(|_| Ok(()))?;
            let cleared = typed::<Clear>(&raw)?.cleared;
            let tokens = if cleared == 1 { "token" } else { "tokens" };
            show::print(&format!("Forgot {cleared} {tokens}.\n"))?;
        }
        Action::Login => return Err(Failure::usage(SIGN_IN)),
    }
    Ok(exit::OK)
}

fn lines(status: &StatusResponse) -> String {
    let tenant = status.credential.tenant_id.as_ref().map(|tenant| format!(", tenant {tenant}")).unwrap_or_default();
    let mut rows = vec![["CREDENTIAL", "SCOPE", "STATE", "EXPIRES"].map(str::to_owned)];
    let mut errors = String::new();
    for token in &status.tokens {
        let state = serde_json::to_value(token.state).ok().and_then(|state| state.as_str().map(str::to_owned));
        let expires = token.expires_at.clone().unwrap_or_default();
        rows.push([token.credential.clone(), token.scope.clone(), state.unwrap_or_default(), expires]);
        if let Some(error) = &token.error {
            errors += &terminal::paragraph(&format!("{}: ", terminal::line(&token.credential)), error);
            errors.push('\n');
        }
    }
    format!(
        "{}\n{}{errors}",
        terminal::line(&format!("Configured: {}{tenant}", status.credential.kind)),
        columns(&rows)
    )
}
