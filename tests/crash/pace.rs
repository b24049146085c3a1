//! How many writes of saved state a second are committed, by how many callers at once. `cargo run -p cupola-crash --example pace`

use cupola::partition::sqlite::SqliteStore;
use cupola::partition::store::Store as _;
use cupola::partition::{AgentKey, Owner, Partition};
use cupola_protocol::isolation::{Isolation, IsolationModel};
use cupola_protocol::target::Target;
use std::time::{Duration, Instant};

/// How long each is measured.
const TIME: Duration = Duration::from_secs(5);

/// A partition of its own for each caller, as a user has.
fn partition(caller: usize) -> Partition {
    let target: Target = serde_json::from_str(r#"{"kind":"emulator"}"#).expect("a target");
    let agent = AgentKey::new(&target);
    let owner = Owner::new(&agent, &format!("caller-{caller}"), IsolationModel::Keys, &Isolation::default());
    Partition { agent, owner, version: None }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for callers in [1, 8, 64] {
        let directory = tempfile::tempdir().expect("a directory");
        let store = SqliteStore::new(directory.path().join("state.db")).expect("a thread");
        let write = async |caller: usize| {
            let (partition, mut written) = (partition(caller), 0_u32);
            let session = "session-one".parse().expect("an id");
            let started = Instant::now();
            while started.elapsed() < TIME {
                store.set_session(&partition, &session).await.expect("it is committed");
                written += 1;
            }
            written
        };
        let written: u32 = futures_util::future::join_all((0..callers).map(write)).await.iter().sum();
        println!("{callers:>2} callers: {:.0} writes a second", f64::from(written) / TIME.as_secs_f64());
    }
}
