//! Conversations: message histories the service keeps (contract section 8).

use super::Agent;
use super::error::{FoundryError, Operation};
use super::headers::WireIsolation;
use super::pages::{LARGEST_PAGE, Listed, Part};
use super::request::{JSON, Request};
use cupola_protocol::id::ConversationId;
use cupola_protocol::sessions::Order;
use http::Method;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Conversation {
    id: ConversationId,
}

impl Agent {
    /// Creates an empty conversation. The first response on it binds a session to it.
    pub async fn create_conversation(&self, isolation: &WireIsolation) -> Result<ConversationId, FoundryError> {
        let url = self.address.endpoint(&["protocols", "openai", "conversations"]);
        let request =
            Request::new(Operation::CreateConversation, Method::POST, url).isolated(isolation).body(JSON, "{}");
        let conversation: Conversation = self.json(&request).await?;
        Ok(conversation.id)
    }

    /// Asks for a conversation. The service answers 404 for one that it does not have, or that is another user's.
    pub async fn get_conversation(
        &self,
        isolation: &WireIsolation,
        id: &ConversationId,
    ) -> Result<ConversationId, FoundryError> {
        let url = self.address.endpoint(&["protocols", "openai", "conversations", id.as_str()]);
        let request = Request::new(Operation::ShowConversation, Method::GET, url).isolated(isolation);
        let conversation: Conversation = self.json(&request).await?;
        Ok(conversation.id)
    }

    /// Reads a conversation's items, oldest first: at most `limit`, and only those after the one with the id `after`. Also returns
    /// whether there are more.
    pub async fn conversation_items(
        &self,
        isolation: &WireIsolation,
        id: &ConversationId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<Value>, bool), FoundryError> {
        let url = self.address.endpoint(&["protocols", "openai", "conversations", id.as_str(), "items"]);
        let part = Part { limit: Some(limit), page_size: Some(LARGEST_PAGE), order: Some(Order::Asc), after };
        let Listed { items, has_more, .. } = self.list(Operation::ListItems, &url, Some(isolation), part).await?;
        Ok((items, has_more))
    }
}
