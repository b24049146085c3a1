//! How much of one answer is taken. A peer that sends without end is cut off, and so is one that sends countless tiny
//! pieces: each costs a fixed amount of work, however few bytes it has. Pure.

/// Bytes that are taken of one turn's answer, a gigabyte. The longest text that is kept (32 MiB, see `run`) comes to about
/// as much when each event carries one token.
pub(super) const MAX_STREAM_BYTES: u64 = 1024 * 1024 * 1024;

/// Bytes without any content that are taken in a row, 1 MiB: comments and empty events of a stream, pings of a WebSocket. A
/// keep-alive of 15 bytes every 15 s (contract section 15) takes twelve days to get there.
pub(super) const MAX_NOISE_BYTES: usize = 1024 * 1024;

/// Pieces that are taken whatever their size: an answer of a million tokens that come one by one.
const FREE_PIECES: u64 = 1024 * 1024;

/// Beyond the free ones, pieces must have this many bytes on average. Half of a small event of the responses protocol.
const MIN_AVERAGE: u64 = 128;

/// An answer is longer than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Excess {
    #[error("it is longer than {0} bytes")]
    Bytes(u64),
    #[error("it came in more than {0} tiny pieces")]
    Pieces(u64),
}

/// Counts what has come of one answer.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    limit: u64,
    bytes: u64,
    pieces: u64,
}

impl Meter {
    /// Allows `limit` bytes.
    pub(super) const fn new(limit: u64) -> Self {
        Self { limit, bytes: 0, pieces: 0 }
    }

    /// Counts a piece of this many bytes. On an error it must not be taken.
    pub(super) const fn take(&mut self, bytes: usize) -> Result<(), Excess> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.pieces += 1;
        if self.bytes > self.limit {
            return Err(Excess::Bytes(self.limit));
        }
        if self.pieces > FREE_PIECES + self.bytes / MIN_AVERAGE {
            return Err(Excess::Pieces(FREE_PIECES));
        }
        Ok(())
    }

    /// How many bytes have come.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Default for Meter {
    /// For a turn's answer.
    fn default() -> Self {
        Self::new(MAX_STREAM_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_up_to_the_limit() {
        let mut meter = Meter::new(10);
        assert_eq!((meter.take(4), meter.take(6), meter.bytes()), (Ok(()), Ok(()), 10));
        assert_eq!(meter.take(1), Err(Excess::Bytes(10)));
    }

    #[test]
    fn tiny_pieces_are_counted_and_large_ones_are_not() {
        let taken = |bytes: usize| {
            let mut meter = Meter::default();
            (0..4 * FREE_PIECES).take_while(|_| meter.take(bytes).is_ok()).count() as u64
        };
        assert_eq!(taken(0), FREE_PIECES);
        assert!((FREE_PIECES..FREE_PIECES + FREE_PIECES / 100).contains(&taken(1)));
        // Events of the responses protocol may come until their bytes are too many.
        assert_eq!(taken(256), 4 * FREE_PIECES);
    }
}
