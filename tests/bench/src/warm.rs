//! The first answer of a session: cold, kept ready (`keep_warm`) and made ahead (`pre_create`), at an agent that takes a second to start.
//!
//! It needs `python3` for the agent (`slow_agent.py`).

use crate::Setting;
use crate::bed;
use crate::line::Line;
use crate::measure::Times;
use crate::report::{Report, Target, duration};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

/// The agent, which starts slowly.
const AGENT: &str = include_str!("slow_agent.py");
/// Sessions of each kind.
const SESSIONS: usize = 5;
/// The emulator stops a session that has been idle for this many seconds. Longer than the shortest `everyMs`, 10 s.
const IDLE_SECONDS: u64 = 14;
/// How long the sessions are left alone: those that nobody keeps ready are stopped meanwhile.
const PAUSE: Duration = Duration::from_secs(18);
/// How long the daemon has to make the sessions ahead.
const MADE_AHEAD: Duration = Duration::from_secs(4);

/// Row 14.
pub(crate) fn measure(setting: &Setting, report: &mut Report) -> Result<(), String> {
    let directory = bed::directory()?;
    let path = directory.path();
    fs::write(path.join("config.toml"), "").map_err(|error| error.to_string())?;
    let script = path.join("slow_agent.py");
    fs::write(&script, AGENT).map_err(|error| error.to_string())?;
    let agent = format!("slow=exec:python3 {},idle={IDLE_SECONDS}", script.display());
    let (_emulator, endpoint) = bed::emulator(&setting.binary, path, "slow", &["--agent", &agent])?;
    let _daemon = bed::serve(&setting.binary, path)?;
    let mut line = Line::connect(&bed::socket_in(path))?;
    let invoke = |user: String, warm: Value| {
        let target = json!({"kind": "emulator", "url": endpoint.url, "agent": "slow"});
        let mut params = json!({"target": target, "isolation": {"userKey": user}, "input": "hello"});
        if !warm.is_null() {
            params["warm"] = warm;
        }
        params
    };
    let mut ask = |params: &Value| -> Result<Duration, String> {
        let begin = Instant::now();
        let answer = line.call("invoke", params)?;
        if answer["status"] == "completed" { Ok(begin.elapsed()) } else { Err(answer.to_string()) }
    };
    let keep = json!({"keep": {"request": "files", "everyMs": 10_000, "forMs": 3_600_000}});
    let ahead = json!({"preCreate": true});
    let users = |kind: &str| (0..SESSIONS).map(move |number| format!("{kind}-user-{number}")).collect::<Vec<_>>();
    for (kind, warm) in [("cold", Value::Null), ("kept", keep), ("ahead", ahead)] {
        users(kind).into_iter().try_for_each(|user| ask(&invoke(user, warm.clone())).map(drop))?;
    }
    std::thread::sleep(MADE_AHEAD);
    let mut first = |kind: &str, is_new: bool| -> Result<Duration, String> {
        let mut times = Vec::new();
        for user in users(kind) {
            let mut params = invoke(user, Value::Null);
            params["newSession"] = json!(is_new);
            times.push(ask(&params)?);
        }
        Ok(Times::of(times).median())
    };
    let ahead = (first("ahead", true)?, first("cold", true)?);
    std::thread::sleep(PAUSE);
    let kept = (first("kept", false)?, first("cold", false)?);
    let rows = [("in a new session, made ahead (pre_create)", ahead), ("after a pause, kept ready (keep_warm)", kept)];
    for (name, (warm, cold)) in rows {
        let of = format!("cold: {}", duration(cold));
        report.add(14, format!("first answer {name}"), (warm.as_secs_f64() * 1e3, "ms"), Target::None, of);
    }
    Ok(())
}
