//! The first bytes of a connection: what they have once decided, no later byte changes.

use super::*;
use crate::fuzz::{Input, files, mutated};
use bolero::check;
use cupola_protocol::framing::{FirstBytes, HTTP_METHODS};

#[test]
fn first_bytes_decide_once() {
    let mut seeds = files("emulator/tests/fixtures/requests/sdk-2.10.0");
    seeds.push(b"Content-Length: 2\r\n\r\n{}".to_vec());
    seeds.push(b"content-type: application/json\r\nContent-Length: 2\r\n\r\n{}".to_vec());
    seeds.push(b"\r\n {\"id\":1}\n[]\n".to_vec());
    let words =
        ["Content-Length:", "content-type:", "POST ", "OPTIONS ", "PATCH", "{", "[", "\u{feff}", "PRI * HTTP/2.0"];
    check!().with_generator(mutated(seeds, &words)).for_each(|bytes: &Input| {
        let mut decided = FirstBytes::Undecided;
        for end in 0..=bytes.len().min(64) {
            let now = Framing::of(&bytes[..end]);
            assert!(decided == FirstBytes::Undecided || now == decided, "{decided:?} became {now:?} at {end}");
            decided = now;
        }
        if decided == FirstBytes::Http {
            let begin = bytes.trim_ascii_start();
            assert!(HTTP_METHODS.iter().any(|method| begin.starts_with(method)));
        }
    });
}
