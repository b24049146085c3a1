//! Interleaved rounds, and what their times say.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// No case runs longer than this, however slow the machine is.
const LIMIT: Duration = Duration::from_secs(40);
/// Rounds before anything counts: page cache, branch predictors and clock speed settle.
const WARM_UP: usize = 10;

/// The times of one thing, sorted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// Of times in any order.
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The middle one.
    pub(crate) fn median(&self) -> Duration {
        self.at(1, 2)
    }

    /// What 99 of 100 stay within.
    pub(crate) fn p99(&self) -> Duration {
        self.at(99, 100)
    }

    /// What 95 of 100 stay within.
    pub(crate) fn p95(&self) -> Duration {
        self.at(95, 100)
    }

    pub(crate) const fn count(&self) -> usize {
        self.0.len()
    }

    fn at(&self, part: usize, of: usize) -> Duration {
        self.0.get((self.0.len() * part / of).min(self.0.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// Something that can be run repeatedly.
pub(crate) type Run<'a> = &'a mut dyn FnMut() -> Result<(), String>;

/// Runs all of these in turns, so that whatever else the machine does hits all alike. Gives the times of each.
pub(crate) fn interleaved<const N: usize>(rounds: usize, mut runs: [Run<'_>; N]) -> Result<[Times; N], String> {
    for _ in 0..WARM_UP {
        runs.iter_mut().try_for_each(|run| run())?;
    }
    let begin = Instant::now();
    let mut times = [(); N].map(|()| Vec::new());
    for round in 0..rounds {
        if begin.elapsed() > LIMIT {
            break;
        }
        // Who goes first alternates, because the next one may find the caches of the one before.
        let mut pairs: Vec<_> = runs.iter_mut().zip(&mut times).collect();
        if round % 2 == 1 {
            pairs.reverse();
        }
        for (run, times) in pairs {
            times.push(timed(run)?);
        }
    }
    Ok(times.map(Times::of))
}

/// The times of one thing alone.
pub(crate) fn alone(rounds: usize, run: Run<'_>) -> Result<Times, String> {
    interleaved(rounds, [run]).map(|[times]| times)
}

/// How long it takes.
pub(crate) fn timed(run: &mut dyn FnMut() -> Result<(), String>) -> Result<Duration, String> {
    let started = Instant::now();
    run()?;
    Ok(started.elapsed())
}

/// Keeps this process, and those that it starts meanwhile, on one processor: what is measured is then their work and the changes between
/// them. On several, the same round trip takes 10 or 40 microseconds, depending on how deep an idle processor sleeps. False where the
/// system cannot do it.
pub(crate) fn on_one_processor() -> bool {
    on_processors("0")
}

/// Lets this process run everywhere again, and those that it starts from now on.
pub(crate) fn on_all_processors() {
    let last = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let all = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_else(|_| format!("0-{}", last - 1));
    on_processors(all.trim());
}

fn on_processors(list: &str) -> bool {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "--pid", list, &std::process::id().to_string()]).stdout(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Bytes in a MiB.
pub(crate) const MIB: f64 = 1024.0 * 1024.0;

/// A count as a figure. Counts here stay far below `u32::MAX`.
pub(crate) fn float(count: impl TryInto<u32>) -> f64 {
    count.try_into().map_or(f64::INFINITY, f64::from)
}

/// Microseconds.
pub(crate) fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// One time as a multiple of another.
pub(crate) fn ratio(ours: Duration, theirs: Duration) -> f64 {
    ours.as_secs_f64() / theirs.as_secs_f64().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_round_does_not_move_the_median() {
        let times = Times::of([5, 4, 900, 6, 5].into_iter().map(Duration::from_millis).collect());
        assert_eq!((times.median(), times.p99()), (Duration::from_millis(5), Duration::from_millis(900)));
        assert_eq!(Times::default().median(), Duration::ZERO);
    }

    #[test]
    fn all_run_equally_often() {
        let (mut ours, mut theirs) = (0, 0);
        let times = interleaved(
            7,
            [
                &mut || {
                    ours += 1;
                    Ok(())
                },
                &mut || {
                    theirs += 1;
                    Ok(())
                },
            ],
        );
        assert_eq!(times.unwrap().map(|times| times.count()), [7, 7]);
        assert_eq!((ours, theirs), (17, 17));
    }
}
