//! Streams: many events for one caller, one stream for many callers, and many streams.

use crate::Setting;
use crate::bed::{Bed, MESSAGE, USER_KEY};
use crate::capture;
use crate::direct::{Direct, Streamed};
use crate::line::{self, Framing, Line};
use crate::measure::{Times, ratio, us};
use crate::process::own_cpu;
use crate::report::{Report, Target, duration, pair};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Events of the long stream, one for each word: as many as the agent sends in a turn. Bytes of a word with its blank.
const EVENTS: usize = 10_000;
const WORD: usize = 64;
/// Repetitions of the long stream; each takes part of a second.
const LONG_ROUNDS: usize = 15;
/// Repetitions for the time to a first event.
const SHORT_ROUNDS: usize = 500;
/// Words of the stream that many follow, 1 ms apart.
const SHARED_WORDS: usize = 2000;
/// How many follow it.
const FOLLOWERS: [usize; 3] = [1, 16, 256];
/// Streams at once, their events, and the pause before each.
const STREAMS: usize = 1000;
const STREAM_EVENTS: u32 = 600;
const PAUSE: Duration = Duration::from_millis(50);
/// A thread of the benchmark reads one stream and needs little room.
const STACK: usize = 256 * 1024;

pub(crate) fn measure(setting: &Setting, report: &mut Report) -> Result<(), String> {
    let bed = Bed::start(setting)?;
    long_stream(&bed, report)?;
    followers(&bed, report)?;
    many_streams(&bed, report)
}

/// Row 3.
fn long_stream(bed: &Bed, report: &mut Report) -> Result<(), String> {
    let target = json!({"kind": "emulator", "url": bed.plain.url});
    let input = format!("stream {}", format!("{} ", "w".repeat(WORD - 1)).repeat(EVENTS).trim_end());
    let ids = bed.warm(&bed.plain)?;
    let request = capture::request(bed)?;
    let direct = |text: &str| Direct::new(&request, &ids, &bed.plain, request.body(&ids).replace(MESSAGE, text));
    let (long, short) = (direct(&input)?, direct("stream one two three")?);
    let call = |text: &str| Line::request(Framing::Lines, "invoke", &line::invoke(&target, USER_KEY, text, true));
    let (long_call, short_call) = (call(&input), call("stream one two three"));
    let mut line = bed.line()?;

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut daemon_cpu, mut caller_cpu) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..LONG_ROUNDS {
        let (before, own_before) = (bed.daemon().cpu()?, own_cpu()?);
        let streamed = stream(&mut line, &long_call)?;
        if streamed.events < EVENTS {
            return Err(format!("{} of {EVENTS} events came", streamed.events));
        }
        daemon_cpu += bed.daemon().cpu()?.saturating_sub(before);
        caller_cpu += own_cpu()?.saturating_sub(own_before);
        ours.push(streamed.all);
        theirs.push(long.stream()?.all);
    }
    let (ours, theirs) = (Times::of(ours).median(), Times::of(theirs).median());
    let value = (ratio(theirs, ours), "×");
    report.add(3, "10,000 events a second : direct", value, Target::AtLeast(0.9), pair(ours, theirs));
    let events = u32::try_from(EVENTS * LONG_ROUNDS).unwrap_or(u32::MAX);
    let (daemon_cpu, caller_cpu) = (daemon_cpu / events, caller_cpu / events);
    report.add(3, "daemon's CPU for an event", (us(daemon_cpu), "µs"), Target::None, "");
    let value = (ratio(caller_cpu, daemon_cpu), "×");
    report.add(3, "the benchmark's own CPU : the daemon's", value, Target::AtMost(0.5), "how light the caller is");

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..SHORT_ROUNDS {
        ours.push(stream(&mut line, &short_call)?.first);
        theirs.push(short.stream()?.first);
    }
    let (ours, theirs) = (Times::of(ours).median(), Times::of(theirs).median());
    let value = (us(ours) - us(theirs), "µs");
    report.add(3, "first event, later than direct", value, Target::AtMost(100.0), pair(ours, theirs));
    Ok(())
}

/// The first event of the service is the second message: the run is announced before it.
fn stream(line: &mut Line, request: &[u8]) -> Result<Streamed, String> {
    let started = Instant::now();
    line.send(request)?;
    line.read()?;
    line.read()?;
    let first = started.elapsed();
    let events = line.finish()? + 2;
    Ok(Streamed { events, first, all: started.elapsed() })
}

/// Row 4.
fn followers(bed: &Bed, report: &mut Report) -> Result<(), String> {
    let write = socket_write()?;
    let mut alone = Duration::ZERO;
    let mut events = 0;
    for count in FOLLOWERS {
        let shared = shared_stream(bed, count, false)?;
        if count == 1 {
            (alone, events) = (shared.cpu, shared.events);
            report.add(
                4,
                "daemon's CPU, 1 client",
                (us(shared.cpu) / 1e3, "ms"),
                Target::None,
                format!("{events} events"),
            );
            continue;
        }
        let more = u32::try_from((count - 1) * events).unwrap_or(u32::MAX);
        let bound = alone + write * more;
        report.add(
            4,
            format!("daemon's CPU, {count} clients : 1 client and the writes"),
            (ratio(shared.cpu, bound), "×"),
            Target::AtMost(1.2),
            format!("{}, a write {}", pair(shared.cpu, bound), duration(write)),
        );
    }
    let (fast, beside) = (shared_stream(bed, 16, false)?, shared_stream(bed, 16, true)?);
    let value = ((ratio(beside.took, fast.took) - 1.0) * 100.0, "%");
    let of = pair(beside.took, fast.took);
    report.add(4, "16 clients, what a 17th that does not read costs", value, Target::AtMost(5.0), of);
    Ok(())
}

struct Shared {
    cpu: Duration,
    took: Duration,
    events: usize,
}

/// One run, and this many clients that read it, the one who began it among them.
fn shared_stream(bed: &Bed, count: usize, has_sleeper: bool) -> Result<Shared, String> {
    let target = json!({"kind": "emulator", "url": bed.plain.url});
    let input = format!("slow {SHARED_WORDS} 1");
    let before = bed.daemon().cpu()?;
    let began = Instant::now();
    let mut first = bed.line()?;
    first.send(&Line::request(Framing::Lines, "invoke", &line::invoke(&target, USER_KEY, &input, true)))?;
    let started: Value = serde_json::from_slice(first.read()?).map_err(|error| error.to_string())?;
    let run = &started["params"]["value"]["runId"];
    let attach = Line::request(Framing::Lines, "runs/attach", &json!({"runId": run, "partialResultToken": "t"}));
    let mut sleeper = bed.line()?;
    if has_sleeper {
        sleeper.send(&attach)?;
    }
    let mut readers = Vec::new();
    for _ in 1..count {
        readers.push(follow(&bed.socket(), attach.clone())?);
    }
    let events = first.finish()? + 1;
    for reader in readers {
        let read = reader.join().map_err(|_| "a reader panicked")??;
        if read < events {
            return Err(format!("a follower got {read} of {events} events"));
        }
    }
    Ok(Shared { cpu: bed.daemon().cpu()?.saturating_sub(before), took: began.elapsed(), events })
}

type Reader<T> = thread::JoinHandle<Result<T, String>>;

fn follow(socket: &Path, request: Vec<u8>) -> Result<Reader<usize>, String> {
    let mut line = Line::connect(socket)?;
    spawn(move || line.exchange(&request))
}

fn spawn<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<Reader<T>, String> {
    thread::Builder::new().stack_size(STACK).spawn(work).map_err(|error| error.to_string())
}

/// What it costs a process to write one event to a socket whose reader waits, as a follower between two events does: CPU time of a
/// write of that size, which wakes the reader.
fn socket_write() -> Result<Duration, String> {
    const WRITES: usize = 5_000;
    const BYTES: usize = 300;
    /// After which the reader waits again.
    const REST: Duration = Duration::from_micros(200);
    let failed = |error: std::io::Error| error.to_string();
    let (mut writer, mut reader) = UnixStream::pair().map_err(failed)?;
    let reading = spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while reader.read(&mut buffer).map_err(|error| error.to_string())? > 0 {}
        Ok(())
    })?;
    let message = [b'x'; BYTES];
    let mut times = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        thread::sleep(REST);
        let before = thread_cpu();
        writer.write_all(&message).map_err(failed)?;
        times.push(thread_cpu().saturating_sub(before));
    }
    drop(writer);
    reading.join().map_err(|_| "the reader panicked")??;
    Ok(Times::of(times).median())
}

/// The CPU time of this thread.
fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Row 10. What an event comes later than the pause before it says: an upper bound of what the daemon adds, because it holds what the
/// emulator and this benchmark add as well.
fn many_streams(bed: &Bed, report: &mut Report) -> Result<(), String> {
    let target = json!({"kind": "emulator", "url": bed.plain.url});
    let input = format!("slow {STREAM_EVENTS} {}", PAUSE.as_millis());
    let mut readers = Vec::new();
    for number in 0..STREAMS {
        let params = line::invoke(&target, &format!("stream-{number:05}"), &input, true);
        let request = Line::request(Framing::Lines, "invoke", &params);
        let mut line = bed.line()?;
        readers.push(spawn(move || {
            line.send(&request)?;
            gaps(&mut line)
        })?);
    }
    let mut late = Vec::new();
    for reader in readers {
        let gaps = reader.join().map_err(|_| "a reader panicked")??;
        if gaps.len() + 1 < STREAM_EVENTS as usize {
            return Err(format!("a stream had {} of {STREAM_EVENTS} words", gaps.len() + 1));
        }
        late.extend(gaps.into_iter().map(|gap| gap.saturating_sub(PAUSE)));
    }
    let late = Times::of(late);
    let of = format!("of {} events, median {}", late.count(), duration(late.median()));
    let value = (us(late.p99()) / 1e3, "ms");
    report.add(10, "1,000 streams of 20 events a second, p99 late", value, Target::AtMost(10.0), of);
    Ok(())
}

/// The times between the words of a stream.
fn gaps(line: &mut Line) -> Result<Vec<Duration>, String> {
    let (mut gaps, mut last) = (Vec::new(), None);
    loop {
        let message = line.read()?;
        if line::is_answer(message) {
            return line::checked(message).map(|()| gaps);
        }
        if !message.windows(WORD_EVENT.len()).any(|window| window == WORD_EVENT) {
            continue;
        }
        let now = Instant::now();
        if let Some(last) = last.replace(now) {
            gaps.push(now.duration_since(last));
        }
    }
}

/// What the event of a word has in it.
const WORD_EVENT: &[u8] = b"\"type\":\"textDelta\"";
