//! How users spread over the sessions of a pool, by the rule that places them: the figures of docs/scale.md. In simulated time, with whole
//! numbers only, so that they are the same everywhere.

use cupola::partition::pool::{Choice, Pool, choose};
use cupola::partition::{AgentKey, Owner};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const USERS: usize = 10_000;
const SESSIONS: usize = 50;
const SHARE: u32 = 10;
/// How long a turn takes: from 1 to 9 seconds, in milliseconds.
const TURN: (u64, u64) = (1_000, 9_000);
/// For how long turns are counted.
const HOUR: u64 = 3_600_000;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// Places one more user; gives the session.
fn place(loads: &mut Vec<u64>, pool: &Pool) -> usize {
    let session = match choose(loads, pool) {
        Choice::Existing(session) => session,
        Choice::New => {
            loads.push(0);
            loads.len() - 1
        }
        Choice::Nowhere => panic!("a pool has at least one session"),
    };
    loads[session] += 1;
    session
}

fn pool() -> Pool {
    let agent = AgentKey::new(&serde_json::from_str(r#"{"kind":"emulator"}"#).unwrap());
    Pool { owner: Owner::of_pool(&agent, "caller", None), most: u32::try_from(SESSIONS).unwrap(), share: SHARE }
}

/// Users come, each to its session; then one session is lost, and its users are placed again. How many moved, and the least and most
/// users of a session after each.
fn spread() -> (usize, (u64, u64), (u64, u64)) {
    let (pool, mut loads) = (pool(), Vec::new());
    let of_user: Vec<_> = (0..USERS).map(|_| place(&mut loads, &pool)).collect();
    let range = |loads: &[u64]| (*loads.iter().min().unwrap(), *loads.iter().max().unwrap());
    let before = range(&loads);
    let lost = 17;
    loads.remove(lost);
    let moved = of_user.iter().filter(|session| **session == lost).count();
    for _ in 0..moved {
        place(&mut loads, &pool);
    }
    (moved, before, range(&loads))
}

/// How long turns wait for others of their session when each user sends one every `pause` milliseconds on average, one turn at a time in a
/// session: the share of turns that wait in percent, and the waits that 50, 95 and 99 of a hundred turns stay below, in seconds.
fn waits(pause: u64) -> (u64, [u64; 3]) {
    let (mut random, pool, mut loads) = (Random(0x9e37_79b9_7f4a_7c15), pool(), Vec::new());
    let of_user: Vec<_> = (0..USERS).map(|_| place(&mut loads, &pool)).collect();
    let mut arrivals: BinaryHeap<_> = (0..USERS).map(|user| Reverse((random.below(2 * pause), user))).collect();
    let (mut free, mut waits) = (vec![0; SESSIONS], Vec::new());
    while let Some(Reverse((at, user))) = arrivals.pop().filter(|Reverse((at, _))| *at < HOUR) {
        let begins = at.max(free[of_user[user]]);
        waits.push(begins - at);
        let ends = begins + TURN.0 + random.below(TURN.1 - TURN.0);
        free[of_user[user]] = ends;
        // A person reads the answer before the next question.
        arrivals.push(Reverse((ends + random.below(2 * pause), user)));
    }
    waits.sort_unstable();
    let count = u64::try_from(waits.len()).unwrap();
    let waiting = u64::try_from(waits.iter().filter(|wait| **wait > 0).count()).unwrap();
    let below = |percent: usize| waits[waits.len() * percent / 100].div_ceil(1000);
    ((waiting * 100).div_ceil(count), [50, 95, 99].map(below))
}

#[test]
fn the_figures_of_the_page_are_those_of_the_rule() {
    let (moved, (least, most), (least_after, most_after)) = spread();
    let mut lines = vec![
        format!("| users in a session | {least} to {most} |"),
        format!("| users that move when a session is lost | {moved} |"),
        format!("| users in a session after that | {least_after} to {most_after} |"),
    ];
    for minutes in [240, 60, 30, 20] {
        let (waiting, [half, most, nearly]) = waits(minutes * 60_000);
        lines.push(format!("| {minutes} minutes | {waiting} % | {half} s | {most} s | {nearly} s |"));
    }
    println!("{}", lines.join("\n"));
    let page = include_str!("../../../docs/scale.md");
    for line in &lines {
        assert!(page.contains(line.as_str()), "docs/scale.md does not have {line}\nall:\n{}", lines.join("\n"));
    }
}
