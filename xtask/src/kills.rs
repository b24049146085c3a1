//! `cargo xtask kills`: kills the daemon at random points of streams, as often as is wanted (`tests/it/kills.rs`). Each round takes the
//! next of four set-ups, so N runs in each of them take 4 N rounds.

use crate::lint::{cargo_in_root, outcome};
use crate::root;
use std::path::Path;
use std::process::ExitCode;

/// Rounds of a longer run. The tests do 40.
const ROUNDS: u64 = 500;
/// Where the test reads how many, and what its random numbers begin with.
const VARIABLES: [&str; 2] = ["CUPOLA_KILL_ROUNDS", "CUPOLA_KILL_SEED"];
/// Where the test reads how a published agent server is started, which then answers instead of the built-in agent.
const AGENT: &str = "CUPOLA_KILL_AGENT";
/// The agent server, and the Python that `tests/real/run.py --prepare` makes for it.
const SERVER: [&str; 2] = ["target/real/agentserver/bin/python", "tests/real/agents/responses.py"];
const USAGE: &str = "usage: cargo xtask kills [--real] [--rounds N] [--seed N]";

/// `cargo xtask kills [--real] [--rounds N] [--seed N]`.
pub(crate) fn run(options: &[&str]) -> ExitCode {
    let (is_real, options) = match options {
        ["--real", rest @ ..] => (true, rest),
        all => (false, all),
    };
    let Some([rounds, seed]) = read(options) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    // The other tests of the file kill the service, which only the built-in agent is part of.
    let tests = if is_real { "kills::a_daemon_that_is_killed" } else { "kills::" };
    let mut command = cargo_in_root(&["test", "--package", "cupola", "--test", "it", "--", tests, "--nocapture"]);
    if is_real {
        let [python, script] = SERVER.map(|path| root().join(path).display().to_string());
        if !Path::new(&python).exists() {
            eprintln!(
                "there is no {python}; \"python3 tests/real/run.py --binary target/debug/cupola --prepare\" makes it"
            );
            return ExitCode::from(2);
        }
        command.env(AGENT, format!("{python} {script}"));
    }
    command.env(VARIABLES[0], rounds.unwrap_or(ROUNDS).to_string());
    if let Some(seed) = seed {
        command.env(VARIABLES[1], seed.to_string());
    }
    outcome(&mut command)
}

/// The rounds and the seed; `None` when the options cannot be understood.
fn read(options: &[&str]) -> Option<[Option<u64>; 2]> {
    let (pairs, []) = options.as_chunks::<2>() else { return None };
    let mut read = [None, None];
    for [name, value] in pairs {
        let place = ["--rounds", "--seed"].iter().position(|known| known == name)?;
        *read.get_mut(place)? = Some(value.parse().ok()?);
    }
    Some(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_and_seed_are_read_in_any_order() {
        assert_eq!(read(&[]), Some([None, None]));
        assert_eq!(read(&["--seed", "7", "--rounds", "500"]), Some([Some(500), Some(7)]));
        for wrong in [&["--rounds"][..], &["--rounds", "many"], &["--round", "1"]] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
