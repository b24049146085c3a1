//! Hints about files: transfers, directories, and files in pieces.

use super::advice;
use crate::files::World;
use crate::tenants::say;
use cupola_emulator::Undocumented;
use cupola_emulator::faults::Fault;
use serde_json::{Value, json};
use std::fs;

#[tokio::test]
async fn files_and_directories_are_named_as_they_are() {
    let mut world = World::start().await;
    let file = world.write("a", "x");
    let directory = world.path("");
    let tree = world.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(world.local.path().join("tree/b"), "x").unwrap();
    world.ok("files/upload", json!({"localPath": file, "path": "data/a"})).await;
    for (hint, method, refused, followed) in [
        (
            advice("to transfer a directory, add --recursive"),
            "files/upload",
            json!({"localPath": tree, "path": "b"}),
            vec![json!({"localPath": tree, "path": "b", "recursive": true})],
        ),
        (
            advice("to transfer a directory, add --recursive"),
            "files/download",
            json!({"path": "data", "localPath": world.path("back")}),
            vec![json!({"path": "data", "localPath": world.path("back"), "recursive": true})],
        ),
        (
            advice("name the file to write with --target-path"),
            "files/download",
            json!({"path": "data/a", "localPath": directory}),
            vec![json!({"path": "data/a", "localPath": world.path("copy")})],
        ),
        (
            advice("choose another name with --target-path"),
            "files/upload",
            json!({"localPath": file, "path": "data"}),
            vec![json!({"localPath": file, "path": "data-2"})],
        ),
        (
            advice("to delete a directory with all that is in it, add --recursive"),
            "files/delete",
            json!({"path": "data"}),
            vec![json!({"path": "data", "recursive": true})],
        ),
        (
            advice("if none of yours are there, check the isolation keys"),
            "files/download",
            json!({"path": "none", "localPath": world.path("none")}),
            vec![],
        ),
    ] {
        let mut given = hint.given_by(&world.call(method, refused).await);
        for params in followed {
            given = given.works(&world.call(method, params).await);
        }
        given.works(&world.call("files/list", json!({})).await).done();
    }
    let other = say(&mut world.client, &world.target, json!({"userKey": "contoso"}), "hello").await;
    assert!(other["sessionId"].is_string());
    let lost = world.call("files/delete", json!({"path": "a", "isolation": {"userKey": "contoso"}})).await;
    let given = advice("if none of yours are there, check the isolation keys").given_by(&lost);
    world.ok("files/upload", json!({"localPath": file, "path": "a"})).await;
    given.works(&world.call("files/stat", json!({"path": "a"})).await).done();
    // One that is longer than the service takes.
    let status = 413.try_into().unwrap();
    let refusal = Fault::Status { status, headers: std::collections::BTreeMap::new().try_into().unwrap(), body: None };
    world.emulator.fail("*/files/content", 1, refusal);
    let upload = |path: &str| json!({"localPath": file, "path": path});
    let given = advice("split the file: the service takes at most 50 MB");
    let given = given.given_by(&world.call("files/upload", upload("whole")).await);
    given.works(&world.call("files/upload", upload("part-1")).await).done();
    world.end().await;
}

#[tokio::test]
async fn a_download_that_breaks_off_is_run_again() {
    let mut world = World::start().await;
    let file = world.write("a", "text ".repeat(1000));
    world.ok("files/upload", json!({"localPath": file, "path": "a"})).await;
    let download = json!({"path": "a", "localPath": world.path("back")});
    world.emulator.fail("*/files/content", 1, Fault::Cut { after_bytes: 100 });
    let given =
        advice("run the command again; nothing was").given_by(&world.call("files/download", download.clone()).await);
    given.works(&world.call("files/download", download).await).done();
    world.end().await;
}

#[tokio::test]
async fn a_service_that_makes_no_directories_and_shows_no_file_is_worked_with() {
    let mut world =
        World::with(|options| options.without = vec![Undocumented::MakeDirectory, Undocumented::Stat]).await;
    let file = world.write("a", "x");
    let given = advice("upload a file into the directory instead")
        .given_by(&world.call("files/mkdir", json!({"path": "d"})).await);
    let given = given.works(&world.call("files/upload", json!({"localPath": file, "path": "d/a"})).await);
    given.works(&world.call("files/list", json!({"path": "d"})).await).done();
    let given = advice("`cupola files list` shows the files there are");
    let given = given.given_by(&world.call("files/stat", json!({"path": "d/none"})).await);
    given.works(&world.call("files/list", json!({"path": "d"})).await).done();
    world.end().await;
}

#[tokio::test]
async fn pieces_of_a_file_come_in_their_order() {
    let mut world = World::start().await;
    let piece = |text: &str, more: Value| {
        let mut params = json!({"path": "a", "content": text, "isLast": false});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    let id = world.ok("files/write", piece("AAAA", json!({}))).await["writeId"].clone();
    let given = advice("send each piece when the one before it was answered");
    let given = given.given_by(&world.call("files/write", piece("AAAA", json!({"writeId": id, "offset": 9}))).await);
    let last = json!({"writeId": id, "offset": 3, "isLast": true});
    given.works(&world.call("files/write", piece("AAAA", last.clone())).await).done();
    let given = advice("begin again without the id").given_by(&world.call("files/write", piece("AAAA", last)).await);
    given.works(&world.call("files/write", piece("AAAA", json!({"isLast": true}))).await).done();

    let read = |more: Value| {
        let mut params = json!({"path": "a", "length": 1, "keepOpen": true});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    let id = world.ok("files/read", read(json!({}))).await["readId"].clone();
    let given = advice("leave offset out, or read without readId");
    let given = given.given_by(&world.call("files/read", read(json!({"readId": id, "offset": 0}))).await);
    let given = given.works(&world.call("files/read", read(json!({"readId": id}))).await);
    given.works(&world.call("files/read", read(json!({"offset": 0}))).await).done();

    let mut http = world.daemon.connect_http();
    let post =
        |params: Value| json!({"id": 1, "method": "files/write", "params": crate::files::mine(&world.target, params)});
    let given = advice("use the NDJSON or LSP framing to write a file in several pieces");
    let given = given.given_by(&http.post(&post(piece("AAAA", json!({})))).await);
    drop(http);
    given.works(&world.call("files/write", piece("AAAA", json!({}))).await).done();
    world.end().await;
}

#[tokio::test]
async fn files_in_pieces_that_are_too_many_or_still_under_way_are_waited_for() {
    let mut world = World::start().await;
    let begin = |number: usize| json!({"path": format!("f{number}"), "content": "", "isLast": false});
    let mut ids = Vec::new();
    for number in 0..8 {
        ids.push(world.ok("files/write", begin(number)).await["writeId"].clone());
    }
    let given = advice("or wait a minute: an idle one is closed").given_by(&world.call("files/write", begin(8)).await);
    world.ok("files/write", json!({"path": "f0", "content": "", "isLast": true, "writeId": ids[0]})).await;
    given.works(&world.call("files/write", begin(8)).await).done();

    world.emulator.fail("*/files/content", 1, Fault::Latency { milliseconds: 1500 });
    let params = json!({"path": "f1", "content": "AAAA", "isLast": true, "writeId": ids[1]});
    let id = world.client.request("files/write", crate::files::mine(&world.target, params.clone())).await;
    let refused = loop {
        let again = world.client.request("files/write", crate::files::mine(&world.target, params.clone())).await;
        let answer = world.client.next().await;
        assert_eq!(answer["id"], again, "{answer}");
        if !world.emulator.asked("PUT", "sessions").is_empty() {
            break answer;
        }
    };
    let given = advice("wait for the answer to the last piece").given_by(&refused);
    let answer = world.client.next().await;
    assert_eq!(answer["id"], id, "{answer}");
    given.works(&answer).done();
    world.end().await;
}
