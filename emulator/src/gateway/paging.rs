//! Pages of a list, for both schemes clients know: `after`/`last_id`, and `pagination_token` (contract section 4.3).

use super::query::Query;
use crate::error::ApiError;
use serde_json::{Value, json};

/// Page sizes of the service (contract section 4.2).
pub(super) const MAX_LIMIT: usize = 100;
const DEFAULT_LIMIT: usize = 20;

/// Which way a list runs when the request does not say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Ascending,
    Descending,
}

/// The page a request asks for of `items`, which come oldest first with their ids.
///
/// An id that is not in the list has nothing after or before it: a client that follows a page whose last item was
/// deleted meanwhile ends rather than starts over. An empty page has `last_id: null`, or a pager would never stop.
pub(super) fn page(query: &Query, items: Vec<(String, Value)>, default: Order) -> Result<Value, ApiError> {
    page_of(query, items, default, DEFAULT_LIMIT)
}

/// The same with another size for a request that names none.
pub(super) fn page_of(
    query: &Query,
    items: Vec<(String, Value)>,
    default: Order,
    default_limit: usize,
) -> Result<Value, ApiError> {
    page_with(query, items, default, default_limit, Value::clone)
}

/// The same of items that are only fetched for the page they are on.
pub(super) fn page_fetched<Place>(
    query: &Query,
    items: Vec<(String, Place)>,
    default: Order,
    fetch: impl Fn(&Place) -> Value,
) -> Result<Value, ApiError> {
    page_with(query, items, default, DEFAULT_LIMIT, fetch)
}

fn page_with<Item>(
    query: &Query,
    mut items: Vec<(String, Item)>,
    default: Order,
    default_limit: usize,
    show: impl Fn(&Item) -> Value,
) -> Result<Value, ApiError> {
    let limit = match query.get("limit") {
        None => default_limit,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=MAX_LIMIT).contains(limit))
            .ok_or_else(|| ApiError::invalid("limit", "limit must be between 1 and 100"))?,
    };
    let order = match query.get("order") {
        None => default,
        Some("asc") => Order::Ascending,
        Some("desc") => Order::Descending,
        Some(_) => return Err(ApiError::invalid("order", "order must be asc or desc")),
    };
    if order == Order::Descending {
        items.reverse();
    }
    let position = |id: &str| items.iter().position(|(known, _)| known == id);
    let after = query.get("after").or_else(|| query.get("pagination_token"));
    let (window, has_more) = match (after, query.get("before")) {
        // Documented as exclusive, but the SDK's pager follows a list that has a `before` by adding `after`.
        (Some(after), Some(before)) => {
            let start = position(after).map_or(items.len(), |at| at + 1);
            let end = position(before).unwrap_or(0).max(start);
            (start..end.min(start + limit), end > start + limit)
        }
        (Some(id), None) => {
            let start = position(id).map_or(items.len(), |at| at + 1);
            (start..items.len().min(start + limit), items.len() > start + limit)
        }
        (None, Some(id)) => {
            let end = position(id).unwrap_or(0);
            (end.saturating_sub(limit)..end, end > limit)
        }
        (None, None) => (0..items.len().min(limit), items.len() > limit),
    };
    let shown = items.get(window).unwrap_or_default().iter();
    let (ids, data): (Vec<_>, Vec<_>) = shown.map(|(id, item)| (id, show(item))).unzip();
    let mut page = json!({
        "object": "list",
        "data": data,
        "first_id": ids.first(),
        "last_id": ids.last(),
        "has_more": has_more,
    });
    if let (true, Some(last), Some(fields)) = (has_more, ids.last(), page.as_object_mut()) {
        fields.insert("pagination_token".to_owned(), json!(last));
    }
    Ok(page)
}
