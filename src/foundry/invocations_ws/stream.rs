//! The connection of a dialogue as a stream of reply items. Dropping it says goodbye and closes.

use super::super::meter::{Excess, MAX_NOISE_BYTES, Meter};
use super::super::observe::Observer;
use super::super::reply::ReplyItem;
use super::mapping::MessageMapping;
use super::metered::Metered;
use super::{MAX_SENT_BYTES, WebSocketTurn};
use cupola_protocol::invoke::{Notice, NoticeCode};
use futures_util::{SinkExt as _, Stream, StreamExt as _, stream};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

/// Longest message taken from an agent, in bytes: as long as the longest event of the other protocols.
const MAX_RECEIVED_BYTES: usize = 16 * 1024 * 1024;

/// Bytes read at once. Messages are small; the library would set aside 128 KiB for each dialogue.
const READ_BUFFER_BYTES: usize = 16 * 1024;

/// Bytes to be written that are gathered before the connection gets them: none. Messages are few, and each is to arrive.
const WRITE_BUFFER_BYTES: usize = 0;

/// Bytes to be written that may wait for the agent to read: our longest message with its header, and pongs. Past that, pings
/// are not answered until there is room.
const MAX_WRITE_BUFFER_BYTES: usize = MAX_SENT_BYTES + 4 * 1024;

/// Bytes that may come without completing a message: the longest message, and as much of headers and of pings between its
/// fragments as is taken anyway.
const MAX_UNFINISHED_BYTES: usize = MAX_RECEIVED_BYTES + MAX_NOISE_BYTES;

/// Bytes a ping or pong has besides its payload.
const CONTROL_HEADER_BYTES: usize = 2;

/// How long the other side may take to say goodbye in its turn.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

type Socket = WebSocketStream<Metered<reqwest::Upgraded>>;

/// What happens next on the connection.
enum Step {
    /// All our messages have been sent.
    Sent,
    /// A message, an error, or the connection's end came.
    Received(Option<Result<Message, Error>>),
    /// The agent has been silent for too long.
    FellSilent,
}

pub(super) struct Messages {
    /// `None` once the dialogue has ended.
    socket: Option<Socket>,
    /// What is still to be said.
    unsent: VecDeque<Message>,
    items: VecDeque<ReplyItem>,
    mapping: MessageMapping,
    /// Counts the messages: each costs something, and none need say anything.
    meter: Meter,
    /// Bytes of pings and pongs since the latest message.
    noise: usize,
    idle_limit: Option<Duration>,
    /// When the agent has been silent for too long: runs from its latest message on.
    silent_at: Option<Instant>,
    observer: Option<Observer>,
}

impl Messages {
    pub(super) async fn begin(
        connection: reqwest::Upgraded,
        dialogue: &WebSocketTurn<'_>,
        mapping: MessageMapping,
        observer: Option<Observer>,
    ) -> impl Stream<Item = ReplyItem> + Send + use<> {
        let limits = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES)
            .max_message_size(Some(MAX_RECEIVED_BYTES))
            .max_frame_size(Some(MAX_RECEIVED_BYTES));
        let connection = Metered::new(connection, MAX_UNFINISHED_BYTES);
        let messages = Self {
            socket: Some(WebSocketStream::from_raw_socket(connection, Role::Client, Some(limits)).await),
            unsent: dialogue.messages.iter().map(|message| Message::text(*message)).collect(),
            items: VecDeque::new(),
            mapping,
            meter: Meter::default(),
            noise: 0,
            idle_limit: dialogue.idle_limit,
            silent_at: None,
            observer,
        };
        stream::unfold(messages, |mut messages| async move {
            let item = messages.next().await?;
            Some((item, messages))
        })
    }

    async fn next(&mut self) -> Option<ReplyItem> {
        loop {
            if let Some(item) = self.items.pop_front() {
                if matches!(item, ReplyItem::End(_)) {
                    self.items.clear();
                    leave(self.socket.take(), CloseCode::Normal);
                }
                return Some(item);
            }
            self.socket.as_ref()?;
            match self.step().await {
                Step::Sent => {}
                Step::Received(received) => self.take(received),
                Step::FellSilent => {
                    self.note_silence();
                    // The notice travels another way than the ending, and is to be read first.
                    tokio::task::yield_now().await;
                    self.mapping.fell_silent(&mut self.items);
                }
            }
        }
    }

    async fn step(&mut self) -> Step {
        // While something is still to be said, the agent may have a reason to be silent.
        let silent_at = self.silent_at.filter(|_| self.unsent.is_empty());
        let silence = async {
            match silent_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            step = poll_fn(|context| self.exchange(context)) => step,
            () = silence => Step::FellSilent,
        }
    }

    /// Sends what the connection takes, and receives.
    fn exchange(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        let had_unsent = !self.unsent.is_empty();
        if let Err(error) = self.send(context) {
            // The agent's last words, which are read next, say more than this failure to send.
            tracing::debug!(%error, "a dialogue's message was not sent");
            self.unsent.clear();
        }
        if had_unsent && self.unsent.is_empty() {
            return Poll::Ready(Step::Sent);
        }
        match &mut self.socket {
            Some(socket) => socket.poll_next_unpin(context).map(Step::Received),
            None => Poll::Ready(Step::Received(None)),
        }
    }

    /// Sends as much as the connection takes now.
    fn send(&mut self, context: &mut Context<'_>) -> Result<(), Error> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        loop {
            // Nothing else waits to be written then, so that the buffer has room for the message.
            match socket.poll_flush_unpin(context) {
                Poll::Ready(flushed) => flushed?,
                Poll::Pending => return Ok(()),
            }
            match self.unsent.pop_front() {
                Some(message) => socket.start_send_unpin(message)?,
                None => return Ok(()),
            }
        }
    }

    /// Tells the caller that the dialogue is taken as over.
    fn note_silence(&self) {
        let seconds = self.idle_limit.unwrap_or_default().as_secs_f64();
        let message = format!(
            "the agent answered, then said nothing for {seconds} s and did not end the dialogue: taken as its end (--idle-timeout)"
        );
        if let Some(observer) = &self.observer {
            observer.tell_now(Notice { code: NoticeCode::DialogueIdle, message });
        }
    }

    fn take(&mut self, received: Option<Result<Message, Error>>) {
        if let Some(Ok(message)) = &received
            && let Err(reason) = self.count(message)
        {
            return self.mapping.failed(reason, &mut self.items);
        }
        let (mapping, items) = (&mut self.mapping, &mut self.items);
        match received {
            Some(Ok(Message::Text(text))) => mapping.text(&text, items),
            Some(Ok(Message::Binary(bytes))) => mapping.binary(&bytes, items),
            // The library answers pings.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => return,
            Some(Ok(Message::Close(frame))) => {
                mapping.closed(frame.as_ref().map(|frame| (frame.code, frame.reason.as_str())), items);
            }
            Some(Err(Error::Capacity(_))) => {
                mapping.failed(format!("a message of the agent's is longer than {MAX_RECEIVED_BYTES} bytes"), items);
            }
            Some(Err(Error::Io(error))) if is_excess(&error) => {
                mapping.failed(format!("the agent does not finish a message: {error}"), items);
            }
            Some(Err(error @ (Error::Utf8(_) | Error::AttackAttempt))) => mapping.failed(error.to_string(), items),
            Some(Err(error)) => mapping.broken(&error.to_string(), items),
            None => mapping.broken("it just ended", items),
        }
        self.silent_at = self.idle_limit.and_then(|limit| Instant::now().checked_add(limit));
    }

    /// Counts what has come. An error says what there is too much of.
    fn count(&mut self, message: &Message) -> Result<(), String> {
        if !matches!(message, Message::Text(_) | Message::Binary(_)) {
            self.noise += message.len() + CONTROL_HEADER_BYTES;
            if self.noise > MAX_NOISE_BYTES {
                return Err(format!("the agent sent {MAX_NOISE_BYTES} bytes of pings without a message"));
            }
            return Ok(());
        }
        self.noise = 0;
        if let Some(socket) = &mut self.socket {
            socket.get_mut().finish();
        }
        self.meter.take(message.len()).map_err(|excess| format!("the agent's answer was not read to its end: {excess}"))
    }
}

impl Drop for Messages {
    /// The caller has given up.
    fn drop(&mut self) {
        leave(self.socket.take(), CloseCode::Away);
    }
}

fn is_excess(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Excess>)
}

/// Says goodbye, hears it in return, and closes; not waited for.
fn leave(socket: Option<Socket>, code: CloseCode) {
    let (Some(mut socket), Ok(runtime)) = (socket, Handle::try_current()) else { return };
    runtime.spawn(timeout(CLOSE_LIMIT, async move {
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static("") };
        // An error means that the other side has closed already.
        let _gone = socket.close(Some(frame)).await;
        while let Some(Ok(_)) = socket.next().await {}
    }));
}
