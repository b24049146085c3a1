//! A caller that asks the emulator without Cupola: one keep-alive connection of reqwest, on a runtime of one thread.

use crate::bed::{Endpoint, Ids};
use crate::capture::Request;
use futures_util::StreamExt as _;
use reqwest::{Client, RequestBuilder};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// The caller, and the request it repeats.
pub(crate) struct Direct {
    runtime: Runtime,
    client: Client,
    request: RequestBuilder,
}

/// What a stream was like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Streamed {
    /// Server-sent events.
    pub(crate) events: usize,
    /// When the first of them was there, counted from the request.
    pub(crate) first: Duration,
    /// When all of them were.
    pub(crate) all: Duration,
}

impl Direct {
    /// A caller that sends what the daemon would send.
    pub(crate) fn new(request: &Request, ids: &Ids, endpoint: &Endpoint, body: String) -> Result<Self, String> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let client = Client::builder().no_proxy().build().map_err(|error| error.to_string())?;
        let mut builder = client.post(request.url(ids, endpoint));
        for (name, value) in request.headers(ids, endpoint) {
            builder = builder.header(name, value);
        }
        Ok(Self { runtime, client, request: builder.body(body) })
    }

    /// One request, and its whole answer.
    pub(crate) fn call(&self) -> Result<(), String> {
        self.stream().map(|_| ())
    }

    /// The same, with what its events were like.
    pub(crate) fn stream(&self) -> Result<Streamed, String> {
        let request = self.request.try_clone().and_then(|builder| builder.build().ok()).ok_or("no request")?;
        self.runtime.block_on(async {
            let started = Instant::now();
            let answer = self.client.execute(request).await.map_err(|error| error.to_string())?;
            if !answer.status().is_success() {
                return Err(format!("{}: {}", answer.status(), answer.text().await.unwrap_or_default()));
            }
            let (mut first, mut events, mut last) = (None, 0, 0);
            let mut body = answer.bytes_stream();
            while let Some(piece) = body.next().await {
                first.get_or_insert_with(|| started.elapsed());
                // An event ends with an empty line.
                for byte in piece.map_err(|error| error.to_string())? {
                    events += usize::from(byte == b'\n' && last == b'\n');
                    last = byte;
                }
            }
            Ok(Streamed { events, first: first.unwrap_or_default(), all: started.elapsed() })
        })
    }
}
