//! Scripted streams under paused time.

use super::*;
use crate::foundry::ServiceError;
use crate::foundry::turn::Speaker;
use cupola_protocol::monitor::Tail;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, stream};
use std::sync::{Arc, Mutex};

/// One stream: its events after pauses in seconds, and how it ends.
#[derive(Clone)]
enum Script {
    Stream(Vec<(u64, &'static str)>, End),
    /// This event without end, each after a pause in seconds.
    Endless(u64, &'static str),
    NoSandbox,
    Refused(ErrorKind, u16),
    NeverAnswers,
    NotTrusted,
}

#[derive(Clone, Copy)]
enum End {
    Clean,
    Broken,
    Open,
}

/// Plays its scripts in turn, and repeats the last one. Remembers when it was asked and for how many lines.
#[derive(Clone)]
struct Scripted {
    scripts: Arc<Mutex<VecDeque<Script>>>,
    asked: Arc<Mutex<Vec<(u64, u16)>>>,
    began: Instant,
}

impl Source for Scripted {
    fn open(&self, tail: Tail) -> BoxFuture<'_, Result<Option<Frames>, FoundryError>> {
        self.asked.lock().unwrap().push((self.began.elapsed().as_secs(), tail.get()));
        let script = {
            let mut scripts = self.scripts.lock().unwrap();
            if scripts.len() > 1 { scripts.pop_front().unwrap() } else { scripts[0].clone() }
        };
        async move {
            match script {
                Script::NoSandbox => Ok(None),
                Script::Refused(kind, status) => Err(FoundryError::Service(Box::new(ServiceError {
                    denial: None,
                    operation: Operation::ReadLog,
                    kind,
                    status,
                    code: None,
                    message: "no".to_owned(),
                    request_id: None,
                    retry_after: None,
                    session: None,
                    speaker: Speaker::Gateway,
                    is_named: false,
                    is_crash: false,
                    lacks_route: false,
                    turn: cupola_protocol::error::Turn::MayHaveRun,
                }))),
                Script::NeverAnswers => std::future::pending().await,
                Script::Endless(pause, data) => {
                    let events = stream::repeat(data).then(move |data| async move {
                        tokio::time::sleep(Duration::from_secs(pause)).await;
                        Ok(sse::Event { name: Some("log".to_owned()), data: data.to_owned() })
                    });
                    Ok(Some(events.boxed()))
                }
                Script::NotTrusted => Err(FoundryError::NotTrusted {
                    origin: "https://acct.services.ai.azure.com".to_owned(),
                    fault: crate::system::tls::CertificateFault::Expired,
                }),
                Script::Stream(events, end) => {
                    let events = stream::iter(events).then(|(pause, data)| async move {
                        tokio::time::sleep(Duration::from_secs(pause)).await;
                        Ok(sse::Event { name: Some("log".to_owned()), data: data.to_owned() })
                    });
                    Ok(Some(match end {
                        End::Clean => events.boxed(),
                        End::Broken => events.chain(stream::iter([Err("reset".to_owned())])).boxed(),
                        End::Open => events.chain(stream::pending()).boxed(),
                    }))
                }
            }
        }
        .boxed()
    }
}

fn reader(scripts: &[Script], follow: bool, tail: u64) -> (LogReader, Scripted) {
    let scripts = Arc::new(Mutex::new(scripts.iter().cloned().collect()));
    let source = Scripted { scripts, asked: Arc::default(), began: Instant::now() };
    let query = LogQuery { kind: LogKind::Console, tail: tail.try_into().unwrap(), follow, raw: false };
    (LogReader::new(Box::new(source.clone()), query), source)
}

fn shown(event: &MonitorEvent) -> String {
    match event {
        MonitorEvent::Session { state, .. } => format!("session {state}"),
        MonitorEvent::Line { message, .. } => message.clone(),
        MonitorEvent::Notice { notice } => format!("{:?}", notice.code),
        other => format!("{other:?}"),
    }
}

/// All events until the end, or until `most` came; then how it ended and after how many seconds.
async fn play(scripts: &[Script], follow: bool, tail: u64, most: usize) -> (Vec<String>, String, u64) {
    let (mut reader, source) = reader(scripts, follow, tail);
    let mut events = Vec::new();
    let end = loop {
        if events.len() == most {
            break "stopped".to_owned();
        }
        match reader.next().await {
            Ok(Some(event)) => events.push(shown(&event.event)),
            Ok(None) => break "end".to_owned(),
            Err(error) => break error.to_string(),
        }
    };
    (events, end, source.began.elapsed().as_secs())
}

const PREAMBLE: &str = r#"{"session_state":"Running"}"#;
const CONNECTING: &str = r#"{"stream":"status","message":"connecting"}"#;
const A: &str = r#"{"timestamp":"2026-03-10T09:33:01Z","stream":"stdout","message":"a"}"#;
const B: &str = r#"{"timestamp":"2026-03-10T09:33:02Z","stream":"stdout","message":"b"}"#;
const C: &str = r#"{"timestamp":"2026-03-10T09:33:03Z","stream":"stderr","message":"c"}"#;

fn stream(events: &[&'static str], end: End) -> Script {
    Script::Stream(events.iter().map(|event| (0, *event)).collect(), end)
}

#[tokio::test(start_paused = true)]
async fn a_log_whose_host_is_not_trusted_any_more_is_not_asked_for_again() {
    let scripts = [stream(&[PREAMBLE, A], End::Broken), Script::NotTrusted];
    // A reader that asks again would do so for ever, without an event.
    let played = tokio::time::timeout(Duration::from_hours(1), play(&scripts, true, 50, 20)).await;
    let (events, end, after) = played.expect("it is requested repeatedly");
    assert_eq!(events.join(","), "session Running,a,Disconnected");
    assert!(end.contains("its certificate has expired") && after < 60, "{end} after {after} s");
}

#[tokio::test(start_paused = true)]
async fn the_last_lines_end_where_the_service_says_or_when_it_is_quiet_or_enough() {
    use Script::Stream;
    for (script, tail, expected, after) in [
        (stream(&[PREAMBLE, A, B], End::Clean), 50, "session Running,a,b", 0),
        // The service leaves the stream open.
        (stream(&[PREAMBLE, CONNECTING, A, B], End::Open), 50, "session Running,connecting,a,b", 1),
        (stream(&[PREAMBLE, CONNECTING, A, B, C], End::Open), 2, "session Running,connecting,a,b", 0),
        // It takes its time: to answer, to connect.
        (Stream(vec![(100, PREAMBLE), (4, CONNECTING), (4, A)], End::Open), 50, "session Running,connecting,a", 109),
        (stream(&[PREAMBLE, CONNECTING], End::Open), 50, "session Running,connecting,NoLines", 5),
        (stream(&[PREAMBLE], End::Clean), 50, "session Running,NoLines", 0),
    ] {
        let (events, end, seconds) = play(&[script], false, tail, 99).await;
        assert_eq!((events.join(",").as_str(), end.as_str(), seconds), (expected, "end", after));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_at_all_is_an_error_and_never_an_empty_success() {
    for (script, says) in [
        (Script::NeverAnswers, "within 120 s"),
        (stream(&[], End::Open), "within 120 s"),
        (stream(&[], End::Clean), "4 times: it ended before it said anything"),
        (stream(&[], End::Broken), "4 times: reset"),
        (Script::NoSandbox, "no sandbox"),
        (Script::Refused(ErrorKind::SessionNotFound, 404), "HTTP 404"),
        (Script::Refused(ErrorKind::ServiceUnavailable, 503), "HTTP 503"),
    ] {
        let (events, end, _) = play(&[script], false, 50, 99).await;
        assert!(end.contains(says), "{end}");
        assert!(events.iter().all(|event| event == "Disconnected" || event == "Reconnected"), "{events:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tail_that_is_cut_is_completed() {
    let scripts = [stream(&[PREAMBLE, A], End::Broken), stream(&[PREAMBLE, A, B, C], End::Clean)];
    let (events, end, _) = play(&scripts, false, 50, 99).await;
    assert_eq!(events, ["session Running", "a", "Disconnected", "Reconnected", "b", "c"]);
    assert_eq!(end, "end");
}

#[tokio::test(start_paused = true)]
async fn a_followed_log_continues_over_broken_streams_without_repeating_a_line() {
    let scripts = [
        stream(&[PREAMBLE, CONNECTING, A], End::Broken),
        Script::Refused(ErrorKind::ServiceUnavailable, 503),
        Script::Refused(ErrorKind::ServiceError, 500),
        stream(&[PREAMBLE, CONNECTING, A, B], End::Broken),
        Script::NoSandbox,
        stream(&[PREAMBLE, CONNECTING, C], End::Open),
    ];
    let (events, _, _) = play(&scripts, true, 50, 11).await;
    assert_eq!(
        events,
        [
            "session Running",
            "connecting",
            "a",
            "Disconnected",
            "Reconnected",
            "b",
            "Disconnected",
            "NoSandbox",
            "Reconnected",
            "Gap",
            "c"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_to_half_a_minute_and_start_over_after_a_good_stream() {
    let dead = || Script::Refused(ErrorKind::ServiceUnavailable, 503);
    let mut scripts = vec![stream(&[A], End::Broken)];
    scripts.extend(std::iter::repeat_with(dead).take(7));
    scripts.push(Script::Stream(vec![(0, A), (60, B)], End::Clean));
    scripts.push(stream(&[A, B, C], End::Open));
    let (mut reader, source) = reader(&scripts, true, 50);
    while shown(&reader.next().await.unwrap().unwrap().event) != "c" {}
    let asked = source.asked.lock().unwrap().clone();
    let times: Vec<u64> = asked.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [0, 1, 3, 7, 15, 31, 61, 91, 121, 181]);
    // Everything that can be had, once there is something to hold it against.
    assert_eq!(asked.iter().map(|(_, tail)| *tail).collect::<Vec<_>>()[..2], [50, 300]);
}

#[tokio::test(start_paused = true)]
async fn following_ends_with_the_session_and_with_what_waiting_does_not_mend() {
    let gone = [stream(&[A], End::Clean), Script::Refused(ErrorKind::SessionNotFound, 404)];
    let (events, end, _) = play(&gone, true, 50, 99).await;
    assert_eq!((events.last().unwrap().as_str(), end.as_str()), ("SessionGone", "end"));
    let refused = [stream(&[A], End::Broken), Script::Refused(ErrorKind::Forbidden, 403)];
    let (_, end, _) = play(&refused, true, 50, 99).await;
    assert!(end.contains("HTTP 403"), "{end}");
    // The first stream must open: a mistake is told at once.
    let (events, end, _) = play(&[Script::Refused(ErrorKind::SessionNotFound, 404)], true, 50, 99).await;
    assert!(events.is_empty() && end.contains("HTTP 404"), "{end}");
    // But a sandbox that is not there yet is waited for.
    let (events, _, _) = play(&[Script::NoSandbox, Script::NoSandbox, stream(&[A], End::Open)], true, 50, 3).await;
    assert_eq!(events, ["NoSandbox", "Reconnected", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_never_says_a_word_is_opened_again() {
    let scripts = [stream(&[], End::Open), stream(&[A], End::Open)];
    let (events, _, seconds) = play(&scripts, true, 50, 3).await;
    assert_eq!((events.join(","), seconds), ("Disconnected,Reconnected,a".to_owned(), 121));
}

#[tokio::test(start_paused = true)]
async fn a_log_without_an_end_is_given_up_where_one_is_expected() {
    const REMARK: &str = r#"{"new":"shape"}"#;
    for (script, says) in [
        // Nothing but what was shown before, and not a line.
        (Script::Endless(0, PREAMBLE), "the service only repeats what was shown before"),
        (Script::Endless(0, CONNECTING), "more than 1200 events"),
        (Script::Endless(0, REMARK), "more than 1200 events"),
        // One each time that there could have been an end.
        (Script::Endless(4, REMARK), "within 600 s"),
    ] {
        let (events, end, _) = play(&[script], false, 300, 5000).await;
        assert!(end.contains(says), "{end}");
        assert!(events.len() < 1300, "{} events", events.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_followed_log_that_only_repeats_itself_is_opened_again_with_pauses() {
    let (mut reader, source) = reader(&[Script::Endless(0, PREAMBLE)], true, 10);
    assert_eq!(shown(&reader.next().await.unwrap().unwrap().event), "session Running");
    assert_eq!(shown(&reader.next().await.unwrap().unwrap().event), "Disconnected");
    let asked = || source.asked.lock().unwrap().iter().map(|(second, _)| *second).collect::<Vec<_>>();
    while asked().len() < 7 {
        reader.next().await.unwrap().unwrap();
    }
    assert_eq!(asked(), [0, 1, 3, 7, 15, 31, 61]);
}
