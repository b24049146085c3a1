//! Contract section 5: files of a session's home.

use crate::support::{Answer, Ask, Bench, eventually};
use bytes::Bytes;
use cupola_emulator::Undocumented;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const SESSION: &str = "sess-files-1";
const MB: usize = 1024 * 1024;

async fn bench() -> Bench {
    let bench = Bench::start().await;
    bench.create_session("notes").body(json!({"agent_session_id": SESSION})).send().await.ok();
    bench
}

fn files<'a>(bench: &'a Bench, method: &str, rest: &str) -> Ask<'a> {
    bench.endpoint(method, "notes", &format!("/sessions/{SESSION}/files{rest}"))
}

async fn put(bench: &Bench, path: &str, content: impl Into<Bytes>) -> Answer {
    files(bench, "PUT", &format!("/content?path={path}")).bytes(content).send().await
}

async fn get(bench: &Bench, path: &str) -> Answer {
    files(bench, "GET", &format!("/content?path={path}")).send().await
}

async fn names(bench: &Bench, query: &str) -> (String, Value) {
    let page = files(bench, "GET", query).send().await.ok().json();
    let names: Vec<_> =
        page["entries"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect();
    (names.join(" "), page)
}

#[tokio::test]
async fn a_file_goes_up_is_listed_and_comes_down() {
    let bench = bench().await;
    for path in ["data%20dir%2F%C3%BC.txt", "data+dir%2F%C3%BC.txt", "/data%20dir/./%C3%BC.txt"] {
        let put = put(&bench, path, "hello").await;
        assert_eq!((put.status, put.json()), (201, json!({"path": "data dir/ü.txt", "bytes_written": 5})), "{path}");
    }
    let down = get(&bench, "data+dir%2F%C3%BC.txt").await;
    assert_eq!((down.status, down.text.as_str(), down.header("content-length")), (200, "hello", Some("5")));
    assert_eq!(down.header("content-type"), Some("application/octet-stream"));

    let (found, page) = names(&bench, "").await;
    assert_eq!((found.as_str(), &page["path"], &page["has_more"]), ("data dir", &json!("."), &json!(false)));
    let directory = &page["entries"][0];
    assert_eq!((&directory["is_directory"], &directory["is_dir"]), (&json!(true), &json!(true)));
    let mut entry = names(&bench, "?path=data%20dir").await.1["entries"][0].take();
    assert!(entry["modified_time"].take().as_u64().unwrap() > 1_700_000_000);
    assert!(entry["mode"].take().is_u64());
    assert_eq!(
        entry,
        json!({"name": "ü.txt", "path": "data dir/ü.txt", "is_directory": false, "is_dir": false, "size": 5,
            "mode": null, "modified_time": null})
    );
    put(&bench, "data+dir%2F%C3%BC.txt", "").await.ok();
    assert_eq!(get(&bench, "data+dir%2F%C3%BC.txt").await.text, "", "replaced by an empty one");
}

#[tokio::test]
async fn a_list_pages_by_name_and_its_first_page_is_as_large_as_a_page_may_be() {
    let bench = bench().await;
    for number in 0..103 {
        put(&bench, &format!("many%2Ffile-{number:03}"), "x").await.ok();
    }
    let (first, page) = names(&bench, "?path=many").await;
    assert_eq!((first.split(' ').count(), &page["last_id"]), (100, &json!("file-099")));
    assert_eq!(page["has_more"], true);
    assert_eq!(names(&bench, "?path=many&after=file-099").await.0, "file-100 file-101 file-102");
    let (rest, page) = names(&bench, "?path=many&after=file-102").await;
    assert_eq!((rest.as_str(), &page["last_id"]), ("", &Value::Null));
    assert_eq!(names(&bench, "?path=many&limit=2&order=desc").await.0, "file-102 file-101");
    files(&bench, "GET", "?limit=101").send().await.refused(400, "invalid_request_error");
}

#[tokio::test]
async fn a_folder_with_something_in_it_is_deleted_only_recursively() {
    let bench = bench().await;
    put(&bench, "data/in/deep.txt", "x").await.ok();
    put(&bench, "a.txt", "x").await.ok();
    for query in ["?path=data", "?path=data&recursive=false"] {
        files(&bench, "DELETE", query).send().await.refused(409, "directory_not_empty");
    }
    for query in ["?path=data&recursive=true", "?path=a.txt&recursive=false"] {
        let gone = files(&bench, "DELETE", query).send().await;
        assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    }
    assert_eq!(names(&bench, "").await.0, "");
    files(&bench, "DELETE", "?path=a.txt").send().await.refused(404, "not_found");
    files(&bench, "DELETE", "?recursive=true").send().await.refused(400, "invalid_request_error");
    files(&bench, "DELETE", "?path=a&recursive=yes").send().await.refused(400, "invalid_request_error");
}

#[tokio::test]
async fn a_folder_is_made_with_those_above_it_and_shown_by_stat() {
    let bench = bench().await;
    let mkdir = async |path: &str| files(&bench, "POST", "/mkdir").body(json!({"path": path})).send().await;
    let made = mkdir("/data/out").await;
    assert_eq!((made.status, made.json()), (201, json!({"path": "data/out"})));
    assert_eq!(mkdir("data/out").await.status, 200, "it is there already");
    put(&bench, "data/out/a.txt", "four").await.ok();
    let stat = files(&bench, "GET", "/stat?path=data/out/a.txt").send().await.ok().json();
    assert_eq!((&stat["name"], &stat["path"], &stat["size"]), (&json!("a.txt"), &json!("data/out/a.txt"), &json!(4)));
    assert_eq!(files(&bench, "GET", "/stat?path=data").send().await.ok().json()["is_directory"], true);
    files(&bench, "GET", "/stat?path=none").send().await.refused(404, "not_found");
    mkdir("data/out/a.txt").await.refused(409, "not_a_directory");
    mkdir("data/out/a.txt/b").await.refused(409, "not_a_directory");
    files(&bench, "POST", "/mkdir").body(json!({})).send().await.refused(400, "invalid_request_error");
}

#[tokio::test]
async fn a_wrong_kind_of_entry_is_reported() {
    let bench = bench().await;
    put(&bench, "data/a.txt", "x").await.ok();
    get(&bench, "none").await.refused(404, "not_found");
    get(&bench, "data").await.refused(409, "is_a_directory");
    put(&bench, "data", "x").await.refused(409, "is_a_directory");
    put(&bench, "", "x").await.refused(400, "invalid_request_error");
    put(&bench, "data/a.txt/b", "x").await.refused(409, "not_a_directory");
    files(&bench, "GET", "?path=data/a.txt").send().await.refused(409, "not_a_directory");
    files(&bench, "GET", "?path=none").send().await.refused(404, "not_found");
    for path in ["..", "../record.json", "data/../../record.json", "a%00b", "a%5Cb"] {
        get(&bench, path).await.refused(400, "invalid_request_error");
        put(&bench, path, "x").await.refused(400, "invalid_request_error");
        files(&bench, "GET", &format!("?path={path}")).send().await.refused(400, "invalid_request_error");
        files(&bench, "GET", &format!("/stat?path={path}")).send().await.refused(400, "invalid_request_error");
        files(&bench, "DELETE", &format!("?path={path}")).send().await.refused(400, "invalid_request_error");
    }
    files(&bench, "POST", "/mkdir").body(json!({"path": "../x"})).send().await.refused(400, "invalid_request_error");
}

#[tokio::test]
async fn fifty_megabytes_are_taken_and_one_byte_more_is_413() {
    let bench = bench().await;
    let whole = Bytes::from(vec![b'x'; 50 * MB + 1]);
    assert_eq!(put(&bench, "large", whole.slice(1..)).await.ok().json()["bytes_written"], 50 * MB);
    put(&bench, "large", whole.clone()).await.refused(413, "file_too_large");
    // The same without a length, as one would send a stream.
    let pieces = stream::iter((0..51).map(move |_| Ok::<_, std::io::Error>(whole.slice(..MB))));
    let url = format!(
        "{}/agents/notes/endpoint/sessions/{SESSION}/files/content?path=large&api-version=v1",
        bench.emulator.project_endpoint()
    );
    let request = reqwest::Client::new().put(url).bearer_auth(bench.emulator.token("ann"));
    let answer = request.body(reqwest::Body::wrap_stream(pieces)).send().await.unwrap();
    assert_eq!(answer.status(), 413);
    let stat = files(&bench, "GET", "/stat?path=large").send().await.ok().json();
    assert_eq!(stat["size"], 50 * MB, "what was there before stays");
    assert_eq!(names(&bench, "").await.0, "large");
}

#[tokio::test]
async fn an_upload_that_is_refused_is_read_first_and_its_connection_stays() {
    let bench = bench().await;
    let address = bench.emulator.address().unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let path = "/api/projects/emulator/agents/notes/endpoint/sessions/sess-nobody/files/content?path=a&api-version=v1";
    let token = bench.emulator.token("ann");
    let head =
        format!("PUT {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\ncontent-length: 4\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // The emulator has seen the head by then, and the body comes late.
    let about = format!("{}/__cupola/about", bench.emulator.url());
    bench.raw("GET", &about).send().await.ok();
    let next = format!("textGET /__cupola/about HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(next.as_bytes()).await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    assert!(answers.starts_with("HTTP/1.1 404") && answers.contains("HTTP/1.1 200"), "{answers}");
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_the_old_file() {
    let bench = bench().await;
    put(&bench, "a.txt", "old").await.ok();
    let home = bench.data_dir();
    let pieces = stream::iter([Ok(Bytes::from_static(b"ne")), Err(std::io::Error::other("lost"))]).boxed();
    let url = format!(
        "{}/agents/notes/endpoint/sessions/{SESSION}/files/content?path=a.txt&api-version=v1",
        bench.emulator.project_endpoint()
    );
    let request = reqwest::Client::new().put(url).bearer_auth(bench.emulator.token("ann"));
    assert!(request.body(reqwest::Body::wrap_stream(pieces)).send().await.is_err());
    assert_eq!(get(&bench, "a.txt").await.text, "old");
    let incoming = home.join("agents/notes/sessions").join(SESSION).join("incoming");
    eventually("nothing of the upload stays", async || std::fs::read_dir(&incoming).unwrap().count() == 0).await;
}

#[tokio::test]
async fn files_work_on_an_idle_session_without_waking_it_and_count_as_activity() {
    let bench = bench().await;
    let shown = async || bench.endpoint("GET", "notes", &format!("/sessions/{SESSION}")).send().await.ok().json();
    eventually("it becomes active", async || shown().await["status"] == "active").await;
    bench.clock.advance(Duration::from_mins(15));
    assert_eq!(shown().await["status"], "idle");
    bench.clock.advance(Duration::from_hours(29 * 24));
    put(&bench, "a.txt", "kept").await.ok();
    assert_eq!(shown().await["status"], "idle");
    assert_eq!(bench.agents.starts_of(SESSION), 1);
    bench.clock.advance(Duration::from_hours(29 * 24));
    assert_eq!(get(&bench, "a.txt").await.ok().text, "kept", "not expired: it was used meanwhile");
    bench.clock.advance(Duration::from_hours(30 * 24));
    get(&bench, "a.txt").await.refused(404, "not_found");
    put(&bench, "a.txt", "late").await.refused(404, "not_found");
}

#[tokio::test]
async fn files_survive_a_restart_and_go_with_their_session() {
    let bench = bench().await;
    put(&bench, "a.txt", "kept").await.ok();
    let bench = bench.restart().await;
    assert_eq!(get(&bench, "a.txt").await.ok().text, "kept");
    bench.endpoint("DELETE", "notes", &format!("/sessions/{SESSION}")).send().await.ok();
    get(&bench, "a.txt").await.refused(404, "not_found");
}

/// Every operation, as one that finds what it names.
fn operations<'a>(bench: &'a Bench, agent: &str, session: &str) -> Vec<Ask<'a>> {
    let at = |method: &str, rest: &str| bench.endpoint(method, agent, &format!("/sessions/{session}/files{rest}"));
    vec![
        at("PUT", "/content?path=a.txt").bytes("x"),
        at("GET", "/content?path=a.txt"),
        at("GET", ""),
        at("GET", "/stat?path=a.txt"),
        at("POST", "/mkdir").body(json!({"path": "made"})),
        at("DELETE", "?path=a.txt"),
    ]
}

#[tokio::test]
async fn wrong_or_missing_keys_do_not_find_the_session() {
    let bench = Bench::start().await;
    for agent in ["notes", "notes-required"] {
        let made = bench.create_session(agent).user_key("acme").header("x-agent-chat-isolation-key", "one");
        let session = made.send().await.ok().json()["agent_session_id"].as_str().unwrap().to_owned();
        let asks = || operations(&bench, agent, &session).into_iter();
        for ask in asks() {
            ask.send().await.refused(404, "not_found");
        }
        for ask in asks() {
            ask.user_key("contoso").header("x-agent-chat-isolation-key", "one").send().await.refused(404, "not_found");
        }
        for ask in asks() {
            ask.user_key("acme").header("x-agent-chat-isolation-key", "two").send().await.refused(404, "not_found");
        }
        for ask in asks() {
            ask.user_key("acme").header("x-agent-chat-isolation-key", "one").send().await.ok();
        }
    }
    for ask in operations(&bench, "open", "sess-unknown-1") {
        ask.send().await.refused(404, "not_found");
    }
}

#[tokio::test]
async fn a_delegated_session_has_the_wall_and_no_fence() {
    let bench = Bench::start().await;
    let made = bench.create_session("notes-identity").acting_for("alice").send().await.ok().json();
    let session = made["agent_session_id"].as_str().unwrap();
    let asks = || operations(&bench, "notes-identity", session).into_iter();
    for ask in asks() {
        ask.send().await.refused(403, "session_not_accessible");
    }
    for ask in asks() {
        ask.acting_for("alice").user_key("acme").send().await.refused(400, "invalid_request_error");
    }
    for user in ["alice", "bob"] {
        for ask in asks() {
            ask.acting_for(user).send().await.ok();
        }
    }
}

#[tokio::test]
async fn mkdir_and_stat_can_be_withheld() {
    let bench =
        Bench::start_with(|options| options.without = vec![Undocumented::MakeDirectory, Undocumented::Stat]).await;
    bench.create_session("notes").body(json!({"agent_session_id": SESSION})).send().await.ok();
    put(&bench, "a.txt", "x").await.ok();
    files(&bench, "GET", "/stat?path=a.txt").send().await.refused(404, "not_found");
    files(&bench, "POST", "/mkdir").body(json!({"path": "data"})).send().await.refused(404, "not_found");
    assert_eq!(names(&bench, "").await.0, "a.txt");
}
