//! Files as bodies of HTTP, and `files upload` and `files download` of the command line, which use them.

use super::World;
use super::issuer::{Key, time};
use super::process::Running;
use crate::support::{PATIENCE, finish};
use cupola_emulator::faults::Fault;
use http::Method;
use serde_json::json;
use std::fs;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// More than is in memory at once: an upload goes to disk in several pieces.
fn large() -> Vec<u8> {
    (0..700_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[tokio::test]
async fn a_file_goes_in_and_out_as_it_is() {
    let world = World::new().await;
    let bearer = format!("Bearer {}", world.issuer.token("ada"));
    let answer = world.call("ada", "invoke", json!({"input": "remember the milk"})).await;
    let session = answer["result"]["sessionId"].as_str().unwrap();
    let put =
        |path: &str, body: Vec<u8>| world.http.put(world.url(path)).header("authorization", &bearer).body(body).send();
    let get = |path: &str| world.http.get(world.url(path)).header("authorization", &bearer).send();
    for (path, name, content) in [
        ("/files/a.bin", "a.bin", large()),
        ("/agents/notes/files/a.bin", "a.bin", b"shorter".to_vec()),
        ("/files/data/with%20blank/%C3%BC.txt", "data/with blank/ü.txt", b"hello".to_vec()),
        ("/files/empty", "empty", Vec::new()),
    ] {
        let answer = put(path, content.clone()).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["cupola-session"], session);
        assert!(answer.headers().contains_key("ratelimit-remaining"));
        let written: serde_json::Value = answer.json().await.unwrap();
        assert_eq!((&written["path"], &written["bytes"]), (&json!(name), &json!(content.len())), "{written}");
        assert_eq!((&written["isWritten"], &written["sessionId"]), (&json!(true), &json!(session)), "{written}");

        let answer = get(path).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.content_length()), (200, Some(content.len() as u64)), "{path}");
        assert_eq!(answer.headers()["cupola-session"], session);
        assert_eq!(answer.headers()["content-type"], "application/octet-stream");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert_eq!(answer.bytes().await.unwrap(), content, "{path}");
    }
    // As JSON-RPC sees it.
    let read = world.call("ada", "files/read", json!({"path": "data/with blank/ü.txt"})).await;
    assert_eq!(read["result"]["content"], "aGVsbG8=", "{read}");
    let missing = get("/files/nothing").await.unwrap();
    assert_eq!(missing.status(), 404);
    let said: serde_json::Value = missing.json().await.unwrap();
    assert_eq!(said["error"]["data"]["kind"], "notFound", "{said}");
    let deleted = world.http.delete(world.url("/files/a.bin")).header("authorization", &bearer).send().await.unwrap();
    assert_eq!(deleted.status(), 405);
    world.end().await;
}

#[tokio::test]
async fn a_part_of_a_file_is_never_taken_for_the_whole() {
    let world = World::new().await;
    let token = world.issuer.token("ada");
    world.call("ada", "invoke", json!({"input": "remember the milk"})).await;
    let bearer = format!("Bearer {token}");
    // What is too long is refused before it is sent, and what turns out to be too long as well.
    let announced = 50 * 1024 * 1024 + 1;
    for (head, body) in [
        (format!("content-length: {announced}\r\n"), Vec::new()),
        ("content-encoding: gzip\r\ncontent-length: 1\r\n".to_owned(), b"x".to_vec()),
    ] {
        let mut line = world.connect().await;
        let head = format!("PUT /files/x HTTP/1.1\r\nhost: localhost\r\nauthorization: {bearer}\r\n{head}\r\n");
        line.write_all(head.as_bytes()).await.unwrap();
        line.write_all(&body).await.unwrap();
        let mut answer = vec![0; 4096];
        let length = tokio::time::timeout(PATIENCE, line.read(&mut answer)).await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 413") || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    let chunks = futures_util::stream::iter((0..60).map(|_| Ok::<_, std::io::Error>(vec![0_u8; 1024 * 1024])));
    let body = reqwest::Body::wrap_stream(chunks);
    let answer = world.http.put(world.url("/files/x")).header("authorization", &bearer).body(body).send().await;
    // The gateway stops listening to the rest, so the client may see the end of the connection first.
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == 413));

    // A client that leaves in the middle has written nothing.
    let mut line = world.connect().await;
    let head = format!(
        "PUT /files/x HTTP/1.1\r\nhost: localhost\r\nauthorization: {bearer}\r\ncontent-length: 10\r\n\r\nhalf"
    );
    line.write_all(head.as_bytes()).await.unwrap();
    line.shutdown().await.unwrap();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, line.read_to_end(&mut rest)).await.unwrap();
    assert!(world.emulator.asked("PUT", "content").is_empty(), "a part was sent to the service");

    // A download that the service breaks off is broken off.
    let content = large();
    let put = world.http.put(world.url("/files/y")).header("authorization", &bearer).body(content.clone());
    assert_eq!(put.send().await.unwrap().status(), 200);
    world.emulator.fail("*/files/content*", 1, Fault::Cut { after_bytes: 100_000 });
    let answer = world.http.get(world.url("/files/y")).header("authorization", &bearer).send().await.unwrap();
    let read = answer.bytes().await;
    assert!(read.is_err(), "{} bytes of {} passed for the whole", read.unwrap().len(), content.len());
    world.end().await;
}

#[tokio::test]
async fn files_follow_the_grants_and_the_limits_of_calls() {
    let grants = "[[grants]]\nclaim = \"role\"\nvalue = \"reader\"\nmethods = [\"invoke\", \"files/read\"]";
    let world = World::with("callsPerMinute = 4", Key::p256("first"), "algorithm = \"ES256\"", grants).await;
    let mut claims = world.issuer.claims("ada");
    claims["role"] = json!("reader");
    let token = world.issuer.key.token(&claims);
    let bearer = format!("Bearer {token}");
    let say = json!({"id": 1, "method": "invoke", "params": {"input": "remember the milk"}});
    assert_eq!(world.post(&token, &say).await.status, 200);
    let headers = [("authorization", bearer.as_str())];
    let read = world.send(Method::GET, "/files/notes.txt", &headers, String::new()).await;
    assert_eq!((read.status.as_u16(), read.body.as_str()), (200, "the milk\n"), "{read:?}");
    assert_eq!(read.headers["ratelimit-remaining"], "2");
    let written = world.send(Method::PUT, "/files/notes.txt", &headers, "x".to_owned()).await;
    assert_eq!((written.status.as_u16(), written.kind().as_str()), (403, "outOfBounds"), "{written:?}");
    assert_eq!(world.send(Method::GET, "/files/notes.txt", &headers, String::new()).await.status, 200);
    let refused = world.send(Method::GET, "/files/notes.txt", &headers, String::new()).await;
    assert_eq!((refused.status.as_u16(), refused.kind().as_str()), (429, "rateLimited"), "{refused:?}");
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    assert_eq!(world.send(Method::GET, "/files/notes.txt", &[], String::new()).await.status, 401);
    claims["exp"] = json!(time(-100));
    let late = format!("Bearer {}", world.issuer.key.token(&claims));
    assert_eq!(
        world.send(Method::GET, "/files/notes.txt", &[("authorization", &late)], String::new()).await.status,
        401
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_move_files_and_directories_through_a_gateway() {
    let running = Running::start().await;
    let run = |arguments: &[&str]| {
        let mut command = running.home.command(&[&["files"], arguments].concat());
        command.current_dir(running.home.path(""));
        let output = finish(command);
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let invoked = finish(running.home.command(&["invoke", "--gateway", "mine", "hello"]));
    assert!(invoked.status.success());
    let content = large();
    fs::create_dir_all(running.home.path("tree/deep/empty")).unwrap();
    fs::write(running.home.path("tree/large.bin"), &content).unwrap();
    fs::write(running.home.path("tree/deep/ü 1.txt"), "hello").unwrap();

    let (ok, said) = run(&["upload", "tree/large.bin", "--gateway", "mine", "-o", "json"]);
    assert!(ok && said.contains("\"bytes\": 700000"), "{said}");
    let (ok, said) = run(&["download", "large.bin", "--target-path", "back.bin", "--gateway", "mine"]);
    assert!(ok, "{said}");
    assert!(fs::read(running.home.path("back.bin")).unwrap() == content);

    let (ok, said) = run(&["upload", "tree", "--recursive", "--gateway", "mine", "-o", "json"]);
    assert!(ok && said.contains("\"files\": 2") && said.contains("\"directories\": 3"), "{said}");
    let (ok, said) = run(&["download", "tree", "-r", "--target-path", "copy", "--gateway", "mine", "-o", "json"]);
    assert!(ok && said.contains("\"files\": 2"), "{said}");
    assert!(fs::read(running.home.path("copy/large.bin")).unwrap() == content);
    assert_eq!(fs::read_to_string(running.home.path("copy/deep/ü 1.txt")).unwrap(), "hello");
    assert!(running.home.path("copy/deep/empty").is_dir());

    // Another user, and another chat of the same one, have none of them.
    for flags in [&["--gateway", "other-user"][..], &["--gateway", "mine", "--chat", "work"]] {
        let (ok, said) = run(&[&["download", "large.bin", "--target-path", "theirs.bin"], flags].concat());
        assert!(!ok && !running.home.path("theirs.bin").exists(), "{flags:?}: {said}");
    }
    let (ok, said) = run(&["download", "nothing", "--gateway", "mine"]);
    assert!(!ok && !running.home.path("nothing").exists(), "{said}");
    // A line that was bound has no files of this machine.
    let secret = running.home.path("tree/deep/ü 1.txt").display().to_string();
    let (mut bridge, mut client) =
        running.home.attach(&["--gateway", "mine", "--only", "files/*"], crate::support::Framing::Ndjson);
    let params = json!({"localPath": secret, "target": {"kind": "gateway"}});
    let refused = client.call("files/upload", params).await;
    assert_eq!(refused["error"]["data"]["kind"], "outOfBounds", "{refused}");
    client.leave().await;
    assert!(bridge.ended().success());
    running.end().await;
}
