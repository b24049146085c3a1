//! Hostile clients of HTTP/2, frame by frame (RFC 9113): each loses its own connection, and the gateway serves the others.

use super::World;
use crate::support::PATIENCE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frames.
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

/// Flags of HEADERS: it is the whole request; it is the whole head.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Codes of errors.
const PROTOCOL_ERROR: u32 = 1;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

/// `GET /healthz`: the method, the scheme, the authority, the path.
const REQUEST: &[u8] = b"\x82\x87\x41\x09localhost\x44\x08/healthz";
/// A method, and nothing else that a request must have.
const BROKEN: &[u8] = b"\x82";

/// How the heads of answers begin that have these statuses (RFC 7541): the one is in the static table, the other is a text.
const OK: &[u8] = b"\x88";
const TOO_LONG: &[u8] = b"\x48\x83\x69\x90\xff";

/// Most bytes of a frame that nothing else was agreed for.
const FRAME_BYTES: usize = 16 * 1024;

/// How often a flood does what it does.
const TIMES: u32 = 5_000;

/// How often a connection may do so before it is closed.
const TOLERATED: u32 = 32;

/// A frame that came.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    /// The head of an answer, compressed as it came.
    Head(u32, Vec<u8>),
    /// The end of one stream, and why.
    Reset(u32, u32),
    /// The end of the connection, and why.
    Goodbye(u32),
    End,
}

struct Peer(TlsStream<TcpStream>);

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The stream of the request with this number.
const fn id(number: u32) -> u32 {
    2 * number + 1
}

fn request(number: u32, head: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, id(number), head)
}

/// A request whose head has a field of this many bytes, in as many frames as it needs.
fn long_request(number: u32, bytes: usize) -> Vec<u8> {
    let mut head = [REQUEST, b"\x00\x06x-long\x7f"].concat();
    let mut rest = bytes - 0x7f;
    while rest >= 0x80 {
        head.push(0x80 | u8::try_from(rest % 0x80).unwrap());
        rest /= 0x80;
    }
    head.push(u8::try_from(rest).unwrap());
    head.resize(head.len() + bytes, b'x');
    let last = head.chunks(FRAME_BYTES).count() - 1;
    let piece = |(index, piece)| {
        let (kind, flags) = if index == 0 { (HEADERS, END_STREAM) } else { (CONTINUATION, 0) };
        frame(kind, flags | if index == last { END_HEADERS } else { 0 }, id(number), piece)
    };
    head.chunks(FRAME_BYTES).enumerate().flat_map(piece).collect()
}

/// Opens a stream and takes it back at once ("rapid reset").
fn open_and_reset(number: u32) -> Vec<u8> {
    [request(number, REQUEST), frame(RST_STREAM, 0, id(number), &CANCEL.to_be_bytes())].concat()
}

/// A request that the gateway has to reset.
fn broken(number: u32) -> Vec<u8> {
    request(number, BROKEN)
}

/// The first piece of a head, and then more of it without end.
fn endless_head(number: u32) -> Vec<u8> {
    if number == 0 { frame(HEADERS, END_STREAM, id(0), REQUEST) } else { frame(CONTINUATION, 0, id(0), &[]) }
}

impl Peer {
    async fn of(world: &World) -> Self {
        let mut peer = Self(world.connect_speaking(None, &[b"h2"]).await.unwrap());
        peer.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
        peer
    }

    /// What the gateway no longer takes is not written.
    async fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    /// Sends the request with this number, and gives whether the answer is that it is well.
    async fn is_served(&mut self, number: u32) -> bool {
        self.send(&request(number, REQUEST)).await;
        matches!(self.next().await, Came::Head(stream, head) if stream == id(number) && head.starts_with(OK))
    }

    /// The next head, reset or goodbye.
    async fn next(&mut self) -> Came {
        loop {
            let read = async {
                let mut head = [0; 9];
                self.0.read_exact(&mut head).await?;
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                let mut payload = vec![0; usize::try_from(length).unwrap()];
                self.0.read_exact(&mut payload).await?;
                let word = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().unwrap());
                std::io::Result::Ok((head[3], word(&head[5..]), payload.clone(), move |at: usize| word(&payload[at..])))
            };
            match tokio::time::timeout(PATIENCE, read).await.expect("nothing came") {
                Ok((HEADERS, stream, payload, _)) => return Came::Head(stream, payload),
                Ok((RST_STREAM, stream, _, word)) => return Came::Reset(stream, word(0)),
                Ok((GOAWAY, _, _, word)) => return Came::Goodbye(word(4)),
                Ok(_) => {}
                Err(_) => return Came::End,
            }
        }
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused_over_http_2_as_well() {
    let world = World::new().await;
    let mut peer = Peer::of(&world).await;
    peer.send(&long_request(0, 24 * 1024)).await;
    assert!(matches!(peer.next().await, Came::Head(1, head) if head.starts_with(OK)), "a token may have 16 KiB");
    peer.send(&long_request(1, 40 * 1024)).await;
    assert_eq!(peer.next().await, Came::Head(3, TOO_LONG.to_vec()), "431");
    assert!(peer.is_served(2).await, "the other requests of the connection have an answer");
    // One that does not end is not read to its end.
    peer.send(&long_request(3, 1024 * 1024)).await;
    assert_eq!((peer.next().await, peer.next().await), (Came::Goodbye(ENHANCE_YOUR_CALM), Came::End));
    assert!(Peer::of(&world).await.is_served(0).await);
    world.end().await;
}

#[tokio::test]
async fn a_flood_ends_its_own_connection_and_no_other() {
    let world = World::new().await;
    let mut other = Peer::of(&world).await;
    assert!(other.is_served(0).await);
    for (number, (name, one)) in
        [("resets", open_and_reset as fn(u32) -> Vec<u8>), ("broken requests", broken), ("a head", endless_head)]
            .into_iter()
            .enumerate()
    {
        let mut peer = Peer::of(&world).await;
        let flood: Vec<u8> = (0..TIMES).flat_map(one).collect();
        peer.send(&flood).await;
        let ended = loop {
            match peer.next().await {
                // Answers that were sent before there was too much of it.
                Came::Head(..) | Came::Reset(_, PROTOCOL_ERROR) => {}
                ended => break ended,
            }
        };
        assert_eq!((ended, peer.next().await), (Came::Goodbye(ENHANCE_YOUR_CALM), Came::End), "{name}");
        assert!(other.is_served(u32::try_from(number).unwrap() + 1).await, "{name}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_client_that_changes_its_mind_a_few_times_keeps_its_connection() {
    let world = World::new().await;
    for (one, is_answered) in [(open_and_reset as fn(u32) -> Vec<u8>, false), (broken, true)] {
        for more in [0, 1] {
            let mut peer = Peer::of(&world).await;
            // In one piece, so that the gateway has them all before it looks at the first.
            let some: Vec<u8> = (0..TOLERATED + more).flat_map(one).collect();
            peer.send(&some).await;
            if more > 0 {
                assert_eq!(peer.next().await, Came::Goodbye(ENHANCE_YOUR_CALM));
                continue;
            }
            for number in (0..TOLERATED).filter(|_| is_answered) {
                assert_eq!(peer.next().await, Came::Reset(id(number), PROTOCOL_ERROR));
            }
            assert!(peer.is_served(TOLERATED).await);
        }
    }
    world.end().await;
}
