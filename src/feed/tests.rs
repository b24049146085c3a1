//! What every reader of a feed is promised, however fast or slow the others are.

use super::*;
use futures_util::FutureExt;

/// A word; what is left of lost words is the words in a row.
#[derive(Debug, Clone)]
struct Word(&'static str);

impl Entry for Word {
    type Rest = String;

    fn bytes(&self) -> usize {
        self.0.len()
    }

    fn fold_into(&self, rest: &mut String) {
        rest.push_str(self.0);
    }
}

fn feed(entries: usize, bytes: usize) -> Arc<Feed<Word, &'static str>> {
    Arc::new(Feed::new(Limits { entries, bytes }, true))
}

/// What a reader can have at once, as text: `abc` for entries, `[after-until rest]` for a loss, `.end`.
fn all(reader: &mut Reader<Word, &'static str>) -> String {
    let mut parts: Vec<String> = Vec::new();
    while let Some(next) = reader.next().now_or_never() {
        match next {
            Next::Entries(words) => parts.extend(words.iter().map(|word| word.0.to_owned())),
            Next::Lost { after, until, rest } => parts.push(format!("[{after}-{until} {rest}]")),
            Next::End(end) => {
                parts.push(format!(".{end}"));
                break;
            }
        }
    }
    parts.concat()
}

#[test]
fn what_is_kept_of_a_stream_that_has_ended_is_read_as_before() {
    let feed = feed(3, 100);
    let mut begun = feed.join(|_| 0).unwrap();
    for word in ["a", "b", "c", "d"] {
        feed.write(Word(word));
    }
    feed.end("done");
    feed.write(Word("late"));
    let mut late = feed.join(|_| 0).unwrap();
    let mut middle = feed.join(|_| 2).unwrap();
    assert_eq!(all(&mut begun), "[0-1 a]bcd.done");
    assert_eq!(all(&mut late), "[0-1 a]bcd.done");
    assert_eq!(all(&mut middle), "cd.done");
    assert_eq!(feed.inspect(|ring| (ring.bytes(), ring.whole())), (3, "abcd".to_owned()));
}

#[test]
fn everyone_reads_everything_once_from_where_they_want() {
    let feed = feed(10, 100);
    let mut first = feed.join(|_| 0).unwrap();
    feed.write(Word("a"));
    feed.write(Word("b"));
    assert_eq!(all(&mut first), "ab");
    let mut second = feed.join(|_| 0).unwrap();
    let mut third = feed.join(Ring::last).unwrap();
    let mut ahead = feed.join(|_| 99).unwrap();
    feed.write(Word("c"));
    assert_eq!(all(&mut first), "c");
    assert_eq!(all(&mut second), "abc");
    assert_eq!((all(&mut third), all(&mut ahead)), ("c".to_owned(), "c".to_owned()));
    feed.end("done");
    feed.end("twice");
    for reader in [&mut first, &mut second, &mut third] {
        assert_eq!(all(reader), ".done");
    }
    let mut late = feed.join(|_| 0).unwrap();
    assert_eq!(all(&mut late), "abc.done");
    assert_eq!(late.end().now_or_never(), Some("done"));
}

#[test]
fn a_reader_left_behind_is_told_what_it_lost_and_the_others_do_not_notice() {
    for (entries, bytes) in [(2, 100), (100, 2)] {
        let feed = feed(entries, bytes);
        let (mut quick, mut slow) = (feed.join(|_| 0).unwrap(), feed.join(|_| 0).unwrap());
        feed.write(Word("a"));
        assert_eq!((all(&mut quick), all(&mut slow)), ("a".to_owned(), "a".to_owned()));
        for word in ["b", "c", "d", "e"] {
            feed.wait_for_room(&Word(word)).now_or_never().unwrap();
            feed.write(Word(word));
            assert_eq!(all(&mut quick), word);
        }
        assert_eq!(all(&mut slow), "[1-3 abc]de");
        assert_eq!(feed.inspect(Ring::whole), "abcde");
    }
}

#[test]
fn an_entry_larger_than_the_bound_takes_the_place_of_all_others() {
    let feed = feed(10, 2);
    let mut reader = feed.join(|_| 0).unwrap();
    for word in ["a", "b", "large", "c"] {
        feed.write(Word(word));
    }
    assert_eq!(all(&mut reader), "[0-3 ablarge]c");
}

#[tokio::test]
async fn the_fastest_reader_sets_the_pace() {
    let feed = feed(2, 100);
    // Without a reader there is nothing to wait for.
    for word in ["a", "b", "c"] {
        feed.wait_for_room(&Word(word)).now_or_never().unwrap();
        feed.write(Word(word));
    }
    let mut only = feed.join(|ring| ring.last() - 2).unwrap();
    let indifferent = feed.join(|_| 0).unwrap().end();
    tokio::pin!(indifferent);
    assert!(futures_util::poll!(&mut indifferent).is_pending());
    let room = feed.wait_for_room(&Word("d"));
    tokio::pin!(room);
    assert!(futures_util::poll!(&mut room).is_pending(), "it would lose what its only reader has not read");
    assert_eq!(all(&mut only), "bc");
    room.await;
    feed.write(Word("d"));
    feed.write(Word("e"));
    let f = Word("f");
    let room = feed.wait_for_room(&f);
    tokio::pin!(room);
    assert!(futures_util::poll!(&mut room).is_pending());
    drop(only);
    room.await;
}

#[tokio::test]
async fn it_is_deserted_when_the_last_one_leaves() {
    let feed = feed(2, 100);
    assert!(feed.deserted().now_or_never().is_none(), "before anyone came");
    let (first, second) = (feed.join(|_| 0).unwrap(), feed.join(|_| 0).unwrap());
    assert_eq!(feed.readers(), 2);
    drop(first);
    assert!(feed.deserted().now_or_never().is_none());
    drop(second);
    feed.deserted().await;
    assert!(feed.join(|_| 0).is_none(), "a new reader needs another feed");
    feed.end("done");
    assert_eq!(all(&mut feed.join(|_| 0).unwrap()), ".done");
}

#[tokio::test]
async fn a_waiting_reader_is_woken_by_an_entry_and_by_the_end() {
    let feed = feed(2, 100);
    let mut reader = feed.join(|_| 0).unwrap();
    let writer = Arc::clone(&feed);
    let writing = tokio::spawn(async move {
        writer.write(Word("a"));
        tokio::task::yield_now().await;
        writer.end("done");
    });
    assert!(matches!(reader.next().await, Next::Entries(words) if words[0].0 == "a"));
    assert!(matches!(reader.next().await, Next::End("done")));
    writing.await.unwrap();
}

/// As from a connection: another task hands the writer one entry after the other.
#[tokio::test]
async fn a_reader_that_waits_for_a_busy_writer_takes_several_entries_at_once() {
    const ENTRIES: usize = 400;
    let feed = feed(ENTRIES, ENTRIES);
    let mut reader = feed.join(|_| 0).unwrap();
    let (sender, mut received) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        for _ in 0..ENTRIES {
            sender.send(Word("a")).await.unwrap();
        }
    });
    tokio::spawn(async move {
        while let Some(word) = received.recv().await {
            feed.write(word);
        }
        feed.end("done");
    });
    let reading = tokio::spawn(async move {
        let (mut reads, mut taken) = (0, 0);
        while let Next::Entries(entries) = reader.next().await {
            reads += 1;
            taken += entries.len();
        }
        (reads, taken)
    });
    let (reads, taken) = reading.await.unwrap();
    assert_eq!(taken, ENTRIES);
    assert!(reads < ENTRIES / 4, "{reads} reads");
}
