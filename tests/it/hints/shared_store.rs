//! Hints about a shared store.

use super::{Check, Outcome as _, Stopped, advice, command};
use crate::support::finish;
use crate::support::store_server::{Engine, PASSWORD, SEALING_KEY, StoreServer};
use std::fs;
use std::process::Output;

const LIST: &str = "partitions list";

fn run_with(home: &Stopped, line: &str, key: &str) -> Output {
    finish(command(home, line).env("STORE_PASSWORD", PASSWORD).env("STORE_KEY", key))
}

fn run(home: &Stopped, line: &str) -> Output {
    run_with(home, line, SEALING_KEY)
}

/// The configuration for the next daemon.
fn configure(home: &Stopped, store: &str) {
    run(home, "stop --force");
    fs::create_dir_all(home.path(".config/cupola")).unwrap();
    fs::write(home.path(".config/cupola/config.toml"), format!("[store]\nkind = \"redis\"\n{store}")).unwrap();
}

#[test]
fn what_a_shared_store_refuses_is_mended_as_it_says() {
    let Some(mut server) = StoreServer::start(Engine::Valkey, &[]) else { return };
    let (home, good) = (Stopped::new(), server.settings_text());
    configure(&home, &good);
    assert!(run(&home, LIST).status.success());
    let save = "sessions create --emulator";

    server.kill();
    let given = advice("check that the store runs and that url").given_by(&run(&home, LIST));
    server.start_again();
    given.works(&run(&home, LIST)).done();

    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let given = advice("give the store more memory").given_by(&run(&home, save));
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    given.works(&run(&home, save)).done();

    server.command(&["REPLICAOF", "127.0.0.1", "1"]);
    let given = advice("to the address of the primary, then run").given_by(&run(&home, save));
    server.command(&["REPLICAOF", "NO", "ONE"]);
    given.works(&run(&home, save)).done();

    configure(&home, &format!("{good}replicas = 1\n"));
    let given = advice("appendonly yes and enough replicas").given_by(&run(&home, save));
    configure(&home, &good);
    given.works(&run(&home, save)).done();

    configure(&home, &good.replace("password", "# password"));
    let given = advice("check username and password in [store]").given_by(&run(&home, LIST));
    configure(&home, &good);
    given.works(&run(&home, LIST)).done();

    run(&home, "stop --force");
    let given = advice("use the sealingKey of the other daemons").given_by(&run_with(
        &home,
        LIST,
        "another-key-of-enough-characters-here",
    ));
    run(&home, "stop --force");
    given.works(&run(&home, LIST)).done();

    run(&home, "stop --force");
    let given = advice("correct [store] in the configuration file").given_by(&run_with(&home, LIST, "too short"));
    run(&home, "stop --force");
    given.works(&run(&home, LIST)).done();
    run(&home, "stop --force");
}

#[test]
fn a_store_whose_certificate_is_not_trusted_is_trusted_when_its_authority_is_named() {
    let Some(server) = StoreServer::start(Engine::Redis, &[]) else { return };
    let (home, good) = (Stopped::new(), server.settings_text());
    configure(&home, &good.replace("authorities", "# authorities"));
    let given = advice("authorities in [store] of the configuration").given_by(&run(&home, LIST));
    configure(&home, &good);
    given.works(&run(&home, LIST)).done();
    run(&home, "stop --force");
}

#[test]
fn what_doctor_finds_in_a_store_is_mended_as_it_says() {
    let Some(server) = StoreServer::start(Engine::Valkey, &[]) else { return };
    let home = Stopped::new();
    configure(&home, &format!("{}durability = \"memory\"\n", server.settings_text()));
    // The last line about the store is the warning.
    let warned = || Check::last_of(&run(&home, "doctor -o json"), "store");
    assert!(warned().hint().is_none());
    for (setting, wrong, right, hint) in [
        ("appendonly", "no", "yes", advice("set appendonly yes in the store")),
        ("maxmemory-policy", "allkeys-lru", "noeviction", advice("set maxmemory-policy noeviction")),
    ] {
        server.command(&["CONFIG", "SET", setting, wrong]);
        let given = hint.given_by(&warned());
        server.command(&["CONFIG", "SET", setting, right]);
        given.works(&warned()).done();
    }
    run(&home, "stop --force");
}
