//! Every hint is followed: each test here provokes a refusal, takes up its hint and does what the hint says, which must work.
//! `cargo xtask lint` holds the calls of [`advice`] against the hints in the sources, so no hint is left out.
//!
//! - [`commands`]: the command line's own refusals; [`daemon`]: a daemon that cannot be reached; [`line`]: a connection's refusals
//! - [`http`]: HTTP on the socket; [`bounds`]: a bound connection; [`calls`]: parameters; [`files`]: transfers and pieces
//! - [`service`]: what the service refuses; [`forbidden`]: what it forbids; [`redeployed`]: an agent that changes; [`project`]: which agent is meant; [`credential`]: tokens, certificates, configuration
//! - [`state`]: the state file, and `doctor`; [`shared_store`]: a store that several daemons share; [`pool`]: sessions that users share
//! - [`telemetry`]: traces and metrics

mod bounds;
mod calls;
mod commands;
mod credential;
mod daemon;
mod files;
mod forbidden;
mod http;
mod line;
mod pool;
mod project;
mod redeployed;
mod service;
mod shared_store;
mod state;
mod telemetry;

use crate::support::http::Answer;
use crate::support::{Home, finish};
use serde_json::Value;
use std::process::{Command, Output, Stdio};

/// A hint, named by a part that no other hint has.
#[must_use = "a hint is given by a refusal"]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Advice(&'static str);

/// A hint that was given and is to be followed.
#[must_use = "a hint is followed"]
#[derive(Debug)]
pub(crate) struct Given {
    part: &'static str,
    /// Did anything that it advises work?
    is_followed: bool,
}

/// Takes a hint up.
pub(crate) const fn advice(part: &'static str) -> Advice {
    Advice(part)
}

impl Advice {
    /// It was refused, with this hint.
    #[track_caller]
    pub(crate) fn given_by(self, refused: &impl Outcome) -> Given {
        let hint = refused.hint().unwrap_or_default();
        assert!(hint.contains(self.0), "{:?} is not the hint {hint:?} of {}", self.0, refused.shown());
        Given { part: self.0, is_followed: false }
    }
}

impl Given {
    /// One thing that the hint advises works. There may be others.
    #[track_caller]
    pub(crate) fn works(mut self, outcome: &impl Outcome) -> Self {
        assert!(outcome.hint().is_none(), "{:?} does not help: {}", self.part, outcome.shown());
        self.is_followed = true;
        self
    }

    /// The same for an outcome that is not an answer.
    #[track_caller]
    pub(crate) fn helps(mut self, it_does: bool) -> Self {
        assert!(it_does, "{:?} does not help", self.part);
        self.is_followed = true;
        self
    }

    /// All of it was followed.
    #[track_caller]
    pub(crate) fn done(self) {
        assert!(self.is_followed, "{:?} was not followed", self.part);
    }
}

/// How a command or a call went.
pub(crate) trait Outcome {
    /// `None`: it went well. What failed has a hint, which may be empty.
    fn hint(&self) -> Option<String>;
    fn shown(&self) -> String;
}

/// Of a command: what it says after `hint:`, on each line.
impl Outcome for Output {
    fn hint(&self) -> Option<String> {
        let said = String::from_utf8_lossy(&self.stderr);
        let json = said.lines().find_map(|line| serde_json::from_str::<Value>(line).ok());
        if let Some(hint) = json.as_ref().and_then(Outcome::hint) {
            return Some(hint);
        }
        let lines = said.lines().filter_map(|line| line.strip_prefix("hint: "));
        (!self.status.success()).then(|| lines.collect::<Vec<_>>().join("\n"))
    }

    fn shown(&self) -> String {
        format!("{self:?}")
    }
}

/// Of a JSON-RPC response.
impl Outcome for Value {
    fn hint(&self) -> Option<String> {
        let error = self.get("error").or_else(|| self["result"].get("failure"))?;
        let data = error.get("data").unwrap_or(error);
        Some(data["hint"].as_str().unwrap_or_default().to_owned())
    }

    fn shown(&self) -> String {
        self.to_string()
    }
}

/// Of an HTTP answer.
impl Outcome for Answer {
    fn hint(&self) -> Option<String> {
        match serde_json::from_str::<Value>(&self.body) {
            Ok(body) => body.hint(),
            Err(_) => (self.status >= 300).then(|| self.body.clone()),
        }
    }

    fn shown(&self) -> String {
        format!("{self:?}")
    }
}

/// One check of `cupola doctor -o json`, where it is not `ok`.
pub(crate) struct Check(Value);

impl Check {
    pub(crate) fn of(output: &Output, name: &str) -> Self {
        let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        Self(found["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap().clone())
    }
}

impl Check {
    /// The last check of this name, of several.
    pub(crate) fn last_of(output: &Output, name: &str) -> Self {
        let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        Self(found["checks"].as_array().unwrap().iter().rfind(|check| check["name"] == name).unwrap().clone())
    }
}

impl Outcome for Check {
    fn hint(&self) -> Option<String> {
        (self.0["status"] != "ok").then(|| self.0["hint"].as_str().unwrap_or_default().to_owned())
    }

    fn shown(&self) -> String {
        self.0.to_string()
    }
}

/// Words of a command line; `~` is a blank inside a word.
fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(|word| word.replace('~', " ")).collect()
}

/// A command in a home, in its directory, with no input.
fn command(home: &Home, line: &str) -> Command {
    let words = words(line);
    let mut command = home.command(&words.iter().map(String::as_str).collect::<Vec<_>>());
    command.current_dir(home.path("")).stderr(Stdio::piped());
    command
}

fn run(home: &Home, line: &str) -> Output {
    finish(command(home, line))
}

/// The daemon ends with its test.
struct Stopped(Home);

impl Stopped {
    fn new() -> Self {
        Self(Home::new())
    }
}

impl std::ops::Deref for Stopped {
    type Target = Home;

    fn deref(&self) -> &Home {
        &self.0
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = command(&self.0, "stop --force").output();
    }
}
