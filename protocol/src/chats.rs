//! `chats/*`: conversations that a client keeps apart by a label, and what it remembers about each of them.
//!
//! A chat is a label of [`Isolation::chat`]. It belongs to the isolation that is left when the label is removed: the same user with
//! another label reaches another conversation, and another user with the same label reaches neither.

use crate::Method;
use crate::isolation::{ChatLabel, Isolation};
use crate::reach::{Reach, Subject};
use crate::target::{AbsolutePath, AgentName, AgentVersion, Target};
use crate::text::shown_text;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest title, in characters. Editors show one line.
const MAX_TITLE: usize = 200;

shown_text! {
    /// What a chat is called in a list.
    ChatTitle, field "title",
    rule "must be 1 to 200 characters, without control characters",
    |value| (1..=MAX_TITLE).contains(&value.chars().count()) && !value.chars().any(char::is_control),
    schema { "minLength" = 1, "maxLength" = MAX_TITLE, "pattern" = "^[^\\x00-\\x1f\\x7f-\\x9f]*$" }
}

/// What a client remembers about a chat. Cupola stores it and does nothing with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ChatDetails {
    /// The directory the client works in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<AbsolutePath>,
    /// What it is called in a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<ChatTitle>,
    /// The agent that the person chose, if it is another one than the target's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// The version that the person chose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<AgentVersion>,
}

/// Remembers a chat, in place of what was remembered about it before.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Save;

impl Method for Save {
    const NAME: &'static str = "chats/save";
    const REACH: Reach = Reach::Agent;
    type Params = SaveParams;
    type Response = ();

    fn subject(params: &SaveParams) -> Subject<'_> {
        Subject::of(&params.target, &params.isolation)
    }
}

/// Which chat, and what to remember.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "ChatSaveParams"))]
#[serde(rename_all = "camelCase")]
pub struct SaveParams {
    /// Which agent.
    pub target: Target,
    /// Whose chat it is; `chat` is its label and must be given.
    pub isolation: Isolation,
    /// What to remember.
    #[serde(flatten)]
    pub details: ChatDetails,
}

/// A chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ChatInfo {
    /// Its label.
    pub chat: ChatLabel,
    /// What was saved about it.
    #[serde(flatten)]
    pub details: ChatDetails,
    /// When it was saved last. RFC 3339, UTC.
    pub updated_at: String,
}

/// Lists the chats of one isolation that were saved with `chats/save`. The service is asked only for the agent's definition.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct List;

impl Method for List {
    const NAME: &'static str = "chats/list";
    const REACH: Reach = Reach::Agent;
    type Params = ChatParams;
    type Response = ListResponse;

    fn subject(params: &ChatParams) -> Subject<'_> {
        Subject::of(&params.target, &params.isolation)
    }
}

/// An agent, and whose chats.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ChatParams {
    /// Which agent.
    pub target: Target,
    /// Whose chats. With a `chat`, that one alone and those whose labels begin with it and a slash.
    #[serde(default)]
    pub isolation: Isolation,
}

/// The chats.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "ChatListResponse"))]
#[serde(rename_all = "camelCase")]
pub struct ListResponse {
    /// The most recently saved first; at most 1000.
    pub chats: Vec<ChatInfo>,
}

/// Forgets a chat: what was saved about it, and which session and conversation it continues, with every version of the agent. The
/// service keeps the session, its files and the conversation.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Forget;

impl Method for Forget {
    const NAME: &'static str = "chats/forget";
    const REACH: Reach = Reach::Agent;
    type Params = ForgetParams;
    type Response = ForgetResponse;

    fn subject(params: &ForgetParams) -> Subject<'_> {
        Subject::of(&params.target, &params.isolation)
    }
}

/// Which chat.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "ChatForgetParams"))]
#[serde(rename_all = "camelCase")]
pub struct ForgetParams {
    /// Which agent.
    pub target: Target,
    /// Whose chat it is; `chat` is its label and must be given.
    pub isolation: Isolation,
}

/// What was forgotten.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "ChatForgetResponse"))]
#[serde(rename_all = "camelCase")]
pub struct ForgetResponse {
    /// Whether anything had been saved about it.
    pub forgotten: bool,
}

/// Reads the items of the conversation that the isolation continues, oldest first: messages, reasoning, tool calls. They come from
/// the service; Cupola does not store them.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Items;

impl Method for Items {
    const NAME: &'static str = "chats/items";
    const REACH: Reach = Reach::Agent;
    type Params = ItemsParams;
    type Response = ItemsResponse;

    fn subject(params: &ItemsParams) -> Subject<'_> {
        Subject::of(&params.target, &params.isolation)
    }
}

/// Whose conversation, and which part of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ItemsParams {
    /// Which agent.
    pub target: Target,
    /// Whose conversation.
    #[serde(default)]
    pub isolation: Isolation,
    /// Only the items after the one with this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How many at most; 100 when left out, and never more than 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A part of a conversation, in the service's own shape (contract section 8).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ItemsResponse {
    /// The service's items, verbatim. Empty if the isolation continues no conversation.
    pub data: Vec<Value>,
    /// The last one's id: pass it as `after` for more.
    pub last_id: Option<String>,
    /// Whether there are more after `last_id`.
    pub has_more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_line_of_bounded_length() {
        for bad in ["", "two\nlines", &"t".repeat(201)] {
            assert!(bad.parse::<ChatTitle>().is_err(), "{bad:?} was accepted");
        }
        assert!("fix the parser".parse::<ChatTitle>().is_ok());
    }
}
