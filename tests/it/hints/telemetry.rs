//! Hints about traces and metrics.

use super::{Check, Outcome as _, Stopped, advice, run};
use crate::support::{PATIENCE, free_address};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::time::Instant;

/// The configuration for the next daemon.
fn configure(home: &Stopped, metrics_listen: SocketAddr) {
    fs::create_dir_all(home.path(".config/cupola")).unwrap();
    let settings = format!("[telemetry]\nmetrics_listen = \"{metrics_listen}\"\n");
    fs::write(home.path(".config/cupola/config.toml"), settings).unwrap();
}

/// What doctor says once it has something to say: the daemon begins to listen when it has started.
fn check(home: &Stopped, is_right: bool) -> Check {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let check = Check::of(&run(home, "doctor -o json"), "telemetry");
        if check.hint().is_none() == is_right && !check.shown().contains("about to be") {
            return check;
        }
        assert!(Instant::now() < deadline, "{}", check.shown());
    }
}

#[test]
fn a_port_for_metrics_that_another_program_has_is_mended_as_doctor_says() {
    let home = Stopped::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    configure(&home, taken.local_addr().unwrap());
    let given = advice("correct [telemetry] in Cupola's configuration file").given_by(&check(&home, false));
    configure(&home, free_address());
    assert!(run(&home, "stop").status.success());
    given.works(&check(&home, true)).done();
}
