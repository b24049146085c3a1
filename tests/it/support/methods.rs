//! Methods that do what no method should, and some that do what every method does.

use cupola::error::CallError;
use cupola::rpc::Call;
use cupola::rpc::table::Table;
use cupola_protocol::Method;
use cupola_protocol::daemon::NoParams;
use cupola_protocol::rpc::{MAX_MESSAGE_BYTES, ProgressToken};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::LazyLock;
use std::time::Duration;

macro_rules! method {
    ($marker:ident, $name:literal, $params:ty) => {
        method!($marker, $name, $params, String);
    };
    ($marker:ident, $name:literal, $params:ty, $response:ty) => {
        struct $marker;
        impl Method for $marker {
            const NAME: &'static str = $name;
            type Params = $params;
            type Response = $response;
        }
    };
}

method!(Echo, "test/echo", Text);
method!(Wait, "test/wait", NoParams);
method!(Stubborn, "test/stubborn", NoParams);
method!(Panic, "test/panic", NoParams);
method!(Sleep, "test/sleep", Seconds);
method!(Stream, "test/stream", Streaming);
method!(Flood, "test/flood", Streaming);
method!(Raw, "test/raw", RawText, Box<RawValue>);
method!(Long, "test/long", Seconds);

#[derive(Serialize, Deserialize)]
struct Text {
    text: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawText {
    partial_result_token: ProgressToken,
    text: String,
}

#[derive(Serialize, Deserialize)]
struct Seconds {
    seconds: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Streaming {
    partial_result_token: ProgressToken,
    #[serde(default)]
    count: u64,
}

/// The table.
pub(crate) fn table() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| {
        Table::new()
            .on(Echo, |_: Call, params: Text| async move { Ok(params.text) })
            .on(Wait, wait)
            .on(Stubborn, |_: Call, _: NoParams| std::future::pending())
            .on(Panic, |_: Call, _: NoParams| async { panic!("on purpose") })
            .on(Sleep, sleep)
            .on(Stream, stream)
            .on(Flood, flood)
            .on(Raw, raw)
            .on(Long, long)
    });
    &TABLE
}

/// Ends when it is cancelled, with its own answer.
async fn wait(call: Call, _: NoParams) -> Result<String, CallError> {
    call.cancelled.cancelled().await;
    Err(CallError::cancelled().hint("ended by itself"))
}

async fn sleep(_: Call, params: Seconds) -> Result<String, CallError> {
    tokio::time::sleep(Duration::from_secs(params.seconds)).await;
    Ok("slept".to_owned())
}

async fn stream(call: Call, params: Streaming) -> Result<String, CallError> {
    for number in 1..=params.count {
        call.progress(&params.partial_result_token, &number).await.map_err(|_| CallError::cancelled())?;
    }
    Ok("done".to_owned())
}

/// Sends JSON as it was given, as an event and as the answer.
async fn raw(call: Call, params: RawText) -> Result<Box<RawValue>, CallError> {
    let value = RawValue::from_string(params.text).map_err(|_| CallError::cancelled())?;
    call.progress(&params.partial_result_token, &value).await.map_err(|_| CallError::cancelled())?;
    Ok(value)
}

/// An answer that no message can hold; with no seconds, one of which a message holds one and not two.
async fn long(_: Call, params: Seconds) -> Result<String, CallError> {
    let bytes = if params.seconds > 0 { MAX_MESSAGE_BYTES } else { MAX_MESSAGE_BYTES * 2 / 3 };
    Ok("x".repeat(bytes))
}

/// Sends until the client is gone.
async fn flood(call: Call, params: Streaming) -> Result<String, CallError> {
    let text = "x".repeat(4096);
    while call.progress(&params.partial_result_token, &text).await.is_ok() {}
    Err(CallError::cancelled())
}
