//! The real binary gives memory back: after streams and turns, what it has taken for itself returns to where it was.

use crate::support::{PATIENCE, Process};
use crate::survival::World;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Streams at once, and the words of each.
const STREAMS: usize = 40;
const WORDS: usize = 400;
/// Turns in one session and conversation.
const TURNS: usize = 300;
/// What may be left, KiB. The benchmark (`cargo xtask bench memory`) measures the release binary after far more work; this one has
/// unoptimised code and shares its machine with other tests, so it only notices what does not come back.
const LEFT_KIB: u64 = 8 * 1024;
/// How often memory is looked at.
const POLL: Duration = Duration::from_millis(200);

/// The process's private, modified memory, in KiB.
#[cfg(target_os = "linux")]
fn private_kib(daemon: &Process) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", daemon.id())).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

struct Line(BufReader<UnixStream>);

impl Line {
    fn connect(socket: &Path) -> Self {
        Self(BufReader::new(UnixStream::connect(socket).unwrap()))
    }

    fn invoke(&mut self, target: &Value, user: &str, input: &str) {
        let params = json!({"target": target, "isolation": {"userKey": user}, "input": input, "partialResultToken": 1});
        writeln!(self.0.get_mut(), "{}", json!({"id": 1, "method": "invoke", "params": params})).unwrap();
        loop {
            let mut text = String::new();
            self.0.read_line(&mut text).unwrap();
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["id"] == 1 {
                assert!(message["result"].is_object(), "{message}");
                return;
            }
        }
    }
}

/// Waits until memory is back, and fails when it stays away.
#[cfg(target_os = "linux")]
fn assert_back(daemon: &Process, start: u64, after: &str) {
    let deadline = Instant::now() + PATIENCE;
    while private_kib(daemon) > start + LEFT_KIB {
        let left = private_kib(daemon) - start;
        assert!(Instant::now() < deadline, "{left} KiB more than at the start are left after {after}");
        std::thread::sleep(POLL);
    }
}

/// The emulator keeps what it is told, so it is not part of the daemon here.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn memory_comes_back_after_streams_and_turns() {
    let world = World::start().await;
    tokio::task::block_in_place(|| {
        let (daemon, target, socket) = (&world.daemon, &world.target, world.home.socket());
        let start = private_kib(daemon);
        std::thread::scope(|threads| {
            for number in 0..STREAMS {
                let socket = &socket;
                threads.spawn(move || {
                    let input = format!("stream {}", "word ".repeat(WORDS));
                    Line::connect(socket).invoke(target, &format!("user-{number}"), &input);
                });
            }
        });
        assert_back(daemon, start, "streams");
        let mut line = Line::connect(&socket);
        for number in 0..TURNS {
            line.invoke(target, "turns", &format!("turn {number}"));
        }
        drop(line);
        assert_back(daemon, start, "turns");
    });
    world.end().await;
}
