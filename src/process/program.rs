//! `cupola` as a program: what the command line starts, with the options that it hands over.

use super as process;
use crate::config::Flags;
use cupola_cli::{
    ConformanceOptions, EmulatorOptions, EmulatorTokenOptions, GatewayOptions, Hooks, ServeOptions, Undocumented,
};
use cupola_protocol::rpc::ErrorObject;
use std::process::ExitCode;

/// Runs this process's command line, as a program of this version.
pub fn run(version: &'static str) -> ExitCode {
    cupola_cli::run(
        std::env::args_os(),
        Hooks {
            version,
            serve,
            embedded: process::embedded,
            gateway,
            emulator,
            emulator_token,
            conformance,
            record: process::record,
            mcp: cupola_mcp::serve,
        },
    )
}

fn serve(options: ServeOptions) -> ExitCode {
    let ServeOptions { socket, state_directory, idle_exit, log, log_file, background } = options;
    process::serve(Flags { socket, state_directory, idle_exit, log, log_file }, background)
}

fn gateway(options: GatewayOptions) -> ExitCode {
    let GatewayOptions { listen, is_plain, state_directory, log, log_file } = options;
    process::gateway(process::GatewayFlags { listen, is_plain, state_directory, log, log_file })
}

fn emulator(options: EmulatorOptions) -> ExitCode {
    let EmulatorOptions {
        listen,
        listen_beyond_loopback,
        tls,
        tls_files,
        tls_names,
        agents,
        allowed_variables,
        variables,
        variable_files,
        watch,
        data_directory,
        idle_seconds,
        withhold_impersonation,
        without,
        record,
        record_without_prompts,
        json,
    } = options;
    let idle_timeout = idle_seconds.map(std::time::Duration::from_secs);
    let options = cupola_emulator::command::CommandOptions {
        open_files: None,
        listen,
        listen_beyond_loopback,
        tls,
        tls_files,
        tls_names,
        agents,
        allowed_variables,
        variables: Vec::new(),
        watch,
        data_directory,
        idle_timeout,
        withhold_impersonation,
        without: without.into_iter().map(undocumented).collect(),
        record,
        record_without_prompts,
        registry: None,
        agent_output: None,
        json,
    };
    process::emulator(options, &variable_files, &variables)
}

fn emulator_token(options: EmulatorTokenOptions) -> ExitCode {
    let EmulatorTokenOptions { caller, permissions, expires_seconds, url, data_directory } = options;
    let lifetime = expires_seconds.map(std::time::Duration::from_secs);
    process::emulator_token(cupola_emulator::command::token::TokenOptions {
        caller,
        permissions,
        lifetime,
        url,
        data_directory,
        registry: None,
    })
}

fn conformance(options: ConformanceOptions) -> Result<bool, Box<ErrorObject>> {
    let ConformanceOptions { target, is_agreed, allows_unnamed, json } = options;
    process::conformance(&target, is_agreed, allows_unnamed, json)
}

const fn undocumented(operation: Undocumented) -> cupola_emulator::Undocumented {
    match operation {
        Undocumented::Mkdir => cupola_emulator::Undocumented::MakeDirectory,
        Undocumented::Stat => cupola_emulator::Undocumented::Stat,
    }
}
