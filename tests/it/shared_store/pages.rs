//! Lists of partitions in parts, whichever engine keeps them.

use super::{on_every_engine, session};
use crate::shared_store::cost::count;
use crate::support::store_server::{Engine, StoreServer};
use cupola::partition::pages::{Among, Place};
use cupola::partition::store::{SavedPartition, Store};
use cupola::partition::{AgentKey, Owner, Partition};
use futures_util::future::join_all;
use serde_json::{Value, json};

fn agent(target: Value) -> AgentKey {
    AgentKey::new(&serde_json::from_value(target).unwrap())
}

fn partition(agent: &AgentKey, owner: u8, version: Option<&str>) -> Partition {
    let version = version.map(|version| version.parse().unwrap());
    Partition { agent: agent.clone(), owner: Owner::from_bytes(&[owner; 32]).unwrap(), version }
}

/// The order of keys.
fn key(partition: &Partition) -> (String, [u8; 32], String) {
    let version = partition.version.as_ref().map(ToString::to_string).unwrap_or_default();
    (partition.agent.as_str().to_owned(), *partition.owner.bytes(), version)
}

/// Saves them at the same time: each waits until it is on disk.
async fn save(store: &dyn Store, partitions: &[Partition]) {
    let saved = join_all(partitions.iter().map(async |partition| {
        store.set_session(partition, &session("session-one")).await.unwrap();
    }));
    saved.await;
}

/// Page after page, through the text that travels. `between` is done after each page.
async fn read(
    store: &dyn Store,
    among: &Among,
    most: usize,
    mut between: impl AsyncFnMut(usize),
) -> Vec<SavedPartition> {
    let (mut all, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = store.page(among, after.as_ref(), most).await.unwrap();
        assert!(page.partitions.len() <= most, "{page:?}");
        assert!(page.next.is_none() || page.partitions.len() == most, "a page is not full: {page:?}");
        all.extend(page.partitions);
        let Some(place) = page.next else { return all };
        after = Some(Place::read(&place.cursor(among), among).unwrap());
        between(pages).await;
        pages += 1;
        assert!(pages < 1000, "it does not end");
    }
}

#[tokio::test]
async fn pages_have_each_partition_of_a_list_once_in_the_order_of_keys() {
    let place = "http://127.0.0.1:9";
    let agents = [
        agent(json!({"kind": "emulator"})),
        agent(json!({"kind": "emulator", "agent": "versioned"})),
        agent(json!({"kind": "emulator", "url": place})),
        agent(json!({"kind": "emulator", "url": place, "agent": "zebra"})),
        // In another place, whose name begins with that of the one before.
        agent(json!({"kind": "emulator", "url": format!("{place}9")})),
        agent(json!({"kind": "local"})),
    ];
    let mut partitions = Vec::new();
    for agent in &agents {
        for owner in [0, 1, 0x3a, 0xfe, 0xff] {
            for version in [None, Some("1"), Some("10"), Some("2")] {
                partitions.push(partition(agent, owner, version));
            }
        }
    }
    // Not in the order of the keys.
    partitions.sort_by_key(|partition| partition.id().to_string());
    let mut lists = vec![Among::All];
    lists.extend(agents.iter().cloned().map(Among::Of));
    lists.extend(agents.iter().cloned().map(Among::Beside));
    for version in [None, Some("1"), Some("10")] {
        lists.extend([0, 0x3a, 0xff].map(|owner| Among::CoveredBy(partition(&agents[2], owner, version))));
    }
    on_every_engine(async |open| {
        let store = open().0;
        save(&*store, &partitions).await;
        // An agent of which nothing is saved any more.
        let gone = partition(&agent(json!({"kind": "emulator", "agent": "gone"})), 1, None);
        store.set_session(&gone, &session("session-gone")).await.unwrap();
        store.forget(&[gone]).await.unwrap();
        let mut all = store.list().await.unwrap();
        all.sort_by_key(|saved| key(&saved.partition));
        assert_eq!(all.len(), partitions.len());
        for among in &lists {
            let expected: Vec<_> = all.iter().filter(|saved| among.has(&saved.partition)).cloned().collect();
            assert!(!expected.is_empty(), "{among:?}");
            for most in [1, 3, 20, expected.len(), expected.len() + 1] {
                assert_eq!(read(&*store, among, most, async |_| ()).await, expected, "{most} of {among:?}");
            }
        }
        let none = Among::Of(agent(json!({"kind": "local", "port": 1})));
        assert_eq!(store.page(&none, None, 1).await.unwrap(), cupola::partition::store::Page::default());
    })
    .await;
}

#[tokio::test]
async fn what_is_there_all_the_time_is_in_one_page_whatever_is_written_and_forgotten_meanwhile() {
    on_every_engine(async |open| {
        let ((store, _), (other, _)) = (open(), open());
        let agents = ["first", "second"].map(|name| agent(json!({"kind": "emulator", "agent": name})));
        let (mut staying, mut leaving) = (Vec::new(), Vec::new());
        for agent in &agents {
            for owner in (0..60).step_by(2) {
                let partition = partition(agent, owner, None);
                if owner % 6 == 0 { leaving.push(partition) } else { staying.push(partition) }
            }
        }
        save(&*store, &[staying.as_slice(), &leaving].concat()).await;
        let mut forgotten = leaving.iter();
        let read = read(&*store, &Among::All, 5, async |page| {
            // The last one that was read is forgotten, too, and those before and behind it change and come.
            if let Some(partition) = forgotten.next() {
                other.forget(std::slice::from_ref(partition)).await.unwrap();
            }
            let added = [page * 5 + 1, 59 - (page * 5) % 60]
                .map(|number| partition(&agents[page % 2], u8::try_from(number % 60).unwrap() | 1, None));
            save(&*other, &added).await;
            save(&*other, &[staying[(page * 7) % staying.len()].clone()]).await;
        })
        .await;
        let mut seen: Vec<_> = read.iter().map(|saved| key(&saved.partition)).collect();
        assert!(seen.is_sorted(), "{seen:?}");
        seen.dedup();
        assert_eq!(seen.len(), read.len(), "a partition was given twice");
        for partition in &staying {
            assert!(seen.binary_search(&key(partition)).is_ok(), "{partition:?} was left out");
        }
        assert!(read.len() > staying.len(), "nothing that was added was seen");
    })
    .await;
}

#[tokio::test]
async fn a_page_reads_its_own_partitions_in_the_store_and_no_others() {
    let Some(server) = StoreServer::start(Engine::Valkey, &[]) else { return };
    let (store, agent) = (server.open(), agent(json!({"kind": "emulator"})));
    // An agent of which nothing is saved any more is not asked for its partitions.
    let gone = partition(&self::agent(json!({"kind": "emulator", "agent": "abandoned"})), 1, None);
    save(&store, std::slice::from_ref(&gone)).await;
    store.forget(&[gone]).await.unwrap();
    // From now on the store knows the script.
    save(&store, &[partition(&agent, 255, None)]).await;
    store.page(&Among::All, None, 1).await.unwrap();
    let mut costs = Vec::new();
    for owners in [0..20, 20..200] {
        save(&store, &owners.map(|owner| partition(&agent, owner, None)).collect::<Vec<_>>()).await;
        let before = server.command(&["INFO", "commandstats"]);
        let first = store.page(&Among::All, None, 5).await.unwrap();
        let second = store.page(&Among::All, first.next.as_ref(), 5).await.unwrap();
        assert_eq!((first.partitions.len(), second.partitions.len()), (5, 5));
        let behind = server.command(&["INFO", "commandstats"]);
        let commands = ["hgetall", "zrevrange", "evalsha"];
        costs.push(commands.map(|command| count(&behind, command) - count(&before, command)));
    }
    // In each page, one more record shows that there is another.
    assert_eq!(costs, [[12, 2, 2], [12, 2, 2]]);
}

/// An earlier version gave each partition the time of its last change as score.
#[tokio::test]
async fn partitions_that_an_earlier_version_keeps_writing_are_in_pages_as_well() {
    let Some(server) = StoreServer::start(Engine::Valkey, &[]) else { return };
    let (store, agent) = (server.open(), agent(json!({"kind": "emulator"})));
    save(&store, &(0..10).map(|owner| partition(&agent, owner, None)).collect::<Vec<_>>()).await;
    let keys = server.command(&["KEYS", "*:ps"]);
    let set = keys.lines().find(|line| line.contains(":ps")).unwrap().trim().to_owned();
    let written_by_an_earlier_version = |owners: &[u8]| {
        let members: Vec<_> = owners.iter().map(|owner| format!("{}:", format!("{owner:02x}").repeat(32))).collect();
        let scored = members.iter().flat_map(|member| ["1764415200", member]);
        server.command(&["ZADD", &set].into_iter().chain(scored).collect::<Vec<_>>());
    };
    written_by_an_earlier_version(&[7, 0, 3]);
    let read = read(&store, &Among::All, 3, async |_| {
        // Some that were read, and some that were not.
        written_by_an_earlier_version(&[1, 5, 8]);
    })
    .await;
    let owners: Vec<_> = read.iter().map(|saved| saved.partition.owner.bytes()[0]).collect();
    assert_eq!(owners, (0..10).collect::<Vec<_>>());
}
