//! What a call costs in the store: docs/scale.md says it, and the store counts it.

use super::daemons::{begin, command, home, invoke, result, serve};
use crate::support::finish;

const CALLS: u64 = 10;

/// How often the store ran a command, scripts' own among them.
pub(super) fn count(info: &str, command: &str) -> u64 {
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warm_call_asks_the_store_once_and_notes_its_beginning_and_its_end() {
    let Some((server, mut emulator, url)) = begin().await else { return };
    let home = home(&server, &mut emulator);
    tokio::task::spawn_blocking(move || {
        let _daemon = serve(&home);
        result(&finish(invoke(&home, &url, "alice", "hello")));
        let before = server.command(&["INFO", "commandstats"]);
        for _ in 0..CALLS {
            result(&finish(invoke(&home, &url, "alice", "hello")));
        }
        let after = server.command(&["INFO", "commandstats"]);
        let ran = |command| count(&after, command) - count(&before, command);
        // Each write is one script with the question behind it whether it is safe. Every second the daemon looks for runs of daemons that
        // are gone. What is left is what a call asks before it is sent.
        let (scripts, writes, looks) = (ran("evalsha"), ran("waitaof"), ran("zrevrange"));
        assert_eq!((scripts - writes - looks, writes), (CALLS, 2 * CALLS), "{after}");
        assert_eq!(
            (ran("hmget"), ran("sadd"), ran("smembers")),
            (CALLS, 0, 0),
            "nothing else is read or written: {after}"
        );
        assert!(finish(command(&home, &["stop"])).status.success());
    })
    .await
    .unwrap();
    emulator.end().await;
}
