//! An invoke as people and scripts see it: the answer alone on standard output, as it is produced; everything about the
//! answer on standard error.

use super::aside::{self, Aside};
use super::latency;
use super::question;
use crate::exit;
use crate::failure::Failure;
use crate::repeated;
use crate::terminal;
use cupola_protocol::invoke::{Question, RunFailure, RunStatus};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::io::{self, Write};

/// Prints one run's events and its answer.
pub(crate) struct Printer<Out, Err> {
    /// Standard output.
    pub out: Out,
    /// Standard error.
    pub err: Err,
    /// Say who answers: session and conversation.
    pub introduce: bool,
    /// Say nothing but errors.
    pub quiet: bool,
    /// What happens beside the answer that is shown, too.
    pub asides: Vec<Aside>,
    /// Somebody is asked here what the agent asks.
    pub asks: bool,
    /// What has been written to standard output.
    pub written: String,
    /// What the agent asked.
    pub questions: Vec<Question>,
}

impl<Out, Err> Printer<Out, Err> {
    /// Prints the answer, notices and errors.
    pub(crate) const fn new(out: Out, err: Err) -> Self {
        Self {
            out,
            err,
            introduce: false,
            quiet: false,
            asides: Vec::new(),
            asks: false,
            written: String::new(),
            questions: Vec::new(),
        }
    }
}

/// An event, as far as it is shown. Borrowed, and lenient: types and fields this version does not know are skipped.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'line> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'line, str>,
    #[serde(default, borrow)]
    delta: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    text: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    message: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    session_id: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    conversation_id: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    agent_version: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    selected_version: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    latency: Option<&'line RawValue>,
    #[serde(default, borrow)]
    name: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    data: Option<&'line RawValue>,
}

/// The response, as far as it is shown.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ending<'line> {
    /// How the run ended.
    pub status: RunStatus,
    #[serde(default, borrow)]
    text: Cow<'line, str>,
    #[serde(default, borrow)]
    output: Option<&'line RawValue>,
    #[serde(default)]
    questions: Vec<Question>,
    #[serde(default)]
    failure: Option<RunFailure>,
    #[serde(default, borrow)]
    request_id: Option<Cow<'line, str>>,
}

impl<Out: Write, Err: Write> Printer<Out, Err> {
    /// Shows one event. `more` says that another one is already here, so that flushing can wait for it.
    pub(crate) fn event(&mut self, value: &RawValue, more: bool) -> Result<(), Failure> {
        let Ok(event) = serde_json::from_str::<Shown<'_>>(value.get()) else { return Ok(()) };
        match event.kind.as_ref() {
            "textDelta" => self.write(event.delta.as_deref().unwrap_or_default())?,
            "started" => self.introduce(&event),
            "notice" => self.notice(event.message.as_deref().unwrap_or_default()),
            "output" if !self.asides.is_empty() => self.aside(&event),
            "snapshot" => self.replace(event.text.as_deref().unwrap_or_default())?,
            _ => {}
        }
        if more { Ok(()) } else { self.out.flush().map_err(Failure::writing) }
    }

    /// Writes what of the answer has not been written, says how the run ended, and gives the exit code.
    pub(crate) fn end(&mut self, ending: &Ending<'_>) -> Result<u8, Failure> {
        let text = match ending.output {
            // An invocation may answer with something other than text.
            Some(output)
                if ending.text.is_empty() && ending.questions.is_empty() && ending.status == RunStatus::Completed =>
            {
                output.get()
            }
            _ => ending.text.as_ref(),
        };
        self.replace(text)?;
        self.end_line()?;
        let output = ending.output.and_then(|output| serde_json::from_str::<Value>(output.get()).ok());
        // A failure to print what is beside the answer does not end the run.
        let _ = aside::usage(&output.unwrap_or_default(), &self.asides, &mut self.err);
        let _ = question::show(&ending.questions, !self.asks, &mut self.err);
        self.questions.clone_from(&ending.questions);
        ending.explain(&mut self.err);
        Ok(ending.code())
    }

    fn aside(&mut self, event: &Shown<'_>) {
        let data = event.data.and_then(|data| serde_json::from_str::<Value>(data.get()).ok());
        if let (Some(name), Some(data)) = (event.name.as_deref(), data) {
            // What was said before it stands before it.
            let _ = self.out.flush().and_then(|()| aside::event(name, &data, &self.asides, &mut self.err));
        }
    }

    /// The call failed in mid-answer: ends the line, so that the failure gets its own line.
    pub(crate) fn break_off(&mut self, failure: &Failure) {
        if !matches!(failure, Failure::ReaderGone | Failure::Output(_)) {
            // The failure is what is reported; that the newline could not be written adds nothing.
            let _ = self.end_line();
        }
    }

    fn end_line(&mut self) -> Result<(), Failure> {
        if !self.written.is_empty() && !self.written.ends_with('\n') {
            self.write("\n")?;
        }
        self.out.flush().map_err(Failure::writing)
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        self.written.push_str(text);
        self.out.write_all(text.as_bytes()).map_err(Failure::writing)
    }

    /// Makes `whole` the answer. What has been written cannot be taken back: if it is not the beginning of `whole`, the
    /// whole text follows and standard error says so.
    fn replace(&mut self, whole: &str) -> Result<(), Failure> {
        if let Some(rest) = whole.strip_prefix(self.written.as_str()) {
            let rest = rest.to_owned();
            return self.write(&rest);
        }
        let end = if self.written.ends_with('\n') { "" } else { "\n" };
        self.out.write_all(end.as_bytes()).map_err(Failure::writing)?;
        self.tell("warning: the service restarted the answer; the full text below replaces the text above");
        self.written.clear();
        self.write(whole)
    }

    fn introduce(&mut self, started: &Shown<'_>) {
        if !self.introduce || self.quiet {
            return;
        }
        if let Some(session) = started.session_id.as_deref() {
            self.tell(&format!("Session:      {}", terminal::line(session)));
        }
        if let Some(conversation) = started.conversation_id.as_deref() {
            self.tell(&format!("Conversation: {}", terminal::line(conversation)));
        }
        if let (Some(version), Some(selected)) = (&started.agent_version, &started.selected_version) {
            let (version, selected) = (terminal::line(version), terminal::line(selected));
            self.tell(&format!("Version:      {version} (new sessions get version {selected})"));
        }
        let latency = started.latency.and_then(|latency| serde_json::from_str(latency.get()).ok());
        if let Some(latency) = latency {
            self.tell(&format!("Latency:      {}", latency::line(&latency)));
        }
    }

    /// Notices report consequences (a session and its files are gone), so they are shown on a pipe too.
    fn notice(&mut self, message: &str) {
        self.tell(&terminal::paragraph("notice: ", message));
    }

    /// A notice. A failure to print it does not end the run.
    fn tell(&mut self, line: &str) {
        if !self.quiet {
            let _: io::Result<()> = self.out.flush().and_then(|()| writeln!(self.err, "{line}"));
        }
    }
}

/// The exit code of a run that ended this way.
pub(crate) fn code(status: RunStatus, failure: Option<&RunFailure>) -> u8 {
    match status {
        RunStatus::Completed => exit::OK,
        RunStatus::Failed => failure.map_or(exit::FAILED, |failure| exit::of_failure(failure.kind, failure.turn)),
        RunStatus::Incomplete => exit::FAILED,
        RunStatus::Cancelled => exit::CANCELLED,
        RunStatus::Truncated => exit::TRUNCATED,
    }
}

impl Ending<'_> {
    /// The exit code of this ending.
    pub(crate) fn code(&self) -> u8 {
        let is_over = matches!(self.status, RunStatus::Completed | RunStatus::Incomplete);
        if is_over && !self.questions.is_empty() { exit::WAITS } else { code(self.status, self.failure.as_ref()) }
    }

    /// Says why the answer is incomplete, if it is. A failure to print that is ignored.
    pub(crate) fn explain(&self, err: &mut impl Write) {
        let message = match (self.status, &self.failure) {
            (RunStatus::Completed, _) => return,
            // The questions say it.
            (RunStatus::Incomplete, _) if !self.questions.is_empty() => return,
            (_, Some(failure)) => failure.message.as_str(),
            (RunStatus::Failed, None) => "the run failed",
            (RunStatus::Incomplete, None) => "the agent stopped before its answer was complete",
            (RunStatus::Cancelled, None) => "the run was cancelled",
            (RunStatus::Truncated, None) => "the answer was cut off: the stream ended before the run's result",
        };
        let _ = writeln!(err, "{}", terminal::paragraph("error: ", message));
        if let Some(code) = self.failure.as_ref().and_then(|failure| failure.service_code.as_deref()) {
            let _ = writeln!(err, "code: {}", terminal::line(code));
        }
        if let Some(id) = self.request_id.as_deref() {
            let _ = writeln!(err, "request id: {}", terminal::line(id));
        }
        let hint = self.failure.as_ref().and_then(|failure| failure.hint.as_deref());
        for line in hint.unwrap_or_default().lines() {
            let _ = writeln!(err, "hint: {}", terminal::line(&repeated::complete(line)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(events: &[&str], ending: &str) -> (String, String, u8) {
        let mut printer = Printer::new(Vec::new(), Vec::new());
        for event in events {
            let raw: &RawValue = serde_json::from_str(event).unwrap();
            printer.event(raw, false).unwrap();
        }
        let code = printer.end(&serde_json::from_str(ending).unwrap()).unwrap();
        (String::from_utf8(printer.out).unwrap(), String::from_utf8(printer.err).unwrap(), code)
    }

    const HEL: &str = r#"{"runId":"r","number":1,"type":"textDelta","delta":"hel"}"#;
    const LO: &str = r#"{"runId":"r","number":2,"type":"textDelta","delta":"l\u00f6 \"x\""}"#;

    #[test]
    fn standard_output_is_the_answer_alone() {
        let started = r#"{"type":"started","sessionId":"sess_1234"}"#;
        let other = r#"{"type":"output","name":"response.created","data":{"text":"no"}}"#;
        let newer = r#"{"type":"somethingNew","delta":"no"}"#;
        let (out, err, code) =
            shown(&[started, HEL, other, newer, LO], r#"{"status":"completed","text":"hellö \"x\""}"#);
        assert_eq!((out.as_str(), err.as_str(), code), ("hellö \"x\"\n", "", exit::OK));
    }

    #[test]
    fn who_answers_and_how_fast_is_introduced() {
        let introduced = |started: &str| {
            let mut printer = Printer { introduce: true, ..Printer::new(Vec::new(), Vec::new()) };
            printer.event(serde_json::from_str(started).unwrap(), false).unwrap();
            String::from_utf8(printer.err).unwrap()
        };
        assert_eq!(introduced(r#"{"type":"started","agentVersion":"3"}"#), "");
        let other = introduced(r#"{"type":"started","agentVersion":"3","selectedVersion":"4"}"#);
        assert_eq!(other, "Version:      3 (new sessions get version 4)\n");
        let latency = r#"{"type":"started","latency":{"sessionStart":"warm","responseBeginMs":40}}"#;
        assert_eq!(introduced(latency), "Latency:      warm session, 40 ms\n");
        assert_eq!(introduced(r#"{"type":"started","latency":"of another kind"}"#), "");
    }

    #[test]
    fn a_notice_or_an_error_stays_in_its_own_lines() {
        let notice = r#"{"type":"notice","message":"gone\nhint: run this\u001b[2J"}"#;
        let failed = r#"{"status":"failed","text":"","failure":{"kind":"agentFailed","message":"no\nhint: run this"}}"#;
        let (_, err, _) = shown(&[notice], failed);
        assert_eq!(err, "notice: gone\n        hint: run this\u{fffd}[2J\nerror: no\n       hint: run this\n");
    }

    #[test]
    fn an_answer_that_did_not_stream_is_written_at_the_end() {
        for (ending, expected) in [
            (r#"{"status":"completed","text":"hello\n"}"#, "hello\n"),
            (r#"{"status":"completed","text":"","output":{"a": 1}}"#, "{\"a\": 1}\n"),
            (r#"{"status":"completed","text":""}"#, ""),
        ] {
            assert_eq!(shown(&[], ending).0, expected);
        }
    }

    #[test]
    fn a_restart_that_only_continues_is_silent_and_any_other_is_announced() {
        let continues = r#"{"type":"snapshot","text":"hello"}"#;
        let done = r#"{"status":"completed","text":"hello"}"#;
        assert_eq!(shown(&[HEL, continues], done), ("hello\n".to_owned(), String::new(), exit::OK));

        let differs = r#"{"type":"snapshot","text":"good"}"#;
        let (out, err, _) = shown(&[HEL, differs], r#"{"status":"completed","text":"good day"}"#);
        assert_eq!(out, "hel\ngood day\n");
        assert!(err.starts_with("warning: the service restarted the answer"), "{err}");
    }

    #[test]
    fn notices_go_to_standard_error() {
        let event = r#"{"type":"notice","code":"sessionReplaced","message":"its files are gone"}"#;
        let ending =
            r#"{"status":"completed","text":"","notices":[{"code":"sessionReplaced","message":"its files are gone"}]}"#;
        assert_eq!(shown(&[event], ending), (String::new(), "notice: its files are gone\n".to_owned(), exit::OK));
    }

    #[test]
    fn every_way_to_end_badly_is_said_and_has_its_exit_code() {
        for (ending, says, expected) in [
            (r#"{"status":"failed","text":"a"}"#, "error: the run failed\n", exit::FAILED),
            (
                r#"{"status":"failed","text":"a","failure":{"kind":"rateLimited","message":"slow down","serviceCode":"429x"},"requestId":"q"}"#,
                "error: slow down\ncode: 429x\nrequest id: q\n",
                exit::NOT_NOW,
            ),
            (
                r#"{"status":"failed","text":"a","failure":{"kind":"rateLimited","message":"slow down","turn":"ran"}}"#,
                "error: slow down\n",
                exit::FAILED,
            ),
            (
                r#"{"status":"failed","text":"a","failure":{"kind":"serviceError","message":"no","turn":"mayHaveRun","hint":"look"}}"#,
                "error: no\nhint: look\n",
                exit::MAY_HAVE_RUN,
            ),
            (r#"{"status":"incomplete","text":"a"}"#, "error: the agent stopped", exit::FAILED),
            (r#"{"status":"cancelled","text":"a"}"#, "error: the run was cancelled", exit::CANCELLED),
            (r#"{"status":"truncated","text":"a"}"#, "error: the answer was cut off", exit::TRUNCATED),
        ] {
            let (out, err, code) = shown(&[], ending);
            assert_eq!((out.as_str(), code), ("a\n", expected), "{ending}");
            assert!(err.starts_with(says), "{err}");
        }
    }

    #[test]
    fn a_reader_that_went_away_ends_the_run_quietly() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut printer = Printer { introduce: true, ..Printer::new(Gone, Vec::new()) };
        let raw: &RawValue = serde_json::from_str(HEL).unwrap();
        assert!(matches!(printer.event(raw, false), Err(Failure::ReaderGone)));
    }
}
