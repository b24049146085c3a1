//! `chats/*`: conversations that a client keeps apart by a label. What it remembers about them is saved here; their items are read
//! from the service.

use super::partitions::{forget_each, whole};
use crate::error::CallError;
use crate::partition::Partition;
use crate::partition::exclusion::under;
use crate::partition::pages::Among;
use crate::partition::store::SavedChat;
use crate::rpc::Call;
use crate::system::clock::rfc3339;
use cupola_protocol::chats::{
    ChatInfo, ChatParams, ForgetParams, ForgetResponse, ItemsParams, ItemsResponse, ListResponse, SaveParams,
};
use cupola_protocol::isolation::{ChatLabel, Isolation};
use cupola_protocol::target::Target;
use serde_json::Value;

/// Most chats in a list. A person looks at the newest dozens.
const MAX_LISTED: u32 = 1000;
/// How many items one call reads unless it says otherwise: one page of the service.
const USUAL_ITEMS: u32 = 100;
/// How many items one call reads at most, so that its answer stays a message of usual size.
const MAX_ITEMS: u32 = 1000;

pub(crate) async fn save(call: Call, params: SaveParams) -> Result<(), CallError> {
    let label = label(&params.isolation)?;
    let partition = owner(&call, &params.target, &params.isolation).await?;
    // A daemon that was stopped for too long overwrites nothing.
    let turn = call.daemon.partition_locks.take(&partition).await?;
    let store = under(&call.daemon.store, turn.lease());
    Ok(store.save_chat(&partition.agent, &partition.owner, label, &params.details).await?)
}

pub(crate) async fn list(call: Call, params: ChatParams) -> Result<ListResponse, CallError> {
    let partition = owner(&call, &params.target, &params.isolation).await?;
    let within = params.isolation.chat.as_ref();
    let saved = call.daemon.store.chats(&partition.agent, &partition.owner, within, MAX_LISTED).await?;
    Ok(ListResponse { chats: saved.into_iter().map(info).collect() })
}

pub(crate) async fn forget(call: Call, params: ForgetParams) -> Result<ForgetResponse, CallError> {
    let label = label(&params.isolation)?;
    let continued = call.scope(&params.target, &params.isolation).await?.partition.without_version();
    let saved = whole(&call.daemon, &Among::CoveredBy(continued)).await?;
    let meant: Vec<_> = saved.into_iter().map(|saved| saved.partition).collect();
    let partitions = forget_each(&call.daemon, &meant).await?;
    let partition = owner(&call, &params.target, &params.isolation).await?;
    let turn = call.daemon.partition_locks.take(&partition).await?;
    let store = under(&call.daemon.store, turn.lease());
    let was_saved = store.forget_chat(&partition.agent, &partition.owner, label).await?;
    Ok(ForgetResponse { forgotten: was_saved || partitions > 0 })
}

pub(crate) async fn items(call: Call, params: ItemsParams) -> Result<ItemsResponse, CallError> {
    let scope = call.scope(&params.target, &params.isolation).await?;
    let saved = call.daemon.store.load(&scope.partition).await?;
    let Some(conversation) = saved.conversation else {
        return Ok(ItemsResponse { data: Vec::new(), last_id: None, has_more: false });
    };
    scope.needs_service()?;
    let limit = params.limit.unwrap_or(USUAL_ITEMS).min(MAX_ITEMS);
    let read = scope.agent.conversation_items(&scope.wire, &conversation, params.after.as_deref(), limit).await;
    let (data, has_more) = read.map_err(|error| scope.explain(error))?;
    let last_id = data.last().and_then(|item| item.get("id")).and_then(Value::as_str).map(ToOwned::to_owned);
    Ok(ItemsResponse { data, last_id, has_more })
}

/// Whose chats they are: the partition of the isolation without a label.
async fn owner(call: &Call, target: &Target, isolation: &Isolation) -> Result<Partition, CallError> {
    let without_label = Isolation { chat: None, ..isolation.clone() };
    Ok(call.scope(target, &without_label).await?.partition)
}

fn label(isolation: &Isolation) -> Result<&ChatLabel, CallError> {
    isolation.chat.as_ref().ok_or_else(|| {
        CallError::invalid_params("isolation.chat is missing: it is the chat's label")
            .hint("name the chat by any label of your own, for example a random one")
    })
}

fn info(chat: SavedChat) -> ChatInfo {
    ChatInfo { chat: chat.label, details: chat.details, updated_at: rfc3339(chat.updated_at) }
}
