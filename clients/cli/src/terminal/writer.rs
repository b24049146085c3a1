//! A stream that makes what is written to it harmless, wherever its pieces are cut.

use super::harmless;
use std::io::{self, Write};

/// Longest beginning of a colour sequence that is kept for its end, in bytes. Longer ones are not colours.
const MAX_SEQUENCE_BYTES: usize = 32;

/// Passes text on to `out`. What may be the first half of something is held until the rest is there: a character in
/// several bytes, a carriage return, the sequence of a colour. Bytes that are not UTF-8 are shown as U+FFFD.
pub(crate) struct Harmless<Out: Write> {
    out: Out,
    /// Otherwise every byte passes.
    is_on: bool,
    held: Vec<u8>,
}

impl<Out: Write> Harmless<Out> {
    /// With `is_on` false it changes nothing.
    pub(crate) fn new(out: Out, is_on: bool) -> Self {
        Self { out, is_on, held: Vec::new() }
    }
}

impl<Out: Write> Write for Harmless<Out> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_on {
            return self.out.write(bytes);
        }
        let mut whole = std::mem::take(&mut self.held);
        whole.extend_from_slice(bytes);
        self.held = whole.split_off(whole.len() - unfinished(&whole));
        self.out.write_all(harmless::text(&String::from_utf8_lossy(&whole)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<Out: Write> Drop for Harmless<Out> {
    fn drop(&mut self) {
        if !self.held.is_empty() {
            // There is nowhere to report a failure.
            let _ = self.out.write_all(harmless::text(&String::from_utf8_lossy(&self.held)).as_bytes());
            let _ = self.out.flush();
        }
    }
}

/// How many bytes at the end may belong to something whose rest is not there yet.
fn unfinished(bytes: &[u8]) -> usize {
    if bytes.last() == Some(&b'\r') {
        return 1;
    }
    let window = &bytes[bytes.len().saturating_sub(MAX_SEQUENCE_BYTES)..];
    if let Some(start) = window.iter().rposition(|byte| *byte == 0x1b) {
        let sequence = &window[start + 1..];
        let is_open = match sequence.split_first() {
            None => true,
            Some((b'[', codes)) => codes.iter().all(|byte| byte.is_ascii_digit() || *byte == b';'),
            Some(_) => false,
        };
        if is_open {
            return sequence.len() + 1;
        }
    }
    let tail = bytes.utf8_chunks().last().map(|chunk| chunk.invalid()).unwrap_or_default();
    let is_cut = std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none());
    if is_cut { tail.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(pieces: &[&[u8]]) -> String {
        let mut out = Vec::new();
        let mut writer = Harmless::new(&mut out, true);
        for piece in pieces {
            writer.write_all(piece).unwrap();
        }
        drop(writer);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn wherever_a_text_is_cut_the_same_is_shown() {
        let evil = "\u{1b}]0;title\u{7}\u{1b}[31;1mred\u{1b}[0m a\r\nb\tc\u{9b}2J\u{202e}d\u{e0041}\rää日";
        let bytes = evil.as_bytes();
        let whole = "\u{fffd}]0;title\u{fffd}red a\nb\tc\u{fffd}2J\u{fffd}d\u{fffd}\u{fffd}ää日";
        assert_eq!(written(&[bytes]), whole);
        for cut in 0..bytes.len() {
            assert_eq!(written(&[&bytes[..cut], &bytes[cut..]]), whole, "cut at {cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(written(&single), whole, "byte by byte");
    }

    #[test]
    fn bytes_that_are_not_text_are_not_written() {
        assert_eq!(written(&[b"a\x9b2J\xff", b"\xc2", b"b"]), "a\u{fffd}2J\u{fffd}\u{fffd}b");
    }

    #[test]
    fn what_has_no_end_is_shown_when_the_stream_ends() {
        assert_eq!(written(&[b"a\xc2"]), "a\u{fffd}");
        assert_eq!(written(&[b"a\x1b[3"]), "a\u{fffd}[3");
        assert_eq!(written(&[b"a\r"]), "a\u{fffd}");
        // A sequence without an end is not kept for ever.
        let endless = [b"\x1b[".as_slice(), &b"1".repeat(100)].concat();
        let mut out = Vec::new();
        Harmless::new(&mut out, true).write_all(&endless).unwrap();
        assert!(out.len() > 90);
    }

    #[test]
    fn elsewhere_every_byte_passes() {
        let mut out = Vec::new();
        let mut writer = Harmless::new(&mut out, false);
        writer.write_all(b"\x1b[2J\xff\r\n\xc2").unwrap();
        drop(writer);
        assert_eq!(out, b"\x1b[2J\xff\r\n\xc2");
    }
}
