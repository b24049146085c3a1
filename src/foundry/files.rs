//! Files of a session's home (contract section 5).

use super::Agent;
use super::content::Content;
use super::download::Download;
use super::error::{FoundryError, Operation};
use super::headers::WireIsolation;
use super::pages::{Listed, Part};
use super::request::{JSON, Request};
use super::send::limited;
use cupola_protocol::files::{Entry, ListResponse, RemotePath};
use cupola_protocol::id::SessionId;
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The slowest upload that is waited for, in bytes per second: 50 MB in a quarter of an hour.
const SLOWEST_UPLOAD: u64 = 56 * 1024;

/// Longest answer to an upload, in bytes; it is two numbers and a path.
const MAX_UPLOAD_ANSWER: usize = 64 * 1024;

/// From here on a number is milliseconds: as seconds it would be after the year 3000.
const YEAR_3000: f64 = 32_503_680_000.0;

/// An entry of either generation (contract section 5).
#[derive(Deserialize)]
struct WireEntry {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    is_directory: Option<bool>,
    #[serde(default)]
    is_dir: Option<bool>,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    modified_time: Option<Value>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl WireEntry {
    /// The entry; `path` where it does not say its own.
    fn read(self, path: impl FnOnce(&str) -> String) -> Entry {
        let is_directory = self.is_directory.or(self.is_dir).unwrap_or_default();
        let name = self.name.unwrap_or_default();
        Entry {
            path: self.path.unwrap_or_else(|| path(&name)),
            name,
            is_directory,
            is_dir: is_directory,
            size: self.size.unwrap_or_default(),
            modified_time: self.modified_time.as_ref().and_then(unix_seconds),
            other: self.other,
        }
    }
}

/// A time as seconds, milliseconds or RFC 3339 text.
fn unix_seconds(value: &Value) -> Option<i64> {
    if let Some(text) = value.as_str() {
        return OffsetDateTime::parse(text, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp);
    }
    let number = value.as_f64()?;
    let seconds = if number.abs() > YEAR_3000 { number / 1000.0 } else { number };
    #[expect(clippy::cast_possible_truncation, reason = "fractions of a second do not matter, and casts saturate")]
    Some(seconds as i64)
}

impl Agent {
    fn files(&self, operation: Operation, method: Method, session: &SessionId, rest: &[&str]) -> FileCall {
        let url = self.address.endpoint(&[&["sessions", session.as_str(), "files"], rest].concat());
        FileCall { operation, method, url }
    }

    /// Puts a file there, in place of one that is there already.
    pub async fn upload_file(
        &self,
        isolation: &WireIsolation,
        session: &SessionId,
        path: &RemotePath,
        content: Content,
    ) -> Result<(), FoundryError> {
        let length = content.length();
        let limit = self.call_limit() + Duration::from_secs(length / SLOWEST_UPLOAD);
        let operation = Operation::UploadFile;
        let request = self.files(operation, Method::PUT, session, &["content"]).at(path);
        let request = request.isolated(isolation).content(content);
        let upload = async {
            let answer = self.send(&request).await?.of_the_service(operation)?.bytes(MAX_UPLOAD_ANSWER).await;
            // Some versions answer without a body; one that counts must have counted the same.
            let answer: Option<Value> = answer.ok().and_then(|body| serde_json::from_slice(&body).ok());
            match answer.and_then(|answer| answer.get("bytes_written")?.as_u64()) {
                Some(written) if written != length => Err(FoundryError::UnexpectedAnswer {
                    operation,
                    reason: format!("it has written {written} of {length} bytes"),
                }),
                _ => Ok(()),
            }
        };
        limited(operation, limit, upload).await
    }

    /// Begins to fetch a file, of which at most `most` bytes are taken.
    pub async fn download_file(
        &self,
        isolation: &WireIsolation,
        session: &SessionId,
        path: &RemotePath,
        most: u64,
    ) -> Result<Download, FoundryError> {
        let request = self.files(Operation::DownloadFile, Method::GET, session, &["content"]).at(path);
        let request = request.isolated(isolation);
        let answer = limited(Operation::DownloadFile, self.call_limit(), self.send(&request)).await?;
        Download::new(answer, most)
    }

    /// Lists a directory, the home when none is named, following its pages.
    pub async fn list_files(
        &self,
        isolation: &WireIsolation,
        session: &SessionId,
        path: Option<&RemotePath>,
    ) -> Result<ListResponse, FoundryError> {
        let operation = Operation::ListFiles;
        let mut list = self.files(operation, Method::GET, session, &[]);
        if let Some(path) = path {
            list = list.at(path);
        }
        let Listed { items, path: listed, has_more } =
            self.list::<WireEntry>(operation, &list.url, Some(isolation), Part::default()).await?;
        let path = listed.or_else(|| path.map(|path| path.as_str().to_owned())).unwrap_or_else(|| ".".to_owned());
        let directory = path.trim_end_matches('/');
        let place = |name: &str| if directory == "." { name.to_owned() } else { format!("{directory}/{name}") };
        let entries = items.into_iter().map(|entry| entry.read(place)).collect();
        Ok(ListResponse { path, entries, has_more })
    }

    /// Shows a file or directory. Where the service has no such operation, its directory's list has the answer.
    pub async fn stat_file(
        &self,
        isolation: &WireIsolation,
        session: &SessionId,
        path: &RemotePath,
    ) -> Result<Entry, FoundryError> {
        let request = self.files(Operation::StatFile, Method::GET, session, &["stat"]).at(path);
        let request = request.isolated(isolation);
        match self.json::<WireEntry>(&request).await {
            Ok(entry) => return Ok(entry.read(|_| path.as_str().to_owned())),
            Err(error) if has_no_route(&error) => {}
            Err(error) => return Err(error),
        }
        let Some(name) = path.name() else {
            // The home is in no list, but having one shows that it is there.
            self.list_files(isolation, session, None).await?;
            let home = json!({"name": ".", "path": ".", "is_directory": true});
            let home: WireEntry =
                serde_json::from_value(home).map_err(|error| FoundryError::Setup(error.to_string()))?;
            return Ok(home.read(|_| ".".to_owned()));
        };
        let parent = path.parent();
        let list = self.list_files(isolation, session, parent.as_ref()).await?;
        match list.entries.into_iter().find(|entry| entry.name == name) {
            Some(found) => Ok(found),
            None if list.has_more => Err(FoundryError::UnexpectedAnswer {
                operation: Operation::StatFile,
                reason: format!("it can only list the directory, of which the first entries do not include {path}"),
            }),
            None => Err(FoundryError::NoSuchFile { path: path.as_str().to_owned() }),
        }
    }

    /// Creates a directory and its parents. Not documented, so not every service has it.
    pub async fn make_directory(
        &self,
        isolation: &WireIsolation,
        session: &SessionId,
        path: &RemotePath,
    ) -> Result<(), FoundryError> {
        let operation = Operation::MakeDirectory;
        let body = json!({"path": path.as_str()}).to_string();
        let request = self.files(operation, Method::POST, session, &["mkdir"]);
        let request = request.isolated(isolation).body(JSON, body);
        match self.done(&request).await {
            Err(error) if has_no_route(&error) => {
                // The session may be what was not found; its list then says so.
                self.list_files(isolation, session, None).await?;
                Err(FoundryError::NotOffered { operation })
            }
            done => done,
        }
    }

    /// Deletes a file or an empty directory; with `recursive` any directory.
    pub async fn delete_file(
        &self,
        isolation: &WireIsolation,
        session: &SessionId,
        path: &RemotePath,
        recursive: bool,
    ) -> Result<(), FoundryError> {
        let request = self.files(Operation::DeleteFile, Method::DELETE, session, &[]).at(path);
        let request = request.with("recursive", if recursive { "true" } else { "false" });
        self.done(&request.isolated(isolation)).await
    }
}

/// An address below `files` under construction.
struct FileCall {
    operation: Operation,
    method: Method,
    url: url::Url,
}

impl FileCall {
    fn at(self, path: &RemotePath) -> Self {
        self.with("path", path.as_str())
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    fn isolated(self, isolation: &WireIsolation) -> Request<'_> {
        Request::new(self.operation, self.method, self.url).isolated(isolation)
    }
}

/// May the service just not know this address?
fn has_no_route(error: &FoundryError) -> bool {
    matches!(error.status(), Some(404 | 405 | 501))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_generations_of_entries_are_read() {
        let read = |text: &str| serde_json::from_str::<WireEntry>(text).unwrap().read(|name| format!("data/{name}"));
        let documented = read(r#"{"name":"a","size":5,"is_directory":false,"modified_time":1764000000}"#);
        assert_eq!((documented.path.as_str(), documented.size, documented.is_dir), ("data/a", 5, false));
        assert_eq!(documented.modified_time, Some(1_764_000_000));
        let azd = read(
            r#"{"name":"b","path":"b","is_dir":true,"mode":493,"modified_time":"2025-11-24T16:00:00.5Z","new":1}"#,
        );
        assert_eq!((azd.path.as_str(), azd.is_directory, azd.modified_time), ("b", true, Some(1_764_000_000)));
        assert_eq!((azd.other.get("mode"), azd.other.get("new")), (Some(&json!(493)), Some(&json!(1))));
        let both = read(r#"{"name":"c","is_dir":false,"is_directory":true}"#);
        assert!(both.is_directory && both.is_dir, "the documented key wins");
    }

    #[test]
    fn a_time_is_seconds_milliseconds_or_text() {
        for (value, seconds) in [
            (json!(1_764_000_000), Some(1_764_000_000)),
            (json!(1_764_000_000_900_i64), Some(1_764_000_000)),
            (json!(1_764_000_000.7), Some(1_764_000_000)),
            (json!("2025-11-24T17:00:00+01:00"), Some(1_764_000_000)),
            (json!("yesterday"), None),
            (json!(null), None),
        ] {
            assert_eq!(unix_seconds(&value), seconds, "{value}");
        }
    }
}
