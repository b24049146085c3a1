//! A connection: one answer per request, in every framing, wherever its bytes are cut.

#![cfg(unix)]

use super::*;
use crate::config::{Config, Flags};
use crate::fuzz::{below, cuts, pieces};
use crate::inbound::framing::Decoder;
use crate::rpc::Call;
use bolero::generator::bolero_generator::driver::Driver;
use bolero::{ValueGenerator, check};
use bytes::BytesMut;
use cupola_protocol::Method;
use cupola_protocol::daemon::NoParams;
use serde_json::value::RawValue;
use std::panic::AssertUnwindSafe;
use tokio::io::AsyncReadExt;

struct Echo;

impl Method for Echo {
    const NAME: &'static str = "test/echo";
    type Params = NoParams;
    type Response = String;
}

/// Ids of every type; each may come again.
const IDS: &[&str] = &["1", "-7", "18446744073709551616", "1.5e3", "null", r#""1""#, r#""\u00e4/""#, r#""""#];
/// What cannot be an id.
const NO_IDS: &[&str] = &["{}", "[1]", "true"];

/// A message, and the ids of the answers that it must get.
#[derive(Debug, Clone)]
struct Sent {
    text: String,
    answers: Vec<&'static str>,
}

struct Messages;

impl Messages {
    fn one<D: Driver>(driver: &mut D) -> Option<Sent> {
        let id = IDS[below(driver, IDS.len())?];
        let method = ["test/echo", "test/none", ""][below(driver, 3)?];
        let (text, answers) = match below(driver, 9)? {
            0..=3 => (format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"}}"#), vec![id]),
            4 => (format!(r#"{{"method":"{method}","params":{{}}}}"#), vec![]),
            5 => (format!(r#"{{"id":{id},"result":1}}"#), vec![]),
            6 => (format!(r#"{{"id":{id}}}"#), vec![id]),
            7 => (format!(r#"{{"id":{},"method":"{method}"}}"#, NO_IDS[below(driver, NO_IDS.len())?]), vec!["null"]),
            _ => (r#"{"method":"$/cancelRequest","params":{"id":1}}"#.to_owned(), vec![]),
        };
        Some(Sent { text, answers })
    }
}

impl ValueGenerator for Messages {
    type Output = Vec<Sent>;

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<Vec<Sent>> {
        let mut messages = Vec::new();
        for _ in 0..=below(driver, 6)? {
            messages.push(match below(driver, 6)? {
                0 => Sent { text: "{\"id\":1,".to_owned(), answers: vec!["null"] },
                1 => Sent { text: "[]".to_owned(), answers: vec!["null"] },
                2 => {
                    let mut inside = Vec::new();
                    for _ in 0..=below(driver, 4)? {
                        inside.push(Self::one(driver)?);
                    }
                    let texts: Vec<_> = inside.iter().map(|sent| sent.text.as_str()).collect();
                    Sent {
                        text: format!("[{}]", texts.join(",")),
                        answers: inside.iter().flat_map(|sent| sent.answers.clone()).collect(),
                    }
                }
                _ => Self::one(driver)?,
            });
        }
        Some(messages)
    }
}

/// The ids of all answers, sorted.
fn ids(frames: &[bytes::Bytes]) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        id: &'a RawValue,
    }
    let mut ids = Vec::new();
    for frame in frames {
        let one: &RawValue = serde_json::from_slice(frame).unwrap();
        let answers: Vec<Answer<'_>> = if one.get().starts_with('[') {
            serde_json::from_str(one.get()).unwrap()
        } else {
            vec![serde_json::from_str(one.get()).unwrap()]
        };
        ids.extend(answers.iter().map(|answer| answer.id.get().to_owned()));
    }
    ids.sort();
    ids
}

#[test]
fn every_request_gets_one_answer() {
    static TABLE: std::sync::LazyLock<Table> =
        std::sync::LazyLock::new(|| Table::new().on(Echo, |_: Call, _: NoParams| async { Ok("hello".to_owned()) }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = Config::resolve(Flags::default(), &|name| (name == "HOME").then(|| directory.path().into())).unwrap();
    let daemon = runtime.block_on(async { Daemon::start(config).unwrap() });
    // A panic in one exchange ends the test, so no other exchange sees what it left behind.
    let exchange = AssertUnwindSafe(|sent: Vec<u8>, cuts: &[u8]| {
        let (daemon, mut answer) = (Arc::clone(&daemon), Vec::new());
        runtime.block_on(async {
            let (mut client, served) = tokio::net::UnixStream::pair().unwrap();
            let serving = tokio::spawn(serve(
                daemon,
                &TABLE,
                served,
                std::future::ready(crate::limits::places::Place::uncounted()),
            ));
            for piece in pieces(&sent, cuts) {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
            client.read_to_end(&mut answer).await.unwrap();
            serving.await.unwrap();
        });
        answer
    });
    check!().with_generator((Messages, cuts())).for_each(|(messages, cuts): &(Vec<Sent>, Vec<u8>)| {
        let mut expected: Vec<_> = messages.iter().flat_map(|sent| &sent.answers).map(|id| (*id).to_owned()).collect();
        expected.sort();
        for framing in [Framing::Lsp, Framing::Ndjson] {
            let mut sent = Vec::new();
            for message in messages {
                framing.encode(message.text.as_bytes(), &mut sent);
            }
            // The first bytes decide the framing, so the first line must be JSON.
            let (mut buffer, mut decoder, mut frames) = (BytesMut::from((*exchange)(sent, cuts).as_slice()), Decoder::new(framing), Vec::new());
            while let Some(frame) = decoder.next(&mut buffer).unwrap() {
                frames.push(frame);
            }
            assert_eq!(ids(&frames), expected, "{framing:?}");
        }
        // Over HTTP one message is one request.
        let Sent { text, answers } = &messages[0];
        let head = format!("POST / HTTP/1.1\r\nHost: cupola\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", text.len());
        let answer = (*exchange)([head.as_bytes(), text.as_bytes()].concat(), cuts);
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let frames: Vec<_> = Some(body).filter(|body| !body.is_empty()).map(|body| bytes::Bytes::from(body.to_owned())).into_iter().collect();
        let mut expected: Vec<_> = answers.iter().map(|id| (*id).to_owned()).collect();
        expected.sort();
        assert_eq!(ids(&frames), expected, "{head}");
    });
}
