//! The scripts in a real server, and in the simulated store that the daemons of `src/partition/redis/simulation.rs` use: the same
//! random calls are answered alike and leave the same keys.

#[path = "../../../src/partition/redis/simulation/engine.rs"]
#[expect(dead_code, reason = "the simulation uses more of it")]
mod engine;

use crate::support::store_server::{Engine as Kind, PASSWORD, StoreServer};
use engine::{Data, Engine};
use redis::Value;
use std::collections::BTreeMap;

const RECORD: &str = include_str!("../../../src/partition/redis/scripts/record.lua");

/// Every script, with the values that its arguments are taken from.
fn scripts() -> Vec<(String, Vec<&'static [&'static str]>)> {
    const LOCK: &[&str] = &["", ":l:p:o1:", ":l:p:o2:", ":l:s:s1"];
    const TOKEN: &[&str] = &["1.a", "2.a", "2.b", "3.b", "4.a", "5.b", "6.c"];
    const WHO: &[&str] = &["a", "b", "c"];
    const SESSION: &[&str] = &["s1", "s2", "s3"];
    const OWNER: &[&str] = &["o1", "o2"];
    const NONE: &[&str] = &[""];
    const NOW: &[&str] = &["100", "200"];
    const FIELD: &[&str] = &["session", "conversation", "context"];
    const FROM: &[&str] = &["-", "[o1:", "(o1:"];
    const TO: &[&str] = &["+", "(o2:", "(o2;"];
    const LONG: &[&str] = &["1000000"];
    macro_rules! script {
        ($file:literal) => {
            include_str!(concat!("../../../src/partition/redis/scripts/", $file)).to_owned()
        };
    }
    let with = |text: String| format!("{RECORD}{text}");
    let process: &[&str] = &["a", "b"];
    let run: &[&str] = &["r1", "r2"];
    vec![
        (script!("acquire.lua"), vec![&LOCK[1..3], WHO, LONG, &["o1:", "o2:"], &["0", "1"], LONG]),
        (script!("acquire.lua"), vec![&LOCK[3..], WHO, LONG, NONE, &["0", "1"], LONG]),
        (script!("acquire.lua"), vec![&[":l:d:d1", ":l:d:d2"], WHO, LONG, NONE, &["0"], LONG]),
        (script!("renew.lua"), vec![&LOCK[1..], TOKEN, LONG]),
        (script!("release.lua"), vec![&LOCK[1..], TOKEN]),
        (with(script!("set.lua")), vec![LOCK, TOKEN, FIELD, SESSION, &["agent"], OWNER, NONE, NOW]),
        (
            with(script!("place.lua")),
            vec![LOCK, TOKEN, &["agent"], OWNER, NONE, NOW, &["pool"], &["0", "1", "2"], &["1", "2"], SESSION],
        ),
        (with(script!("remember.lua")), vec![LOCK, TOKEN, SESSION, OWNER, &["", "sealed"]]),
        (with(script!("forget_id.lua")), vec![LOCK, TOKEN, &["s", "c"], SESSION, NOW]),
        (with(script!("forget.lua")), vec![LOCK, TOKEN, OWNER, NONE]),
        (with(script!("save_chat.lua")), vec![LOCK, TOKEN, OWNER, &["l1", "l2"], &["x", "y"]]),
        (with(script!("forget_chat.lua")), vec![LOCK, TOKEN, OWNER, &["l1", "l2"]]),
        (
            with(script!("ask.lua")),
            vec![LOCK, TOKEN, &["o1:", "o2:"], &["", "1"], &["1", "2"], LONG, &["qa", "qb", "qc"], &["x", "y"]],
        ),
        (
            with(script!("claim_questions.lua")),
            vec![LOCK, TOKEN, &["o1:", "o2:"], WHO, &["qa", "qb", "qc"], &["qa", "qb"]],
        ),
        (
            with(script!("settle_questions.lua")),
            vec![LOCK, TOKEN, &["o1:", "o2:"], WHO, &["", "1"], &["qa", "qb", "qc"]],
        ),
        (script!("put_run.lua"), vec![process, run, &["d1", "d2"], NOW, &["facts"], &["", "f"]]),
        (script!("put_run.lua"), vec![process, run, &["d1", "d2"], NOW, &["agent"], &["g1", "g2"], &["owner"], OWNER]),
        (script!("note_run.lua"), vec![process, run, &["answered"], &["1"], NONE, NONE, LONG, &["1"]]),
        (
            script!("note_run.lua"),
            vec![process, run, &["ended"], &["1"], &["300", "400"], &["", "a1", "a2", "a3"], LONG, &["1", "2"]],
        ),
        (script!("forget_runs.lua"), vec![process, run]),
        (script!("runs.lua"), vec![]),
        (script!("list.lua"), vec![]),
        (script!("page.lua"), vec![FROM, TO, &["1", "2"]]),
        (script!("put_in_order.lua") + &script!("page.lua"), vec![FROM, TO, &["1", "2"]]),
        // As an earlier version of this program wrote it.
        ("return redis.call('ZADD', KEYS[1] .. ':ps', ARGV[1], ARGV[2])".to_owned(), vec![NOW, &["o1:", "o2:"]]),
    ]
}

/// Fields and members have no order.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(values) => {
            let mut values: Vec<_> = values.into_iter().map(sorted).collect();
            if values.len().is_multiple_of(2) && values.iter().all(|value| matches!(value, Value::BulkString(_))) {
                let mut pairs: Vec<_> = values.chunks(2).map(<[Value]>::to_vec).collect();
                pairs.sort_by_key(|pair| format!("{pair:?}"));
                values = pairs.concat();
            }
            Value::Array(values)
        }
        other => other,
    }
}

fn keys(connection: &mut redis::Connection) -> BTreeMap<String, Data> {
    let names: Vec<String> = redis::cmd("KEYS").arg("*").query(connection).unwrap();
    let data = |key: &String| {
        let kind: String = redis::cmd("TYPE").arg(key).query(connection).unwrap();
        match kind.as_str() {
            "string" => Data::Text(redis::cmd("GET").arg(key).query(connection).unwrap()),
            "hash" => Data::Hash(redis::cmd("HGETALL").arg(key).query(connection).unwrap()),
            "set" => Data::Set(redis::cmd("SMEMBERS").arg(key).query(connection).unwrap()),
            "zset" => {
                let members: Vec<(String, i64)> =
                    redis::cmd("ZRANGE").arg(key).arg(0).arg(-1).arg("WITHSCORES").query(connection).unwrap();
                Data::Sorted(members.into_iter().collect())
            }
            other => panic!("{key} is a {other}"),
        }
    };
    let mut data = data;
    names.iter().map(|key| (key.clone(), data(key))).collect()
}

#[test]
fn the_simulated_store_decides_as_a_real_one() {
    let Some(server) = StoreServer::start(Kind::Valkey, &[]) else { return };
    let url = format!("redis://:{PASSWORD}@{}", server.address());
    let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
    let (scripts, mut seed) = (scripts(), 0x9e37_79b9_7f4a_7c15_u64);
    let mut below = |bound: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from((seed >> 11) % u64::try_from(bound).unwrap()).unwrap()
    };
    let mut refused = 0;
    for round in 0..40 {
        redis::cmd("FLUSHALL").exec(&mut connection).unwrap();
        let mut simulated = Engine::new();
        for step in 0..60 {
            let (script, values) = &scripts[below(scripts.len())];
            let arguments: Vec<_> = values.iter().map(|values| values[below(values.len())]).collect();
            let real: Result<Value, _> =
                redis::cmd("EVAL").arg(script).arg(1).arg("b").arg(&arguments).query(&mut connection);
            let found = simulated.run(script, "b", &arguments);
            let shown = || format!("round {round}, step {step}: {arguments:?}\n{script}");
            match (real, found) {
                (Ok(real), Ok(found)) => assert_eq!(sorted(real), sorted(found), "{}", shown()),
                (Err(real), Err(found)) => {
                    refused += 1;
                    let code = found.split(' ').next().unwrap();
                    assert_eq!(real.code(), Some(code), "{real}: {}", shown());
                }
                (real, found) => panic!("{real:?} and {found:?}: {}", shown()),
            }
        }
        assert_eq!(keys(&mut connection), simulated.keys().all(), "round {round}");
    }
    assert!(refused > 50, "hardly anything was refused: {refused}");
}

/// The user in the store needs the commands that the page lists.
#[test]
fn the_page_lists_every_command_of_the_scripts() {
    let page = include_str!("../../../docs/scale.md");
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/partition/redis/scripts");
    let mut commands = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let called = text.split("redis.call('").skip(1).map(|rest| rest.split('\'').next().unwrap().to_lowercase());
        commands.extend(called);
    }
    assert!(commands.contains("scard"), "{commands:?}");
    for command in commands {
        assert!(page.contains(&format!("+{command} ")), "docs/scale.md does not list +{command}");
    }
}
