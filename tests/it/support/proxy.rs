//! A proxy that leads every host to one address: HTTP's `CONNECT` and SOCKS5 on the same port, with a user and a password if wanted.

use base64::Engine as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// First byte of SOCKS5.
const SOCKS5: u8 = 5;

/// The user and the password.
pub(crate) const USER: (&str, &str) = ("me", "hush");

/// Serves until it is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Proxy {
    /// Leads to `to`. With `asks_who`, only for [`USER`].
    pub(crate) async fn start(to: SocketAddr, asks_who: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let noted = Arc::clone(&asked);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let noted = Arc::clone(&noted);
                // A client that goes away ends its tunnel.
                tokio::spawn(async move { serve(stream, to, asks_who, &noted).await });
            }
        });
        Self { address, asked, serving }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The `HOST:PORT` that it was asked for since the last time, each once.
    pub(crate) fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.sort();
        asked.dedup();
        asked
    }
}

async fn serve(
    mut stream: TcpStream,
    to: SocketAddr,
    asks_who: bool,
    noted: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    let asked =
        if first[0] == SOCKS5 { socks(&mut stream, asks_who).await? } else { connect(&mut stream, asks_who).await? };
    let Some(asked) = asked else { return Ok(()) };
    noted.lock().unwrap().push(asked);
    let mut upstream = TcpStream::connect(to).await?;
    copy_bidirectional(&mut stream, &mut upstream).await.map(drop)
}

/// `CONNECT HOST:PORT HTTP/1.1` (RFC 9110, section 9.3.6).
async fn connect(stream: &mut TcpStream, asks_who: bool) -> std::io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let (user, password) = USER;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    let is_known = head.lines().any(|line| line.eq_ignore_ascii_case(&format!("proxy-authorization: Basic {basic}")));
    if asks_who && !is_known {
        let refusal =
            "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(refusal.as_bytes()).await?;
        return Ok(None);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    Ok(head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).map(str::to_owned))
}

/// SOCKS5 (RFC 1928), and its user and password (RFC 1929).
async fn socks(stream: &mut TcpStream, asks_who: bool) -> std::io::Result<Option<String>> {
    let (_version, count) = (stream.read_u8().await?, stream.read_u8().await?);
    let mut methods = vec![0; count.into()];
    stream.read_exact(&mut methods).await?;
    let method = if asks_who { 2 } else { 0 };
    if !methods.contains(&method) {
        stream.write_all(&[SOCKS5, 0xff]).await?;
        return Ok(None);
    }
    stream.write_all(&[SOCKS5, method]).await?;
    if asks_who {
        let _version = stream.read_u8().await?;
        let given = (text(stream).await?, text(stream).await?);
        let is_known = given == (USER.0.to_owned(), USER.1.to_owned());
        stream.write_all(&[1, u8::from(!is_known)]).await?;
        if !is_known {
            return Ok(None);
        }
    }
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let host = match head[3] {
        1 => std::net::Ipv4Addr::from(stream.read_u32().await?).to_string(),
        3 => text(stream).await?,
        other => panic!("address type {other}"),
    };
    let port = stream.read_u16().await?;
    stream.write_all(&[SOCKS5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    Ok(Some(format!("{host}:{port}")))
}

/// A text behind its length.
async fn text(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut bytes = vec![0; stream.read_u8().await?.into()];
    stream.read_exact(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
