//! Interleaved rounds and their medians.

use std::time::{Duration, Instant};

/// No case runs longer than this, however slow the machine is.
const LIMIT: Duration = Duration::from_secs(40);
/// Rounds before anything counts: page cache, branch predictors and clock speed settle.
const WARM_UP: usize = 10;

/// The medians of two things measured in turns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub ours: Duration,
    pub theirs: Duration,
    pub rounds: usize,
}

/// Runs `ours` and `theirs` in turns, so that whatever else the machine does hits both alike.
pub(super) fn interleaved(
    rounds: usize,
    mut ours: impl FnMut() -> Result<(), String>,
    mut theirs: impl FnMut() -> Result<(), String>,
) -> Result<Pair, String> {
    for _ in 0..WARM_UP {
        ours()?;
        theirs()?;
    }
    let begin = Instant::now();
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        if begin.elapsed() > LIMIT {
            break;
        }
        // Who goes first alternates, because the second may find the caches of the first.
        if round % 2 == 0 {
            our_times.push(timed(&mut ours)?);
            their_times.push(timed(&mut theirs)?);
        } else {
            their_times.push(timed(&mut theirs)?);
            our_times.push(timed(&mut ours)?);
        }
    }
    Ok(Pair { ours: median(&mut our_times), theirs: median(&mut their_times), rounds: our_times.len() })
}

/// The time that all but a twentieth of the rounds stay within.
pub(super) fn usual(rounds: usize, mut run: impl FnMut() -> Result<(), String>) -> Result<Duration, String> {
    for _ in 0..WARM_UP {
        run()?;
    }
    let mut times = (0..rounds).map(|_| timed(&mut run)).collect::<Result<Vec<_>, _>>()?;
    times.sort_unstable();
    Ok(times.get(times.len() * 19 / 20).copied().unwrap_or_default())
}

fn timed(run: &mut impl FnMut() -> Result<(), String>) -> Result<Duration, String> {
    let started = Instant::now();
    run()?;
    Ok(started.elapsed())
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_round_does_not_move_the_median() {
        let mut times: Vec<_> = [5, 4, 900, 6, 5].into_iter().map(Duration::from_millis).collect();
        assert_eq!(median(&mut times), Duration::from_millis(5));
        assert_eq!(median(&mut []), Duration::ZERO);
    }

    #[test]
    fn both_sides_run_equally_often() {
        let (mut ours, mut theirs) = (0, 0);
        let count = |counter: &mut i32| {
            *counter += 1;
            Ok(())
        };
        let pair = interleaved(7, || count(&mut ours), || count(&mut theirs)).unwrap();
        assert_eq!((ours, theirs, pair.rounds), (17, 17, 7));
    }
}
