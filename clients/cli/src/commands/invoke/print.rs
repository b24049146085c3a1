//! How the answer of a run is printed, in every format of `-o`.

use super::Output;
use crate::exit;
use crate::failure::Failure;
use crate::line::call::{Connection, misunderstood};
use crate::show;
use crate::show::answer::{Ending, Printer};
use crate::show::aside::Aside;
use crate::show::debug;
use crate::show::raw::RawResponse;
use crate::terminal;
use cupola_protocol::Method;
use cupola_protocol::invoke::{Invoke, Question};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;

/// How an answer is printed.
pub(in super::super) struct How {
    pub(in super::super) output: Output,
    /// Say who answers: session and conversation.
    pub(in super::super) introduce: bool,
    /// Say nothing but the answer and errors.
    pub(in super::super) quiet: bool,
    /// What happens beside the answer that is shown, too.
    pub(in super::super) asides: Vec<Aside>,
    /// Somebody is asked here what the agent asks.
    pub(in super::super) asks: bool,
}

impl How {
    /// Prints that way for people.
    pub(super) fn printer(&self) -> Printer<impl Write + use<>, impl Write + use<>> {
        let mut printer = Printer::new(terminal::stdout(), terminal::stderr());
        (printer.introduce, printer.quiet, printer.asks) = (self.introduce, self.quiet, self.asks);
        printer.asides.clone_from(&self.asides);
        printer
    }
}

/// Prints the run that a connection's call follows, and gives its exit code, and what the agent asked.
pub(in super::super) fn print(connection: &mut Connection, how: &How) -> Result<(u8, Vec<Question>), Failure> {
    let code = match how.output {
        Output::Default => {
            return print_text(connection, how.printer());
        }
        Output::Json => print_json(connection, terminal::stdout_as_is()),
        Output::Jsonl => print_lines(connection, BufWriter::new(terminal::stdout_as_is())),
        Output::Raw => print_raw(connection, terminal::stdout()),
    };
    code.map(|code| (code, Vec::new()))
}

/// Exits once the service has accepted the request; the run continues. Prints the run's id, so that it can be found again.
pub(super) fn detach(connection: &mut Connection, output: Output) -> Result<u8, Failure> {
    let mut started = None;
    connection.receive_until(|event| {
        debug::show(event.value, terminal::stderr);
        let is_started =
            serde_json::from_str::<Started<'_>>(event.value.get()).is_ok_and(|event| event.kind == "started");
        if !is_started {
            return Ok(ControlFlow::Continue(()));
        }
        started = Some(event.value.to_owned());
        Ok(ControlFlow::Break(()))
    })?;
    let Some(started) = started else { return Err(Failure::daemon("the run ended before it started")) };
    let run: Started<'_> = serde_json::from_str(started.get()).map_err(|error| misunderstood(Invoke::NAME, &error))?;
    match output {
        Output::Json => show::print_json(&started)?,
        Output::Jsonl => show::print_json_line(&started)?,
        Output::Default | Output::Raw => show::print(&format!("{}\n", run.run_id))?,
    }
    Ok(exit::OK)
}

/// A `started` event, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Started<'line> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'line, str>,
    #[serde(borrow)]
    run_id: Cow<'line, str>,
}

pub(in super::super) fn print_text<Out: Write, Err: Write>(
    connection: &mut Connection,
    mut printer: Printer<Out, Err>,
) -> Result<(u8, Vec<Question>), Failure> {
    let received = connection.receive(|event| {
        debug::show(event.value, || &mut printer.err);
        printer.event(event.value, event.more)
    });
    let raw = received.inspect_err(|failure| printer.break_off(failure))?;
    let code = printer.end(&ending(&raw)?)?;
    Ok((code, printer.questions))
}

fn print_json(connection: &mut Connection, mut out: impl Write) -> Result<u8, Failure> {
    let raw = connection.receive(|event| {
        debug::show(event.value, terminal::stderr);
        Ok(())
    })?;
    let text = show::indented(&raw);
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::writing)?;
    Ok(ending(&raw)?.code())
}

fn print_lines(connection: &mut Connection, mut out: impl Write) -> Result<u8, Failure> {
    let raw = connection.receive(|event| {
        debug::show(event.value, terminal::stderr);
        writeln!(out, "{}", terminal::json(event.value.get())).map_err(Failure::writing)?;
        if event.more { Ok(()) } else { out.flush().map_err(Failure::writing) }
    })?;
    writeln!(out, "{}", terminal::json(raw.get())).and_then(|()| out.flush()).map_err(Failure::writing)?;
    Ok(ending(&raw)?.code())
}

fn print_raw(connection: &mut Connection, mut out: impl Write) -> Result<u8, Failure> {
    let mut response = RawResponse::default();
    let raw = connection.receive(|event| {
        debug::show(event.value, terminal::stderr);
        response.event(event.value, &mut out)?;
        if event.more { Ok(()) } else { out.flush().map_err(Failure::writing) }
    });
    if terminal::stdout_is_terminal() {
        response.end_line(&mut out)?;
    }
    out.flush().map_err(Failure::writing)?;
    let raw = raw?;
    let ending = ending(&raw)?;
    ending.explain(&mut terminal::stderr());
    Ok(ending.code())
}

pub(super) fn ending(raw: &RawValue) -> Result<Ending<'_>, Failure> {
    serde_json::from_str(raw.get()).map_err(|error| misunderstood(Invoke::NAME, &error))
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::call::encode;
    use crate::line::stream::Stream;
    use cupola_protocol::invoke::InvokeParams;
    use cupola_protocol::isolation::Isolation;
    use cupola_protocol::target::Target;
    use std::io::{BufRead, BufReader};
    use std::thread;

    const SCRIPT: &str = concat!(
        r#"{"method":"$/progress","params":{"token":1,"value":{"runId":"r","number":1,"type":"started","isolationModel":"keys"}}}"#,
        "\n",
        r#"{"method":"$/progress","params":{"token":1,"value":{"runId":"r","number":2,"type":"textDelta","delta":"hel"}}}"#,
        "\n",
        r#"{"method":"$/progress","params":{"token":1,"value":{"runId":"r","number":3,"type":"textDelta","delta":"lo"}}}"#,
        "\n",
        r#"{"id":1,"result":{"runId":"r","status":"completed","text":"hello","isolationModel":"keys","durationMs":5}}"#,
        "\n",
    );

    /// A daemon that reads one line and says `script`.
    fn daemon(script: &'static str) -> Connection {
        let (client, peer) = Stream::pair().unwrap();
        thread::spawn(move || {
            let mut line = String::new();
            BufReader::new(&peer).read_line(&mut line).unwrap();
            (&peer).write_all(script.as_bytes()).unwrap();
        });
        let mut connection = Connection::new(client);
        let target = Target::Emulator { agent: "notes".parse().unwrap(), version: None, url: None };
        let params = InvokeParams::new(target, Isolation::default(), "hi");
        connection.send(&encode::<Invoke>(params).unwrap()).unwrap();
        connection
    }

    #[test]
    fn jsonl_is_every_event_and_then_the_result() {
        let mut out = Vec::new();
        assert_eq!(print_lines(&mut daemon(SCRIPT), &mut out).unwrap(), exit::OK);
        let lines: Vec<serde_json::Value> =
            String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let kinds: Vec<_> = lines.iter().map(|line| line["type"].as_str().unwrap_or("result")).collect();
        assert_eq!(kinds, ["started", "textDelta", "textDelta", "result"]);
        assert_eq!(lines[3]["text"], "hello");
    }

    #[test]
    fn json_is_the_result_indented() {
        let mut out = Vec::new();
        assert_eq!(print_json(&mut daemon(SCRIPT), &mut out).unwrap(), exit::OK);
        assert!(String::from_utf8(out).unwrap().starts_with("{\n  \"runId\": \"r\",\n  \"status\": \"completed\""));
    }

    #[test]
    fn a_daemon_lost_in_mid_answer_leaves_what_came_and_fails() {
        let script = SCRIPT.rsplit_once("{\"id\"").unwrap().0;
        let mut out = Vec::new();
        let printer = Printer::new(&mut out, Vec::new());
        let failure = print_text(&mut daemon(script), printer).unwrap_err();
        assert_eq!(failure.of_sent_turn().exit_code(), exit::MAY_HAVE_RUN);
        assert_eq!(out, b"hello\n");
    }
}
