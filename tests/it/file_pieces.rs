//! `files/read` and `files/write`: files on the connection itself, in pieces.

use crate::files::{World, answer};
use crate::support::{Client, TestEmulator};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cupola_emulator::faults::Fault;
use serde_json::{Value, json};
use std::num::NonZeroUsize;

const MB: usize = 1024 * 1024;

fn encoded(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn decoded(piece: &Value) -> Vec<u8> {
    STANDARD.decode(piece["content"].as_str().unwrap()).unwrap()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// Writes a file in pieces of this size.
async fn write(world: &mut World, path: &str, content: &[u8], size: usize) -> Value {
    let mut id = Value::Null;
    let pieces: Vec<_> = content.chunks(size).collect();
    let mut offset = 0;
    for (number, piece) in pieces.iter().enumerate() {
        let is_last = number + 1 == pieces.len();
        let mut params = json!({"path": path, "content": encoded(piece), "isLast": is_last, "offset": offset});
        if !id.is_null() {
            params["writeId"] = id.clone();
        }
        let answer = world.ok("files/write", params).await;
        offset += piece.len();
        assert_eq!((&answer["bytes"], &answer["isWritten"]), (&json!(offset), &json!(is_last)), "{answer}");
        if is_last {
            return answer;
        }
        id = answer["writeId"].clone();
    }
    panic!("there are no pieces");
}

/// Reads a whole file, all of one download.
async fn read(world: &mut World, path: &str) -> (Vec<u8>, usize) {
    let (mut content, mut id, mut pieces) = (Vec::new(), Value::Null, 0);
    loop {
        let mut params = json!({"path": path, "keepOpen": true});
        if !id.is_null() {
            params["readId"] = id;
        }
        let piece = world.ok("files/read", params).await;
        assert_eq!(piece["offset"], content.len(), "{}", piece["offset"]);
        content.extend(decoded(&piece));
        pieces += 1;
        id = piece["readId"].clone();
        assert_eq!(id.is_null(), piece["isLast"] == true);
        if piece["isLast"] == true {
            return (content, pieces);
        }
    }
}

fn puts(emulator: &TestEmulator) -> usize {
    emulator.asked("PUT", "sessions").len()
}

fn gets(emulator: &TestEmulator) -> usize {
    emulator.asked("GET", "sessions").into_iter().filter(|request| request.path.contains("/files/content")).count()
}

#[tokio::test]
async fn a_small_file_is_one_call_each_way() {
    let mut world = World::start().await;
    for (path, text) in [("a.txt", &b"hello"[..]), ("empty", b""), ("data/b", &[0, 159, 146, 150, 10])] {
        let written = world.ok("files/write", json!({"path": path, "content": encoded(text), "isLast": true})).await;
        assert_eq!((&written["bytes"], &written["isWritten"]), (&json!(text.len()), &json!(true)), "{written}");
        assert_eq!((&written["path"], written.get("writeId")), (&json!(path), None));
        let piece = world.ok("files/read", json!({"path": path})).await;
        assert_eq!((decoded(&piece).as_slice(), &piece["isLast"], &piece["offset"]), (text, &json!(true), &json!(0)));
        assert_eq!(piece["totalBytes"], text.len(), "{piece}");
    }
    for request in world.emulator.requests().iter().filter(|request| request.path.contains("/files")) {
        assert_eq!(request.header("x-agent-user-isolation-key"), Some("acme"), "{}", request.path);
    }
    world.end().await;
}

#[tokio::test]
async fn large_files_travel_in_pieces_and_the_service_gets_and_gives_them_as_a_whole() {
    let mut world = World::with(|options| options.interceptor = None).await;
    let content = pattern(17 * MB + 1);
    write(&mut world, "large", &content, MB).await;
    let (back, pieces) = read(&mut world, "large").await;
    assert!(back == content, "other bytes came back");
    assert_eq!(pieces, 18);
    // The largest there is.
    let content = pattern(50 * MB);
    write(&mut world, "large", &content, MB).await;
    assert_eq!(world.ok("files/stat", json!({"path": "large"})).await["size"], 50 * MB);
    let last = world.ok("files/read", json!({"path": "large", "offset": 50 * MB - 5})).await;
    assert_eq!((decoded(&last).as_slice(), &last["isLast"]), (&content[50 * MB - 5..], &json!(true)));
    world.end().await;
}

#[tokio::test]
async fn nothing_is_sent_before_the_last_piece_and_one_request_serves_a_whole_reading() {
    let mut world = World::start().await;
    let first = world.ok("files/write", json!({"path": "a", "content": encoded(b"one "), "isLast": false})).await;
    assert_eq!((puts(&world.emulator), &first["isWritten"]), (0, &json!(false)));
    let params = json!({"path": "a", "content": encoded(b"two"), "isLast": true, "writeId": first["writeId"]});
    world.ok("files/write", params.clone()).await;
    assert_eq!(world.emulator.asked("PUT", "sessions")[0].body, json!("one two"));
    assert_eq!(world.refused("files/write", params).await.0, "invalidParams", "the id was used up");
    let mut id = Value::Null;
    for (offset, text) in [(0, "one"), (3, " tw"), (6, "o")] {
        let mut params = json!({"path": "a", "length": 3, "keepOpen": true});
        if !id.is_null() {
            params["readId"] = id;
        }
        let piece = world.ok("files/read", params).await;
        assert_eq!((piece["offset"].as_u64(), decoded(&piece).as_slice()), (Some(offset), text.as_bytes()));
        id = piece["readId"].clone();
        // What is read is one version of the file, whatever is written meanwhile.
        world.ok("files/write", json!({"path": "a", "content": encoded(b"other"), "isLast": true})).await;
    }
    assert_eq!(gets(&world.emulator), 1);
    world.end().await;
}

#[tokio::test]
async fn a_piece_is_read_from_any_offset_up_to_the_end() {
    let mut world = World::start().await;
    world.ok("files/write", json!({"path": "a", "content": encoded(b"0123456789"), "isLast": true})).await;
    for (offset, length, text, is_last) in [
        (0, 4, "0123", false),
        (4, 4, "4567", false),
        (8, 4, "89", true),
        (0, 10, "0123456789", true),
        (10, 4, "", true),
    ] {
        let piece = world.ok("files/read", json!({"path": "a", "offset": offset, "length": length})).await;
        assert_eq!(decoded(&piece), text.as_bytes(), "{offset}");
        assert_eq!((&piece["offset"], &piece["isLast"]), (&json!(offset), &json!(is_last)), "{piece}");
        assert!(piece.get("readId").is_none(), "it was not to be kept open");
    }
    let response = world.call("files/read", json!({"path": "a", "offset": 11})).await;
    assert_eq!(response["error"]["data"]["kind"], "invalidParams");
    let message = response["error"]["message"].as_str().unwrap();
    assert!(message.contains("offset 11") && message.contains("10 bytes"), "{message}");
    world.end().await;
}

#[tokio::test]
async fn what_is_not_as_it_should_be_is_refused_and_writes_nothing() {
    let mut world = World::start().await;
    let whole = |content: &str| json!({"path": "a", "content": content, "isLast": true});
    for (params, word) in [
        (whole("no base64!"), "base64"),
        (whole("aGVsbG8"), "base64"),
        (whole("_-8="), "base64"),
        (whole(&encoded(&vec![0; MB + 1])), "1048576"),
        (json!({"path": "a", "content": 7, "isLast": true}), "base64"),
        (json!({"path": "a", "content": ""}), "isLast"),
        (json!({"path": "a", "content": "", "isLast": true, "offset": 1}), "begins at 0"),
        (json!({"path": "a", "content": "", "isLast": true, "writeId": "of-nobody"}), "no reading or writing"),
        (json!({"path": "a", "content": "", "isLast": true, "writeId": "../x"}), "writeId"),
    ] {
        let response = world.call("files/write", params).await;
        assert_eq!(response["error"]["data"]["kind"], "invalidParams", "{response}");
        let message = response["error"]["message"].as_str().unwrap();
        assert!(message.contains(word), "{word}: {message}");
    }
    for (params, word) in [
        (json!({"path": "a", "length": 0}), "above zero"),
        (json!({"path": "a", "length": MB + 1}), "1048576"),
        (json!({"path": "a", "offset": -1}), "0 or more"),
        (json!({"path": "a", "readId": "of-nobody"}), "no reading or writing"),
    ] {
        let response = world.call("files/read", params).await;
        assert_eq!(response["error"]["data"]["kind"], "invalidParams", "{response}");
        assert!(response["error"]["message"].as_str().unwrap().contains(word), "{response}");
    }
    assert_eq!(puts(&world.emulator), 0);
    assert_eq!(world.refused("files/read", json!({"path": "none"})).await.0, "notFound");
    world.end().await;
}

/// Two pieces of one file, out of order or at once, or a piece of another file: refused, and the right one still works.
#[tokio::test]
async fn pieces_are_taken_in_their_order_and_for_their_own_file_alone() {
    let mut world = World::start().await;
    let begun = world.ok("files/write", json!({"path": "a", "content": encoded(b"one"), "isLast": false})).await;
    let id = &begun["writeId"];
    let piece = |more: Value| {
        let mut params = json!({"path": "a", "content": encoded(b"two"), "isLast": true, "writeId": id, "offset": 3});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    for (about, more) in [
        ("a gap", json!({"offset": 4})),
        ("again", json!({"offset": 0})),
        ("another file", json!({"path": "b"})),
        ("another isolation", json!({"isolation": {"userKey": "contoso"}})),
    ] {
        let (kind, _) = world.refused("files/write", piece(more)).await;
        assert!(["invalidParams", "sessionNotFound"].contains(&kind.as_str()), "{about}: {kind}");
    }
    assert_eq!(world.refused("files/read", json!({"path": "a", "readId": id})).await.0, "invalidParams");
    let mut stranger = world.daemon.connect();
    let other = crate::files::mine(&world.target, piece(json!({})));
    assert_eq!(stranger.call("files/write", other).await["error"]["data"]["kind"], "invalidParams", "it is another's");
    stranger.leave().await;
    assert_eq!(puts(&world.emulator), 0);
    world.ok("files/write", piece(json!({}))).await;
    assert_eq!(world.emulator.asked("PUT", "sessions")[0].body, json!("onetwo"));
    world.end().await;
}

#[tokio::test]
async fn concurrent_writers_do_not_mix_and_the_last_one_wins() {
    let mut world = World::start().await;
    let mut ids = Vec::new();
    for name in ["x", "y"] {
        let params = json!({"path": "a", "content": encoded(name.repeat(1000).as_bytes()), "isLast": false});
        ids.push(world.ok("files/write", params).await["writeId"].clone());
    }
    for (name, id) in ["x", "y"].iter().zip(&ids) {
        let content = encoded(name.repeat(1000).as_bytes());
        world.ok("files/write", json!({"path": "a", "content": content, "isLast": true, "writeId": id})).await;
    }
    let (back, _) = read(&mut world, "a").await;
    assert_eq!(back, "y".repeat(2000).as_bytes());
    world.end().await;
}

#[tokio::test]
async fn a_file_larger_than_the_service_takes_is_refused_before_it_is_asked() {
    let mut world = World::with(|options| options.interceptor = None).await;
    let piece = encoded(&vec![0; MB]);
    let mut id = Value::Null;
    for number in 0..50 {
        let mut params = json!({"path": "a", "content": piece, "isLast": false});
        if number > 0 {
            params["writeId"] = id;
        }
        id = world.ok("files/write", params).await["writeId"].clone();
    }
    let response =
        world.call("files/write", json!({"path": "a", "content": "AA==", "isLast": true, "writeId": id})).await;
    assert_eq!(response["error"]["data"]["kind"], "fileTooLarge");
    assert!(response["error"]["message"].as_str().unwrap().contains("52428800 bytes"), "{response}");
    assert_eq!(world.refused("files/stat", json!({"path": "a"})).await.0, "notFound");
    world.end().await;
}

/// How many files without a name this process has open in a directory.
#[cfg(target_os = "linux")]
fn spooled(state: &std::path::Path) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .filter(|path| path.starts_with(state) && path.to_string_lossy().ends_with("(deleted)"))
        .count()
}

async fn begin(client: &mut Client, target: &Value, path: &str) -> Value {
    let params = json!({"path": path, "content": encoded(b"half"), "isLast": false});
    client.call("files/write", crate::files::mine(target, params)).await
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_that_leaves_in_the_middle_leaves_nothing() {
    let mut world = World::start().await;
    let state = world.daemon.daemon.config.state_directory.clone();
    let listed = |world: &World| crate::files::names(&world.daemon.daemon.config.state_directory);
    let before = listed(&world);
    world.ok("files/write", json!({"path": "b", "content": encoded(&[7; 4000]), "isLast": true})).await;
    for is_rude in [false, true] {
        let mut client = world.daemon.connect();
        let begun = begin(&mut client, &world.target, "a").await;
        let read = json!({"path": "b", "length": 10, "keepOpen": true});
        let reading = client.call("files/read", crate::files::mine(&world.target, read)).await;
        assert!(reading["result"]["readId"].is_string(), "{reading}");
        assert_eq!((spooled(&state), listed(&world)), (1, before.clone()), "{begun}");
        if is_rude {
            drop(client);
        } else {
            client.leave().await;
        }
        let gone = async {
            while spooled(&state) > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), gone).await.expect("it is still there");
    }
    assert_eq!(world.refused("files/stat", json!({"path": "a"})).await.0, "notFound");
    assert_eq!(puts(&world.emulator), 1);
    world.end().await;
}

#[tokio::test]
async fn a_cancelled_piece_ends_its_writing() {
    let mut world = World::start().await;
    let begun = world.ok("files/write", json!({"path": "a", "content": encoded(b"one"), "isLast": false})).await;
    world.emulator.fail("*/files/content", 1, Fault::Latency { milliseconds: 600_000 });
    let params = json!({"path": "a", "content": encoded(b"two"), "isLast": true, "writeId": begun["writeId"]});
    let id = world.client.request("files/write", crate::files::mine(&world.target, params.clone())).await;
    // While it is in progress, no other call can add to it.
    loop {
        let again = world.client.request("files/write", crate::files::mine(&world.target, params.clone())).await;
        let answer = world.client.next().await;
        assert_eq!(answer["id"], again, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains("still under way"), "{answer}");
        if puts(&world.emulator) > 0 {
            break;
        }
    }
    world.client.send(json!({"method": "$/cancelRequest", "params": {"id": id}})).await;
    let answer = world.client.next().await;
    assert_eq!((&answer["id"], &answer["error"]["data"]["kind"]), (&json!(id), &json!("cancelled")), "{answer}");
    assert_eq!(world.refused("files/write", params).await.0, "invalidParams", "it is gone");
    world.end().await;
}

#[tokio::test]
async fn a_reading_that_breaks_off_is_an_error_and_not_a_short_file() {
    let mut world = World::start().await;
    world.ok("files/write", json!({"path": "a", "content": encoded(&[1; 5000]), "isLast": true})).await;
    world.emulator.fail("*/files/content", 1, Fault::Cut { after_bytes: 1000 });
    let (kind, _) = world.refused("files/read", json!({"path": "a"})).await;
    assert_eq!(kind, "connectionFailed");
    world.emulator.fail("*/files/content", 1, answer(403, json!({"error": {"code": "forbidden"}})));
    assert_eq!(world.refused("files/read", json!({"path": "a"})).await.0, "forbidden");
    let bytes = NonZeroUsize::new(100).unwrap();
    world.emulator.fail("*/files/content", 1, Fault::Drip { bytes, every_milliseconds: 1 });
    assert_eq!(decoded(&world.ok("files/read", json!({"path": "a"})).await), [1; 5000]);
    world.end().await;
}

#[tokio::test]
async fn a_connection_has_a_bounded_number_of_them() {
    let mut world = World::start().await;
    let mut ids = Vec::new();
    for number in 0..8 {
        let params = json!({"path": format!("f{number}"), "content": "", "isLast": false});
        ids.push(world.ok("files/write", params).await["writeId"].clone());
    }
    let more = json!({"path": "more", "content": "", "isLast": false});
    let (kind, hint) = world.refused("files/write", more.clone()).await;
    assert_eq!(kind, "overloaded");
    assert!(hint.contains("finish one first"), "{hint}");
    // A file of one piece needs no place, and another client has its own.
    world.ok("files/write", json!({"path": "one", "content": "", "isLast": true})).await;
    let mut other = world.daemon.connect();
    assert!(begin(&mut other, &world.target, "other").await["result"]["writeId"].is_string());
    other.leave().await;
    world.ok("files/write", json!({"path": "f0", "content": "", "isLast": true, "writeId": ids[0]})).await;
    world.ok("files/write", more).await;
    world.end().await;
}

/// Each HTTP request is its own connection, so nothing is kept from one to the next.
#[tokio::test]
async fn over_http_a_file_is_written_in_one_piece_and_read_by_offsets() {
    let mut world = World::start().await;
    world.ok("files/write", json!({"path": "a", "content": encoded(b"0123456789"), "isLast": true})).await;
    let mut http = world.daemon.connect_http();
    let mut call = async |method: &str, params: Value| {
        let message = json!({"id": 1, "method": method, "params": crate::files::mine(&world.target, params)});
        http.post(&message).await.json()
    };
    let part = call("files/write", json!({"path": "b", "content": "", "isLast": false})).await;
    assert_eq!(part["error"]["data"]["kind"], "invalidParams", "{part}");
    let whole = call("files/write", json!({"path": "b", "content": encoded(b"whole"), "isLast": true})).await;
    assert_eq!(whole["result"]["isWritten"], true, "{whole}");
    let piece = call("files/read", json!({"path": "a", "offset": 2, "length": 3, "keepOpen": true})).await;
    assert_eq!((decoded(&piece["result"]).as_slice(), piece["result"].get("readId")), (&b"234"[..], None));
    drop(http);
    world.end().await;
}

/// The service keeps no files for an agent with memory snapshots, so the caller who uploads one is told.
#[tokio::test]
async fn a_file_that_the_session_will_lose_comes_with_a_notice() {
    for snapshot in [true, false] {
        let mut world = World::with(|options| {
            for version in options.agents.iter_mut().flat_map(|agent| &mut agent.versions) {
                version.memory_snapshot = snapshot;
            }
        })
        .await;
        let local = world.write("plan.txt", "text");
        let tree = world.local.path().to_str().unwrap().to_owned();
        let first = world.ok("files/write", json!({"path": "b", "content": "AAAA", "isLast": false})).await;
        assert_eq!(first.get("notices"), None, "nothing is written yet: {first}");
        let last = json!({"path": "b", "content": "AAAA", "isLast": true, "writeId": first["writeId"]});
        for (method, params) in [
            ("files/write", last),
            ("files/write", json!({"path": "a", "content": "AAAA", "isLast": true})),
            ("files/upload", json!({"path": "c", "localPath": local})),
            ("files/upload", json!({"path": "d", "localPath": tree, "recursive": true})),
        ] {
            let done = world.ok(method, params).await;
            let code = &done["notices"][0]["code"];
            assert_eq!(*code, if snapshot { json!("filesNotKept") } else { Value::Null }, "{method}: {done}");
        }
        let fetched = world.ok("files/download", json!({"path": "a", "localPath": world.path("a")})).await;
        assert_eq!(fetched.get("notices"), None, "{fetched}");
        // It is as the notice says.
        world.ok("sessions/stop", json!({})).await;
        let files = world.ok("files/list", json!({})).await;
        assert_eq!(files["entries"].as_array().unwrap().is_empty(), snapshot, "{files}");
        world.end().await;
    }
}
