//! `cupola mcp` with the tools of the protocol's conformance suite, for `tests/real/test_mcp_conformance.py`. It reaches no daemon.

use cupola_cli::Hooks;
use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let none = |_| ExitCode::FAILURE;
    cupola_cli::run(
        std::env::args_os(),
        Hooks {
            version: env!("CARGO_PKG_VERSION"),
            serve: none,
            embedded: |_| Err(io::Error::other("this example has no daemon")),
            gateway: |_| ExitCode::FAILURE,
            emulator: |_| ExitCode::FAILURE,
            emulator_token: |_| ExitCode::FAILURE,
            conformance: |_| Ok(false),
            record: |_, _| Err("this example has no daemon".to_owned()),
            mcp: cupola_mcp::serve_conformance,
        },
    )
}
