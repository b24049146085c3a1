//! A stream and its readers: nobody waits in vain, everybody gets everything once and in order, and one end.

use super::explore;
use crate::feed::{Entry, Feed, Limits, Next, Reader};
use shuttle::future::{block_on, spawn};
use shuttle::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// Entries that are written.
const WRITTEN: u64 = 4;

/// Its number; what is left of lost ones is how many they were.
#[derive(Debug, Clone)]
struct Number(u64);

impl Entry for Number {
    type Rest = u64;

    fn bytes(&self) -> usize {
        1
    }

    fn fold_into(&self, rest: &mut u64) {
        *rest += 1;
    }
}

type Numbers = Feed<Number, &'static str>;

/// Keeps less than is written.
fn feed(needs_readers: bool) -> Arc<Numbers> {
    Arc::new(Feed::new(Limits { entries: 2, bytes: 100 }, needs_readers))
}

async fn write(feed: Arc<Numbers>) {
    for number in 1..=WRITTEN {
        let entry = Number(number);
        feed.wait_for_room(&entry).await;
        feed.write(entry);
    }
    feed.end("done");
}

/// Reads to the end. Gives how many entries were lost.
async fn read(mut reader: Reader<Number, &'static str>) -> u64 {
    let (mut last, mut lost) = (0, 0);
    loop {
        match reader.next().await {
            Next::Entries(entries) => {
                for entry in entries {
                    assert_eq!(entry.0, last + 1, "an entry is missing or comes twice");
                    last = entry.0;
                }
            }
            Next::Lost { after, until, rest } => {
                assert_eq!((after, rest), (last, until), "what was lost is told wrongly");
                lost += until - last;
                last = until;
            }
            Next::End(end) => {
                assert_eq!((last, end), (WRITTEN, "done"), "the end came too early");
                return lost;
            }
        }
    }
}

/// A reader that is alone loses nothing, however slow it is.
pub fn a_reader_alone_gets_everything() {
    explore(|| {
        block_on(async {
            let feed = feed(true);
            let reader = feed.join(|_| 0).expect("it has just begun");
            let reading = spawn(read(reader));
            let writing = spawn(write(feed));
            assert_eq!(reading.await.expect("the reader"), 0, "the only reader lost something");
            writing.await.expect("the writer");
        });
    });
}

/// Of several readers one sets the pace, and the others are told what they lost. Who waits for the end alone gets it.
pub fn several_readers_get_everything_in_order() {
    explore(|| {
        block_on(async {
            let feed = feed(true);
            let readers = [(); 2].map(|()| feed.join(|_| 0).expect("it has just begun"));
            let waiter = feed.join(|_| 0).expect("it has just begun");
            let reading = readers.map(|reader| spawn(read(reader)));
            let waiting = spawn(waiter.end());
            let writing = spawn(write(feed));
            for reading in reading {
                reading.await.expect("a reader");
            }
            assert_eq!(waiting.await.expect("who waits"), "done");
            writing.await.expect("the writer");
        });
    });
}

/// A reader that leaves holds the writer up no longer.
pub fn a_writer_continues_when_its_reader_leaves() {
    explore(|| {
        block_on(async {
            let feed = feed(false);
            let mut reader = feed.join(|_| 0).expect("it has just begun");
            let leaving = spawn(async move { drop(reader.next().await) });
            let writing = spawn(write(feed));
            leaving.await.expect("the reader");
            writing.await.expect("the writer");
        });
    });
}

/// The last reader leaves while another comes: the newcomer reads on, or hears how the run ended
/// that is being given up.
pub fn who_comes_while_the_last_reader_leaves_hears_the_end() {
    explore(|| {
        block_on(async {
            let feed = feed(true);
            let first = feed.join(|_| 0).expect("it has just begun");
            let leaving = spawn(async move { drop(first) });
            let is_given_up = Arc::new(AtomicBool::new(false));
            let coming = spawn({
                let (feed, is_given_up) = (Arc::clone(&feed), Arc::clone(&is_given_up));
                async move {
                    let mut is_in_time = false;
                    // As who follows a run does: once that has ended, what it left can be read.
                    let mut reader = loop {
                        let joined = feed.join(|_| {
                            is_in_time = !is_given_up.load(Ordering::SeqCst);
                            0
                        });
                        match joined {
                            Some(reader) => break reader,
                            None => drop(feed.ended().await),
                        }
                    };
                    loop {
                        if let Next::End(end) = reader.next().await {
                            assert!(!is_in_time || end == "done", "it was given up although somebody reads");
                            break end;
                        }
                    }
                }
            });
            let running = spawn(async move {
                // A run is given up when its last reader has left. If another one came in time, it may end by itself.
                tokio::select! {
                    biased;
                    () = feed.deserted() => {
                        is_given_up.store(true, Ordering::SeqCst);
                        feed.end("given up");
                        "given up"
                    }
                    () = write(Arc::clone(&feed)) => "done",
                }
            });
            leaving.await.expect("who leaves");
            let end = coming.await.expect("the newcomer");
            assert_eq!(end, running.await.expect("the run"), "it was told another end");
        });
    });
}
