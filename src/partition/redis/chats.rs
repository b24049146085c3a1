//! What clients remember about chats: one record per owner, with a field per label.

use super::scripts::{FORGET_CHAT, SAVE_CHAT};
use super::{RedisStore, leases, seconds, time};
use crate::partition::store::{ChatStore, SavedChat, SharedFault, StoreError};
use crate::partition::{AgentKey, Owner, hex};
use cupola_protocol::chats::ChatDetails;
use cupola_protocol::isolation::ChatLabel;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::time::SystemTime;

/// A chat as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    details: ChatDetails,
    at: String,
}

impl ChatStore for RedisStore {
    fn save_chat(
        &self,
        agent: &AgentKey,
        owner: &Owner,
        label: &ChatLabel,
        details: &ChatDetails,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let kept = Kept { details: details.clone(), at: seconds(SystemTime::now()) };
        let (key, owner, label) = (self.base(agent), hex(owner.bytes()), label.to_string());
        async move {
            let text =
                serde_json::to_string(&kept).map_err(|error| self.line.error(SharedFault::Other(error.to_string())))?;
            let (lock, token) = leases::guard(self.lease.as_ref());
            self.write(&SAVE_CHAT, &key, &[&lock, &token, &owner, &label, &text]).await.map(drop)
        }
        .boxed()
    }

    fn chats(
        &self,
        agent: &AgentKey,
        owner: &Owner,
        within: Option<&ChatLabel>,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<SavedChat>, StoreError>> {
        let key = format!("{}:t:{}", self.base(agent), hex(owner.bytes()));
        let within = within.map(ToString::to_string);
        async move {
            let is_within = |label: &str| {
                within.as_ref().is_none_or(|within| {
                    label.strip_prefix(&**within).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                })
            };
            let mut chats: Vec<_> = self
                .record(&key)
                .await?
                .into_iter()
                .filter(|(label, _)| is_within(label))
                .filter_map(|(label, text)| {
                    let Kept { details, at } = serde_json::from_str(&text).ok()?;
                    Some(SavedChat { label: label.parse().ok()?, details, updated_at: time(Some(&at)) })
                })
                .collect();
            chats.sort_by_key(|chat| (Reverse(chat.updated_at), chat.label.to_string()));
            chats.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            Ok(chats)
        }
        .boxed()
    }

    fn forget_chat(
        &self,
        agent: &AgentKey,
        owner: &Owner,
        label: &ChatLabel,
    ) -> BoxFuture<'_, Result<bool, StoreError>> {
        let (key, owner, label) = (self.base(agent), hex(owner.bytes()), label.to_string());
        async move {
            let (lock, token) = leases::guard(self.lease.as_ref());
            self.line.read_as(self.write(&FORGET_CHAT, &key, &[&lock, &token, &owner, &label]).await?)
        }
        .boxed()
    }
}
