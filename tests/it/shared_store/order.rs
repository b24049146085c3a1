//! Several daemons work on one session, or on one that exists already.

use super::daemons::{begin, command, home, invoke, result, serve, wait_until};
use crate::support::finish;
use cupola::partition::store::Store as _;

/// Calls of three daemons on one session: each waits for those that came before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_of_three_daemons_on_one_session_run_in_order_of_arrival() {
    let Some((server, mut emulator, url)) = begin().await else { return };
    let homes = [home(&server, &mut emulator), home(&server, &mut emulator), home(&server, &mut emulator)];
    tokio::task::block_in_place(|| {
        let _daemons: Vec<_> = homes.iter().map(serve).collect();
        let session = result(&finish(invoke(&homes[0], &url, "alice", "hello")))["sessionId"].clone();
        let begun = emulator.turns().len();
        let mut first = invoke(&homes[0], &url, "alice", "slow 200 30").spawn().unwrap();
        wait_until(|| emulator.turns().len() == begun + 1);
        let waits = |count: usize| {
            // The store knows who comes after the holder.
            let keys = server.command(&["EVAL", "return #redis.call('KEYS', '*:l:s:*:next')", "0"]);
            keys.trim() == format!(":{count}")
        };
        let mut second = invoke(&homes[1], &url, "alice", "remember the second.").spawn().unwrap();
        wait_until(|| waits(1));
        let third = invoke(&homes[2], &url, "alice", "remember the third.");
        let third = finish(third);
        assert_eq!(result(&third)["sessionId"], session);
        assert!(first.wait().unwrap().success() && second.wait().unwrap().success());
        let order: Vec<_> =
            emulator.turns().split_off(begun).iter().map(|turn| turn.body["input"].to_string()).collect();
        let of = |word: &str| order.iter().position(|input| input.contains(word)).unwrap();
        assert!(of("slow") < of("second") && of("second") < of("third"), "{order:?}");
        assert_eq!(order.len(), 3, "{order:?}");
        for home in &homes {
            assert!(finish(command(home, &["stop"])).status.success());
        }
    });
    emulator.end().await;
}

/// A daemon makes the session, and dies before it can say so: the service has it, the store does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_another_daemon_has_made_is_adopted() {
    let Some((server, mut emulator, url)) = begin().await else { return };
    let (home, other) = (home(&server, &mut emulator), crate::support::Home::new());
    emulator.list_in(&other);
    let store = server.open();
    tokio::task::block_in_place(|| {
        let _daemon = serve(&home);
        result(&finish(invoke(&home, &url, "alice", "hello")));
    });
    let partition = store.list().await.unwrap()[0].partition.clone();
    store.forget(std::slice::from_ref(&partition)).await.unwrap();
    let next = store.next_session(&partition, false).await.unwrap().unwrap().to_string();
    tokio::task::block_in_place(|| {
        let (at, user) = (format!("--emulator={url}"), "--user-isolation-key=alice");
        let made = finish(other.command(&["sessions", "create", &at, user, "--session-id", &next]));
        assert!(made.status.success(), "{made:?}");
        let asked = emulator.asked("POST", "sessions").len();
        let adopted = result(&finish(invoke(&home, &url, "alice", "hello")));
        assert_eq!(adopted["sessionId"], next.as_str());
        assert_eq!(emulator.asked("POST", "sessions").len(), asked + 1, "it asked for the same session");
        for home in [&home, &other] {
            assert!(finish(command(home, &["stop"])).status.success());
        }
    });
    emulator.end().await;
}
