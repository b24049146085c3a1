//! `cupola` as an older build: the same program with a lower version, for the tests of a daemon that hands over to a newer one.

use std::process::ExitCode;

fn main() -> ExitCode {
    cupola::process::run("0.0.1")
}
