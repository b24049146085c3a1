//! Leases: what its holder has dropped is given back, also when it is lost and taken again at that moment.

use super::explore;
use crate::partition::redis::leases::table::{Key, State, Table};
use shuttle::future::{block_on, spawn, yield_now};
use std::collections::BTreeSet;
use std::sync::Arc;

const DAEMON: &str = "daemon-one";

fn key(token: &str) -> Key<&'static str> {
    (DAEMON, token.to_owned())
}

/// The store, for this model: the tokens that it has granted and that were not given back.
type Granted = Arc<shuttle::sync::Mutex<BTreeSet<String>>>;

async fn give_back_until_nothing_is_granted(table: Arc<Table<&'static str>>, granted: Granted) {
    while !granted.lock().expect("no panic").is_empty() {
        table.released().await;
        for (_, token) in table.take_released() {
            let was_granted = granted.lock().expect("no panic").remove(&token);
            assert!(was_granted || token == "lost", "{token} is given back twice");
        }
    }
}

/// Leases of several calls are dropped while they are given back.
pub fn every_lease_is_given_back_once() {
    explore(|| {
        block_on(async {
            let (table, granted) = (Arc::new(Table::default()), Granted::default());
            let tokens = ["first", "second", "third"];
            for token in tokens {
                granted.lock().expect("no panic").insert(token.to_owned());
                table.insert(key(token), State::Held);
            }
            let giving = spawn(give_back_until_nothing_is_granted(Arc::clone(&table), granted));
            for token in tokens {
                let table = Arc::clone(&table);
                spawn(async move { table.release(&key(token)) });
            }
            giving.await.expect("who gives back");
            assert!(table.all().is_empty());
        });
    });
}

/// A daemon's name is lost and taken again, and the daemon ends meanwhile: the name is still given back.
pub fn a_name_that_is_taken_again_while_its_daemon_ends_is_given_back() {
    explore(|| {
        block_on(async {
            let (table, granted) = (Arc::new(Table::default()), Granted::default());
            table.insert(key("lost"), State::Presence);
            granted.lock().expect("no panic").insert("again".to_owned());
            let renewing = spawn({
                let table = Arc::clone(&table);
                async move {
                    // It was lost: the store is asked for it again, which takes a while, and grants it.
                    yield_now().await;
                    table.replace(&key("lost"), "again".to_owned());
                }
            });
            let ending = spawn({
                let table = Arc::clone(&table);
                async move { table.release(&key("lost")) }
            });
            give_back_until_nothing_is_granted(Arc::clone(&table), granted).await;
            renewing.await.expect("who renews");
            ending.await.expect("the daemon");
            assert!(table.all().is_empty(), "something is kept that nobody has: {:?}", table.all());
        });
    });
}
