//! A file on its way here, piece by piece: bounded in bytes, and in time by a lowest speed.

use super::answer::HttpAnswer;
use super::connections::innermost;
use super::error::FoundryError;
use super::meter::Meter;
use bytes::Bytes;
use cupola_protocol::count::counted;
use cupola_protocol::files::MAX_FILE_BYTES;
use std::time::Duration;
use tokio::time::Instant;

/// Most bytes that one download takes, a single file or a whole directory, 10 GiB. The service states no limit (contract
/// section 5); this one keeps a service that goes wrong from filling the disk.
pub const MAX_DOWNLOAD_BYTES: u64 = 10 * 1024 * 1024 * 1024;

/// How long nothing may come.
const STALL_LIMIT: Duration = Duration::from_mins(1);

/// The slowest download that is waited for, in bytes per second on average: a bad mobile connection.
const SLOWEST: u64 = 16 * 1024;

/// How long a download may be slower than that.
const SLOW_LIMIT: Duration = Duration::from_mins(2);

/// A file on its way here.
#[derive(Debug)]
pub struct Download {
    /// How many bytes it has, if the service says so.
    pub length: Option<u64>,
    response: reqwest::Response,
    meter: Meter,
    limit: u64,
    waited: Duration,
}

impl Download {
    fn of(response: reqwest::Response, most: u64) -> Result<Self, FoundryError> {
        let length = response.content_length();
        let limit = if length.is_some() { most } else { most.min(MAX_FILE_BYTES) };
        if length.is_some_and(|length| length > limit) {
            return Err(FoundryError::DownloadTooLarge { limit, length });
        }
        let meter = Meter::new(length.unwrap_or(limit));
        Ok(Self { length, response, meter, limit, waited: Duration::ZERO })
    }

    /// At most `most` bytes are taken; at most [`MAX_FILE_BYTES`] if the service does not say how many there are, because
    /// a body without a known length may never end.
    pub(super) fn new(answer: HttpAnswer, most: u64) -> Result<Self, FoundryError> {
        Self::of(answer.response, most)
    }

    /// The next bytes; `None` only when all of them have come. Time counts only while this is waited for.
    pub async fn next(&mut self) -> Result<Option<Bytes>, FoundryError> {
        let received = self.meter.bytes();
        let cut_off = |reason: String| FoundryError::CutOff { received, reason };
        let allowed = SLOW_LIMIT + Duration::from_secs(received / SLOWEST);
        let began = Instant::now();
        let left = allowed.saturating_sub(self.waited);
        let next = tokio::time::timeout(STALL_LIMIT.min(left), self.response.chunk()).await;
        self.waited += began.elapsed();
        match next {
            Err(_) if left < STALL_LIMIT => Err(cut_off(format!("it came slower than {SLOWEST} bytes per second"))),
            Err(_) => Err(cut_off(format!("nothing came for {} s", STALL_LIMIT.as_secs()))),
            Ok(Err(error)) => Err(cut_off(innermost(&error))),
            Ok(Ok(None)) => match self.length {
                Some(length) if length != received => {
                    Err(cut_off(format!("it should have {}", counted(length, "byte"))))
                }
                _ => Ok(None),
            },
            Ok(Ok(Some(bytes))) => match (self.meter.take(bytes.len()), self.length) {
                (Ok(()), _) => Ok(Some(bytes)),
                (Err(_), None) if self.meter.bytes() > self.limit => {
                    Err(FoundryError::DownloadTooLarge { limit: self.limit, length: None })
                }
                (Err(excess), _) => Err(cut_off(excess.to_string())),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cupola_protocol::error::ErrorKind;
    use futures_util::{Stream, StreamExt as _, stream};
    use std::io;

    /// A file whose length is not stated.
    fn endless(pieces: impl Stream<Item = Bytes> + Send + 'static, most: u64) -> Download {
        let body = reqwest::Body::wrap_stream(pieces.map(Ok::<_, io::Error>));
        Download::of(http::Response::new(body).into(), most).unwrap()
    }

    /// How many bytes were taken, and why no more.
    async fn read(mut download: Download) -> (u64, FoundryError) {
        let mut taken = 0;
        loop {
            match download.next().await {
                Ok(Some(bytes)) => taken += bytes.len() as u64,
                Ok(None) => panic!("it ended as if it were whole"),
                Err(error) => return (taken, error),
            }
        }
    }

    #[tokio::test]
    async fn an_endless_file_is_taken_up_to_the_limit() {
        let piece = Bytes::from(vec![0; 1024 * 1024]);
        for (most, limit) in [(MAX_DOWNLOAD_BYTES, MAX_FILE_BYTES), (3 * 1024 * 1024, 3 * 1024 * 1024)] {
            let piece = piece.clone();
            let (taken, error) = read(endless(stream::repeat_with(move || piece.clone()), most)).await;
            assert_eq!((taken, error.kind()), (limit, ErrorKind::FileTooLarge), "{error}");
        }
    }

    #[test]
    fn a_file_that_says_it_is_too_large_is_not_begun() {
        let body = Bytes::from(vec![0; 100]);
        let begin = |most| Download::of(http::Response::new(body.clone()).into(), most);
        assert_eq!(begin(100).unwrap().length, Some(100));
        let error = begin(99).unwrap_err();
        assert_eq!(error.to_string(), "the file has 100 bytes; a download takes at most 99");
    }

    #[tokio::test(start_paused = true)]
    async fn a_download_that_trickles_is_given_up_and_a_slow_one_is_not() {
        let drip = |bytes: usize| {
            stream::repeat(()).then(move |()| async move {
                tokio::time::sleep(Duration::from_secs(30)).await;
                Bytes::from(vec![0; bytes])
            })
        };
        let (taken, error) = read(endless(drip(1), MAX_DOWNLOAD_BYTES)).await;
        assert!(
            (3..=4).contains(&taken) && error.to_string().contains("slower than 16384 bytes per second"),
            "{error}"
        );
        // A little above the lowest speed: as far as any file whose length is not stated.
        let (taken, error) = read(endless(drip(500 * 1024), MAX_DOWNLOAD_BYTES)).await;
        assert!(taken > MAX_FILE_BYTES - 500 * 1024 && error.kind() == ErrorKind::FileTooLarge, "{taken}: {error}");
        let silent = stream::iter([Bytes::from("a")]).chain(stream::pending());
        let (taken, error) = read(endless(silent, MAX_DOWNLOAD_BYTES)).await;
        assert_eq!((taken, error.to_string().as_str()), (1, "the file broke off after 1 bytes: nothing came for 60 s"));
    }
}
