//! `cupola sessions prune`: deletes the sessions that were not used for some time. A project has room for 15 to 50 sessions, and each
//! that a script leaves behind takes a place for 30 days.

use super::Common;
use crate::commands::short_id;
use crate::exit;
use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::line::call::typed;
use crate::line::interrupt;
use crate::scope::approval;
use crate::scope::target::parse;
use crate::show;
use crate::show::table::{self, Output};
use crate::terminal;
use clap::Args;
use cupola_protocol::count::counted;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::isolation::Isolation;
use cupola_protocol::sessions::{Delete, Session, SessionParams, Show};
use cupola_protocol::target::Target;
use serde_json::json;
use std::io::Write;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct PruneFlags {
    /// Delete sessions that were not used for at least this long: a number with s, m, h, d or w, such as 12h or 7d
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Duration,
    /// Show what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation, for scripts
    #[arg(long, short)]
    yes: bool,
    /// The key the sessions were created with; saved if Cupola created them
    #[arg(long, value_name = "KEY", allow_hyphen_values = true, help_heading = "Isolation")]
    isolation_key: Option<String>,
}

impl PruneFlags {
    /// The key that deletes them.
    pub(super) fn isolation_key(&self) -> Option<&String> {
        self.isolation_key.as_ref()
    }
}

/// A session that could not be deleted.
struct Kept {
    id: String,
    why: Failure,
}

/// Deletes what is old enough, of what this agent and isolation can see, and says what became of it.
pub(super) fn run(
    flags: &PruneFlags,
    common: &Common,
    hooks: Hooks,
    target: &Target,
    isolation: &Isolation,
) -> Result<u8, Failure> {
    let listed = short_id::sessions(&common.scope, hooks, target, isolation)?;
    let (mut old, mut foreign) = (Vec::new(), Vec::new());
    for session in listed.into_iter().filter(|session| is_older(session, flags.older_than, table::now())) {
        match of_others(common, hooks, target, isolation, &session.agent_session_id)? {
            None => old.push(session),
            Some(kept) => foreign.push(kept),
        }
    }
    let is_json = common.output == Some(Output::Json);
    if !is_json && !old.is_empty() && (flags.dry_run || !flags.yes) {
        show::print(&table::sessions(&old))?;
    }
    let why_not = if old.is_empty() {
        Some("No session is that old.\n".to_owned())
    } else if flags.dry_run {
        Some(format!("Nothing was deleted: --dry-run. Without it, {} would be.\n", counted(old.len(), "session")))
    } else if !flags.yes && !confirmed(common, old.len())? {
        Some("Nothing was deleted.\n".to_owned())
    } else {
        None
    };
    if let Some(why_not) = why_not {
        if is_json {
            let kept = listed_kept(&foreign);
            show::print_json(&raw(&json!({ "wouldDelete": ids(&old), "deleted": [], "kept": kept }))?)?;
        } else {
            show::print(&why_not)?;
        }
        remark(is_json, foreign.len());
        return Ok(exit::OK);
    }
    let (mut deleted, mut kept) = (Vec::new(), Vec::new());
    for session in old {
        let id = session.agent_session_id;
        match delete(common, hooks, target, isolation, &id) {
            Ok(()) => {
                // At once: Ctrl-C ends the command here, and the person must know what is gone.
                if !is_json {
                    show::print(&format!("Deleted session {id}.\n"))?;
                }
                deleted.push(id);
            }
            Err(why) => kept.push(Kept { id, why }),
        }
    }
    report(is_json, &deleted, &kept, &foreign)?;
    Ok(kept.first().map_or(exit::OK, |kept| kept.why.exit_code()))
}

/// The session, if Cupola knows that another isolation or chat made it. It takes `cupola sessions delete --allow-shared-session`.
fn of_others(
    common: &Common,
    hooks: Hooks,
    target: &Target,
    isolation: &Isolation,
    id: &str,
) -> Result<Option<Kept>, Failure> {
    match common.scope.call::<Show>(hooks, named(common, target, isolation, id)?) {
        Err(why) if why.is(ErrorKind::ForeignSession) => Ok(Some(Kept { id: id.to_owned(), why })),
        Err(why @ (Failure::Usage { .. } | Failure::Daemon { .. })) => Err(why),
        // What else is wrong with it, its deletion says.
        Ok(_) | Err(_) => Ok(None),
    }
}

fn named(common: &Common, target: &Target, isolation: &Isolation, id: &str) -> Result<SessionParams, Failure> {
    let (target, isolation, session_id) = (target.clone(), isolation.clone(), Some(parse("SESSION_ID", id)?));
    let (allow_shared_session, progress) = (false, common.scope.progress());
    Ok(SessionParams { target, isolation, session_id, allow_shared_session, progress })
}

fn delete(common: &Common, hooks: Hooks, target: &Target, isolation: &Isolation, id: &str) -> Result<(), Failure> {
    typed::<Delete>(&common.scope.call::<Delete>(hooks, named(common, target, isolation, id)?)?)?;
    Ok(())
}

fn listed_kept<'a>(kept: impl IntoIterator<Item = &'a Kept>) -> Vec<serde_json::Value> {
    kept.into_iter().map(|Kept { id, why }| json!({ "sessionId": id, "error": why.to_string() })).collect()
}

/// Says that sessions of others are left alone.
fn remark(is_json: bool, foreign: usize) {
    if !is_json && foreign > 0 {
        let they = if foreign == 1 { "belongs" } else { "belong" };
        let _ = writeln!(
            terminal::stderr(),
            "{} {they} to other isolations or chats and were kept.",
            counted(foreign, "session")
        );
    }
}

fn report(is_json: bool, deleted: &[String], kept: &[Kept], foreign: &[Kept]) -> Result<(), Failure> {
    if is_json {
        let kept = listed_kept(kept.iter().chain(foreign));
        return show::print_json(&raw(&json!({ "wouldDelete": [], "deleted": deleted, "kept": kept }))?);
    }
    show::print(&format!("Deleted {}.\n", counted(deleted.len(), "session")))?;
    for Kept { id, why } in kept {
        let _ = writeln!(terminal::stderr(), "error: session {} was not deleted:", terminal::line(id));
        let _ = why.print(&mut terminal::stderr());
    }
    remark(is_json, foreign.len());
    Ok(())
}

/// Does the person at the terminal agree? Without a terminal, `--yes` is needed.
fn confirmed(common: &Common, count: usize) -> Result<bool, Failure> {
    if !common.scope.may_ask() {
        return Err(Failure::usage_hint(
            format!("{} would be deleted, and this cannot be confirmed without a terminal", counted(count, "session")),
            "add --yes to delete them, or --dry-run to see which they are",
        ));
    }
    // The list is complete, so Ctrl-C leaves the question.
    interrupt::settle();
    let answer = approval::line(&format!("Delete {} and all their files? [y/N] ", counted(count, "session")))
        .unwrap_or_default();
    Ok(answer.is_some_and(|answer| matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")))
}

fn ids(sessions: &[Session]) -> Vec<&str> {
    sessions.iter().map(|session| session.agent_session_id.as_str()).collect()
}

fn raw(value: &serde_json::Value) -> Result<Box<serde_json::value::RawValue>, Failure> {
    serde_json::value::to_raw_value(value).map_err(|error| Failure::Output(error.into()))
}

/// Was it last used so long ago? The service does not always say when it was; then its creation counts. One without any time is
/// kept, and so is one that is going already.
fn is_older(session: &Session, age: Duration, now: i64) -> bool {
    let is_going = matches!(session.status.as_deref(), Some("deleting" | "deleted" | "expired"));
    let said = |time: Option<i64>| time.filter(|time| *time > 0);
    let used = said(session.last_accessed_at).max(said(session.created_at));
    let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
    !is_going && used.is_some_and(|used| now.saturating_sub(used) >= age)
}

/// `7d`, `12h`: one number and one unit.
fn age(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds: u64 = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err("write a number and a unit: s, m, h, d or w, such as 12h or 7d".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "it needs a whole number, such as 7 in 7d".to_owned())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| "it is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(status: &str, created: i64, used: i64) -> Session {
        let value =
            json!({"agent_session_id": "s_0000001", "status": status, "created_at": created, "last_accessed_at": used});
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn ages_are_a_number_and_a_unit() {
        for (text, seconds) in [("0s", 0), ("90m", 5400), ("12h", 43_200), ("7d", 604_800), ("2w", 1_209_600)] {
            assert_eq!(age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "7", "d", "-1d", "7 d", "7x", "1.5h", "99999999999999999999d", "18446744073709551615w"] {
            assert!(age(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_last_use_counts_and_what_has_no_time_is_kept() {
        let (week, now) = (Duration::from_hours(168), 2_000_000);
        assert!(is_older(&session("idle", 1, 1_395_200), week, now));
        assert!(!is_older(&session("idle", 1, 1_395_201), week, now), "used a second later");
        assert!(is_older(&session("idle", 1, 0), week, now), "never used, so its creation counts");
        assert!(!is_older(&session("idle", 0, 0), week, now));
        assert!(!is_older(&session("deleting", 1, 1), week, now));
    }
}
