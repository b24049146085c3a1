//! The service's objects with the members and types that azd prints, for scripts that read them. Cupola's own members stay beside them.

use super::table::moment;
use cupola_protocol::sessions::ListResponse;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// A page of sessions: azd calls the way to the next page `pagination_token`, and leaves it out on the last page.
pub(crate) fn sessions(raw: &RawValue) -> Box<RawValue> {
    with(raw, |list| {
        let last = list.get("last_id").filter(|last| last.is_string()).cloned();
        if let (Some(last), Some(true)) = (last, list.get("has_more").and_then(Value::as_bool)) {
            list["pagination_token"] = last;
        }
    })
}

/// The line below azd's table of sessions that says how to get the next page.
pub(crate) fn more(page: &ListResponse) -> String {
    let last = page.last_id.as_ref().filter(|_| page.has_more);
    last.map(|last| format!("\nMore results available. Use --pagination-token {last:?} to fetch the next page.\n"))
        .unwrap_or_default()
}

/// A file or a list of files: azd's `modified_time` is RFC 3339.
pub(crate) fn files(raw: &RawValue) -> Box<RawValue> {
    with(raw, |value| match value.get_mut("entries").and_then(Value::as_array_mut) {
        Some(entries) => entries.iter_mut().for_each(dated),
        None => dated(value),
    })
}

fn dated(entry: &mut Value) {
    if let Some(time) = entry.get_mut("modified_time")
        && let Some(seconds) = time.as_i64()
    {
        *time = moment(Some(seconds)).into();
    }
}

/// Changes an object. What cannot be read as one is printed as it is.
fn with(raw: &RawValue, change: impl FnOnce(&mut Value)) -> Box<RawValue> {
    let changed = serde_json::from_str(raw.get()).and_then(|mut value: Value| {
        change(&mut value);
        to_raw_value(&value)
    });
    changed.unwrap_or_else(|_| raw.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn only_a_page_with_more_behind_it_has_a_token() {
        for (page, shown) in [
            (
                r#"{"data":[],"last_id":"s-2","has_more":true}"#,
                r#"{"data":[],"last_id":"s-2","has_more":true,"pagination_token":"s-2"}"#,
            ),
            (r#"{"data":[],"last_id":"s-2","has_more":false}"#, r#"{"data":[],"last_id":"s-2","has_more":false}"#),
            (r#"{"data":[],"last_id":null,"has_more":true}"#, r#"{"data":[],"last_id":null,"has_more":true}"#),
        ] {
            assert_eq!(sessions(raw(page)).get(), shown);
        }
    }

    #[test]
    fn files_are_dated_in_rfc_3339() {
        for (given, shown) in [
            (r#"{"name":"a","modified_time":1767225600}"#, r#"{"name":"a","modified_time":"2026-01-01T00:00:00Z"}"#),
            (
                r#"{"path":".","entries":[{"name":"a","modified_time":1767225600},{"name":"b"}]}"#,
                r#"{"path":".","entries":[{"name":"a","modified_time":"2026-01-01T00:00:00Z"},{"name":"b"}]}"#,
            ),
        ] {
            assert_eq!(files(raw(given)).get(), shown);
        }
    }
}
