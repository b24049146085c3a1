//! The framings: what is encoded comes back, and what comes back is the same however the bytes arrive.

use super::*;
use crate::fuzz::{Input, cuts, files, mutated, pieces};
use bolero::check;

/// All frames, and whether the bytes could be followed to their end.
fn decoded(framing: Framing, pieces: &[&[u8]]) -> (Vec<Bytes>, Option<String>) {
    let (mut decoder, mut buffer, mut frames) = (Decoder::new(framing), BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.next(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error.to_string())),
            }
        }
    }
    match decoder.last(&mut buffer) {
        Ok(last) => frames.extend(last),
        Err(error) => return (frames, Some(error.to_string())),
    }
    (frames, None)
}

#[test]
fn frames_are_the_same_wherever_the_bytes_are_cut() {
    let mut seeds = files("tests/transcripts");
    let message = r#"{"jsonrpc":"2.0","id":1,"method":"daemon/status"}"#;
    for line_end in ["\r\n", "\n"] {
        let one = format!("Content-Length: {}{line_end}{line_end}{message}", message.len());
        seeds.push(one.repeat(3).into_bytes());
        seeds.push(format!("{line_end}{one}{line_end}Content-Type: x{line_end}{one}").into_bytes());
    }
    let words =
        ["Content-Length: 3\r\n\r\n", "Content-Length: 99999999999\r\n\r\n", "content-length:0\n\n", "\r\n\r\n", "\n"];
    check!().with_generator((mutated(seeds, &words), cuts())).for_each(|(bytes, cuts): &(Input, Vec<u8>)| {
        for framing in [Framing::Lsp, Framing::Ndjson] {
            let whole = decoded(framing, &[bytes]);
            assert_eq!(decoded(framing, &pieces(bytes, cuts)), whole, "{framing:?}");
            let taken: usize = whole.0.iter().map(Bytes::len).sum();
            assert!(taken <= bytes.len(), "more was decoded than came");
        }
    });
}

#[test]
fn messages_come_back_as_they_were_sent() {
    let messages = mutated(files("tests/transcripts"), &[]);
    check!().with_generator((messages, cuts())).for_each(|(bytes, cuts): &(Input, Vec<u8>)| {
        let text = String::from_utf8_lossy(bytes);
        // A message is one line in one of the two framings, and never empty.
        let messages: Vec<&str> = text.lines().filter(|line| !line.trim_ascii().is_empty()).collect();
        for framing in [Framing::Lsp, Framing::Ndjson] {
            let mut sent = Vec::new();
            for message in &messages {
                framing.encode(message.as_bytes(), &mut sent);
            }
            let (frames, error) = decoded(framing, &pieces(&sent, cuts));
            assert_eq!(error, None);
            let came: Vec<_> = frames.iter().map(|frame| frame.strip_suffix(b"\n").unwrap_or(frame)).collect();
            assert_eq!(came, messages.iter().map(|message| message.as_bytes()).collect::<Vec<_>>(), "{framing:?}");
        }
    });
}
