//! Lists that the service gives in pages (contract sections 4.3 and 5), read to their end, as far as somebody wants, or up
//! to a bound. What a bound cuts off shows as `has_more`; a list of which nothing can be taken is an error.

use super::Agent;
use super::answer::BodyError;
use super::error::{FoundryError, Operation};
use super::headers::WireIsolation;
use super::request::Request;
use super::send::limited;
use bytes::Bytes;
use cupola_protocol::sessions::Order;
use http::Method;
use serde::de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;
use url::Url;

/// Most pages of one list. With the service's usual 20 entries a page that is [`MAX_ITEMS`].
const MAX_PAGES: usize = 500;

/// Most things in one list. A project has hundreds of agents, a region 50 sessions at once; a directory with more files than
/// this is not read as a list.
const MAX_ITEMS: usize = 10_000;

/// Most bytes of all pages together, 16 MiB: ten thousand entries of 1.6 KB, or a thousand agents with long definitions.
const MAX_LIST_BYTES: usize = 16 * 1024 * 1024;

/// How long all pages together may take: half a second for each.
const LIST_LIMIT: Duration = Duration::from_mins(5);

/// Most things the service puts in one page when it is asked for as many.
pub(super) const LARGEST_PAGE: usize = 100;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Part<'a> {
    /// How many at most; all when left out.
    pub(super) limit: Option<u32>,
    /// How many to ask for at once; the service's own number when left out.
    pub(super) page_size: Option<usize>,
    /// By creation time; the service's own order when left out.
    pub(super) order: Option<Order>,
    /// Only those after the one with this id.
    pub(super) after: Option<&'a str>,
}

/// That part.
pub(super) struct Listed<Item> {
    pub(super) items: Vec<Item>,
    /// The directory that was listed, where the service names it.
    pub(super) path: Option<String>,
    /// Are there more after these?
    pub(super) has_more: bool,
}

/// One page: of agents and sessions (`data`), or of a directory (`entries`).
#[derive(Deserialize)]
struct Page<Item> {
    #[serde(alias = "entries", bound(deserialize = "Item: DeserializeOwned"))]
    data: Bounded<Item>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    last_id: Option<String>,
    #[serde(default)]
    has_more: Option<bool>,
    /// Of the older scheme.
    #[serde(default)]
    pagination_token: Option<String>,
}

/// The first [`MAX_ITEMS`] of an array; the others are not kept in memory.
struct Bounded<Item> {
    items: Vec<Item>,
    is_cut: bool,
}

/// How the next page is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Cursor {
    After(String),
    Token(String),
}

impl<Item> Page<Item> {
    /// The next page, unless this was the last one. The SDK ignores `has_more` and asks until `last_id` is empty; an
    /// explicit `false` saves that request.
    fn next(&self) -> Option<Cursor> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = given(&self.pagination_token) {
            return Some(Cursor::Token(token));
        }
        let has_more = self.has_more != Some(false) && !self.data.items.is_empty();
        given(&self.last_id).filter(|_| has_more).map(Cursor::After)
    }
}

impl Agent {
    /// Reads a list, following pages until there are as many as are wanted or no more, or a bound is reached.
    pub(super) async fn list<Item: DeserializeOwned>(
        &self,
        operation: Operation,
        list: &Url,
        isolation: Option<&WireIsolation>,
        part: Part<'_>,
    ) -> Result<Listed<Item>, FoundryError> {
        limited(operation, LIST_LIMIT, Box::pin(self.read_pages(operation, list, isolation, part))).await
    }

    async fn read_pages<Item: DeserializeOwned>(
        &self,
        operation: Operation,
        list: &Url,
        isolation: Option<&WireIsolation>,
        part: Part<'_>,
    ) -> Result<Listed<Item>, FoundryError> {
        let odd = |reason: String| FoundryError::UnexpectedAnswer { operation, reason };
        let limit = part.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(MAX_ITEMS).min(MAX_ITEMS);
        let mut listed = Listed { items: Vec::new(), path: None, has_more: false };
        let mut cursor = part.after.map(|id| Cursor::After(id.to_owned()));
        let mut asked: HashSet<_> = cursor.iter().cloned().collect();
        let (mut bytes_left, mut previous) = (MAX_LIST_BYTES, Bytes::new());
        for _ in 0..MAX_PAGES {
            let url = page_url(list, part, limit - listed.items.len(), cursor.as_ref());
            let mut request = Request::new(operation, Method::GET, url);
            if let Some(isolation) = isolation {
                request = request.isolated(isolation);
            }
            let body = match self.read(&request, bytes_left).await? {
                Ok(body) => body,
                Err(BodyError::TooMuch(_)) if !listed.items.is_empty() => {
                    listed.has_more = true;
                    break;
                }
                Err(BodyError::TooMuch(_)) => return Err(odd(format!("it is longer than {MAX_LIST_BYTES} bytes"))),
                Err(error) => return Err(odd(error.to_string())),
            };
            bytes_left -= body.len();
            let page: Page<Item> =
                serde_json::from_slice(&body).map_err(|error| odd(format!("its JSON cannot be used: {error}")))?;
            if cursor.is_some() && body == previous {
                // A service that does not look at the cursor: it has one page, and that came before.
                listed.has_more = page.has_more == Some(true);
                break;
            }
            previous = body;
            let next = page.next();
            let (is_empty, is_cut) = (page.data.items.is_empty(), page.data.is_cut);
            listed.path = page.path.or(listed.path);
            listed.items.extend(page.data.items);
            listed.has_more = next.is_some() || is_cut || listed.items.len() > limit;
            // A cursor that was asked for before leads in a circle.
            match next {
                Some(next) if !is_empty && !is_cut && listed.items.len() < limit && asked.insert(next.clone()) => {
                    cursor = Some(next);
                }
                _ => break,
            }
        }
        listed.items.truncate(limit);
        Ok(listed)
    }
}

/// Where the page at `cursor` is, of which `missing` things are still wanted.
fn page_url(list: &Url, part: Part<'_>, missing: usize, cursor: Option<&Cursor>) -> Url {
    let mut url = list.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(size) = part.page_size {
            query.append_pair("limit", &missing.clamp(1, size).to_string());
        }
        if let Some(order) = part.order {
            query.append_pair("order", if order == Order::Asc { "asc" } else { "desc" });
        }
        match cursor {
            Some(Cursor::After(id)) => query.append_pair("after", id),
            Some(Cursor::Token(token)) => query.append_pair("pagination_token", token),
            None => &mut query,
        };
    }
    // Looking at an absent query must not leave a bare `?`.
    if url.query() == Some("") {
        url.set_query(None);
    }
    url
}

impl<'de, Item: Deserialize<'de>> Deserialize<'de> for Bounded<Item> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<Item>(PhantomData<Item>);

        impl<'de, Item: Deserialize<'de>> Visitor<'de> for Items<Item> {
            type Value = Bounded<Item>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while items.len() < MAX_ITEMS {
                    match array.next_element()? {
                        Some(item) => items.push(item),
                        None => return Ok(Bounded { items, is_cut: false }),
                    }
                }
                let mut is_cut = false;
                while array.next_element::<IgnoredAny>()?.is_some() {
                    is_cut = true;
                }
                Ok(Bounded { items, is_cut })
            }
        }

        deserializer.deserialize_seq(Items(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn pages_end_with_an_empty_last_id_an_empty_page_or_has_more() {
        let page = |text: &str| serde_json::from_str::<Page<Value>>(text).unwrap().next();
        let after = |id: &str| Some(Cursor::After(id.to_owned()));
        assert_eq!(page(r#"{"entries":[{"name":"a"}],"last_id":"a"}"#), after("a"));
        assert_eq!(page(r#"{"data":[{"id":"a"}],"last_id":"a","has_more":true}"#), after("a"));
        assert_eq!(page(r#"{"data":[],"pagination_token":"t"}"#), Some(Cursor::Token("t".to_owned())));
        for last in [
            r#"{"entries":[{"name":"a"}],"last_id":"a","has_more":false}"#,
            r#"{"entries":[{"name":"a"}],"last_id":null,"has_more":true}"#,
            r#"{"entries":[],"last_id":"a"}"#,
            r#"{"path":".","entries":[{"name":"a"}]}"#,
            r#"{"data":[{"id":"a"}],"pagination_token":""}"#,
        ] {
            assert_eq!(page(last), None, "{last}");
        }
    }

    #[test]
    fn a_page_with_too_many_items_is_cut() {
        for (count, is_cut) in [(MAX_ITEMS, false), (MAX_ITEMS + 5, true)] {
            let text = format!(r#"{{"data":[{}]}}"#, vec!["0"; count].join(","));
            let page: Page<u8> = serde_json::from_str(&text).unwrap();
            assert_eq!((page.data.items.len(), page.data.is_cut), (MAX_ITEMS, is_cut));
        }
    }

    #[test]
    fn a_page_is_asked_for_as_the_service_knows_it() {
        let url = |list: &str, part: Part<'_>, missing, cursor: Option<Cursor>| {
            page_url(&list.parse().unwrap(), part, missing, cursor.as_ref()).to_string()
        };
        let sessions = Part { page_size: Some(100), order: Some(Order::Asc), ..Part::default() };
        assert_eq!(url("http://h/s?v=1", sessions, 250, None), "http://h/s?v=1&limit=100&order=asc");
        let token = Cursor::Token("t".to_owned());
        assert_eq!(url("http://h/s", sessions, 7, Some(token)), "http://h/s?limit=7&order=asc&pagination_token=t");
        assert_eq!(url("http://h/files", Part::default(), 7, None), "http://h/files");
        let after = Cursor::After("a b".to_owned());
        assert_eq!(url("http://h/files?path=d", Part::default(), 7, Some(after)), "http://h/files?path=d&after=a+b");
    }
}
