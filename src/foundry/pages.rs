//! Lists that the service gives in pages (contract section 4.3), read to their end or as far as somebody wants.

use super::Agent;
use super::client::Call;
use super::error::{FoundryError, Operation};
use super::headers::WireIsolation;
use cupola_protocol::sessions::Order;
use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

/// Most pages of one list that are followed. A project holds a few hundred agents and a region 50 sessions at once; a
/// hundred pages of 100 are a loop.
const MAX_PAGES: usize = 100;

/// Most things the service puts in one page.
const MAX_PAGE: usize = 100;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Part<'a> {
    /// How many at most; all when left out.
    pub(super) limit: Option<u32>,
    /// By creation time; the service's own order when left out.
    pub(super) order: Option<Order>,
    /// Only those after the one with this id.
    pub(super) after: Option<&'a str>,
}

/// That part.
pub(super) struct Listed<Item> {
    pub(super) items: Vec<Item>,
    /// Are there more after these?
    pub(super) has_more: bool,
}

/// One page, of the service's scheme (`last_id`) or of the older one (`pagination_token`).
#[derive(Deserialize)]
struct Page<Item> {
    data: Vec<Item>,
    #[serde(default)]
    last_id: Option<String>,
    #[serde(default)]
    has_more: Option<bool>,
    #[serde(default)]
    pagination_token: Option<String>,
}

/// How the next page is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    After(String),
    Token(String),
}

impl<Item> Page<Item> {
    /// The next page, unless this was the last one. The SDK ignores `has_more` and asks until `last_id` is empty; an
    /// explicit `false` saves that request.
    fn next(&self) -> Option<Next> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = given(&self.pagination_token) {
            return Some(Next::Token(token));
        }
        let has_more = self.has_more != Some(false) && !self.data.is_empty();
        given(&self.last_id).filter(|_| has_more).map(Next::After)
    }
}

impl Agent {
    /// Reads a list, following pages until there are as many as are wanted or no more.
    pub(super) async fn list<Item: DeserializeOwned>(
        &self,
        operation: Operation,
        list: &Url,
        isolation: Option<&WireIsolation>,
        part: Part<'_>,
    ) -> Result<Listed<Item>, FoundryError> {
        let limit = part.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let mut items: Vec<Item> = Vec::new();
        let mut next = part.after.map(|id| Next::After(id.to_owned()));
        let mut has_more = false;
        for _ in 0..MAX_PAGES {
            let mut url = list.clone();
            {
                let mut query = url.query_pairs_mut();
                query.append_pair("limit", &(limit - items.len()).clamp(1, MAX_PAGE).to_string());
                if let Some(order) = part.order {
                    query.append_pair("order", if order == Order::Asc { "asc" } else { "desc" });
                }
                match &next {
                    Some(Next::After(id)) => query.append_pair("after", id),
                    Some(Next::Token(token)) => query.append_pair("pagination_token", token),
                    None => &mut query,
                };
            }
            let mut call = Call::new(operation, Method::GET, url);
            if let Some(isolation) = isolation {
                call = call.isolated(isolation);
            }
            let page: Page<Item> = self.client.json(&self.address, &call).await?;
            let following = page.next().filter(|following| next.as_ref() != Some(following));
            let is_empty = page.data.is_empty();
            items.extend(page.data);
            has_more = following.is_some() || items.len() > limit;
            if is_empty || following.is_none() || items.len() >= limit {
                break;
            }
            next = following;
        }
        items.truncate(limit);
        Ok(Listed { items, has_more })
    }
}
