//! `files/*`: the files of a session's home, which outlive its sandbox.
//!
//! `files/upload` and `files/download` name files of this machine, which the daemon reads and writes itself. [`pieces`] carry
//! the bytes on the connection instead.

pub mod pieces;

pub use crate::path::{LocalPath, RemotePath};

use crate::Method;
use crate::error::ErrorKind;
use crate::id::SessionId;
use crate::notice::Notice;
use crate::observe::{ProgressOptions, SentRequest};
use crate::reach::{Reach, Subject};
use crate::sessions::SessionParams;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Largest file the service takes, in bytes: "50 MB" (contract section 5), read as the larger of its two meanings so that
/// nothing is refused here that the service would take.
pub const MAX_FILE_BYTES: u64 = 50 * 1024 * 1024;

/// A file or directory, in the service's field names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "FileEntry"))]
pub struct Entry {
    /// Its name in its directory. The agent chose it: never use it as a local path unchecked.
    pub name: String,
    /// Its path in the home.
    pub path: String,
    /// Is it a directory?
    pub is_directory: bool,
    /// The same, in the spelling of the azd command line.
    pub is_dir: bool,
    /// Bytes.
    pub size: u64,
    /// When it was last changed, Unix seconds, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_time: Option<i64>,
    /// All other fields from the service, for example `mode`.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What one `$/progress` of a transfer says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", tag = "type", rename_all_fields = "camelCase")]
pub enum FileEvent {
    /// An outgoing request, if `debug` was set.
    Request(SentRequest),
    /// The progress so far. It goes back only if the service asks for the file again.
    Progress {
        /// Bytes so far.
        bytes: u64,
        /// The total, if known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total_bytes: Option<u64>,
    },
}

/// Uploads a local file to the session's home. An existing file is replaced; the service creates missing directories.
///
/// On a bound connection this needs a binding that names this method and a directory (`files`), and the file must be below that
/// directory.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Upload;

impl Method for Upload {
    const NAME: &'static str = "files/upload";
    const REACH: Reach = Reach::LocalFiles;
    type Params = UploadParams;
    type Response = TransferResponse;

    fn subject(params: &UploadParams) -> Subject<'_> {
        params.session.subject()
    }

    fn progress(params: &Self::Params) -> ProgressOptions {
        params.session.progress.clone()
    }
}

/// What to upload, and where to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "FileUploadParams"))]
#[serde(rename_all = "camelCase")]
pub struct UploadParams {
    /// Which session; its token asks for [`FileEvent`]s.
    #[serde(flatten)]
    pub session: SessionParams,
    /// The file to read, at most 50 MiB long ([`MAX_FILE_BYTES`]).
    pub local_path: LocalPath,
    /// A directory and everything in it; its contents go into a directory of the target's name, beside what is there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recursive: bool,
    /// Where to put it; its own name in the home when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<RemotePath>,
}

/// Copies a file of the session's home to a local one. An existing local file is replaced at once and as a whole when
/// the last byte is there, and untouched by anything that fails before.
///
/// On a bound connection this needs a binding that names this method and a directory (`files`), and the file must be below that
/// directory.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Download;

impl Method for Download {
    const NAME: &'static str = "files/download";
    const REACH: Reach = Reach::LocalFiles;
    type Params = DownloadParams;
    type Response = TransferResponse;

    fn subject(params: &DownloadParams) -> Subject<'_> {
        params.session.subject()
    }

    fn progress(params: &Self::Params) -> ProgressOptions {
        params.session.progress.clone()
    }
}

/// What to download, and where to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "FileDownloadParams"))]
#[serde(rename_all = "camelCase")]
pub struct DownloadParams {
    /// Which session; its token asks for [`FileEvent`]s.
    #[serde(flatten)]
    pub session: SessionParams,
    /// The file to fetch.
    pub path: RemotePath,
    /// The file to write; its directory must exist.
    pub local_path: LocalPath,
    /// A directory and everything in it; its contents go into a directory of the target's name, beside what is there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recursive: bool,
}

/// What was transferred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "FileTransferResponse"))]
#[serde(rename_all = "camelCase")]
pub struct TransferResponse {
    /// The session.
    pub session_id: SessionId,
    /// The file in its home.
    pub path: RemotePath,
    /// The local file.
    pub local_path: LocalPath,
    /// Bytes.
    pub bytes: u64,
    /// The result for a directory. The call succeeds if the whole directory was traversed; failures on the way are listed here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<Tree>,
    /// What the caller should know about what was written, for example that the session will not keep it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
}

/// What was transferred of a directory, file by file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tree {
    /// Files transferred.
    pub files: u64,
    /// Directories traversed, including the first.
    pub directories: u64,
    /// What could not be transferred, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<TreeFailure>,
    /// What was left out on purpose: links that lead out of the directory or to a directory, devices and the like. On a bound
    /// connection no link is followed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
}

/// One file or directory that could not be transferred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TreeFailure {
    /// The file: the local one of an upload, the session's of a download.
    pub path: String,
    /// In one word.
    pub kind: ErrorKind,
    /// What happened, for people.
    pub message: String,
}

/// Lists what is directly in a directory of the session's home.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct List;

impl Method for List {
    const NAME: &'static str = "files/list";
    const REACH: Reach = Reach::Agent;
    type Params = ListParams;
    type Response = ListResponse;

    fn subject(params: &ListParams) -> Subject<'_> {
        params.session.subject()
    }

    fn progress(params: &Self::Params) -> ProgressOptions {
        params.session.progress.clone()
    }
}

/// What to list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "FileListParams"))]
#[serde(rename_all = "camelCase")]
pub struct ListParams {
    /// Which session.
    #[serde(flatten)]
    pub session: SessionParams,
    /// The directory; the home when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<RemotePath>,
}

/// A directory, all pages of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "FileListResponse"))]
pub struct ListResponse {
    /// The directory; `.` is the home.
    pub path: String,
    /// What is in it, in the service's order.
    pub entries: Vec<Entry>,
    /// There are more than can be listed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_more: bool,
}

/// Names one file or directory of the session's home.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "FilePathParams"))]
#[serde(rename_all = "camelCase")]
pub struct PathParams {
    /// Which session.
    #[serde(flatten)]
    pub session: SessionParams,
    /// The file or directory.
    pub path: RemotePath,
}

/// Shows one file or directory; looked up in its directory's list where the service has no such operation.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stat;

impl Method for Stat {
    const NAME: &'static str = "files/stat";
    const REACH: Reach = Reach::Agent;
    type Params = PathParams;
    type Response = Entry;

    fn subject(params: &PathParams) -> Subject<'_> {
        params.session.subject()
    }

    fn progress(params: &Self::Params) -> ProgressOptions {
        params.session.progress.clone()
    }
}

/// Creates a directory and its parents. Not every service offers it: then the error is `notOffered`.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MakeDirectory;

impl Method for MakeDirectory {
    const NAME: &'static str = "files/mkdir";
    const REACH: Reach = Reach::Agent;
    type Params = PathParams;
    type Response = PathResponse;

    fn subject(params: &PathParams) -> Subject<'_> {
        params.session.subject()
    }

    fn progress(params: &Self::Params) -> ProgressOptions {
        params.session.progress.clone()
    }
}

/// What was made or deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "FilePathResponse"))]
#[serde(rename_all = "camelCase")]
pub struct PathResponse {
    /// The session.
    pub session_id: SessionId,
    /// The file or directory.
    pub path: RemotePath,
}

/// Deletes a file or directory.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Delete;

impl Method for Delete {
    const NAME: &'static str = "files/delete";
    const REACH: Reach = Reach::Agent;
    type Params = DeleteParams;
    type Response = PathResponse;

    fn subject(params: &DeleteParams) -> Subject<'_> {
        params.session.subject()
    }

    fn progress(params: &Self::Params) -> ProgressOptions {
        params.session.progress.clone()
    }
}

/// What to delete.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "FileDeleteParams"))]
#[serde(rename_all = "camelCase")]
pub struct DeleteParams {
    /// Which session.
    #[serde(flatten)]
    pub session: SessionParams,
    /// The file or directory.
    pub path: RemotePath,
    /// A directory and everything in it, not only an empty one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recursive: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params_are_one_flat_object() {
        let text = r#"{"target":{"kind":"emulator"},"isolation":{"userKey":"acme"},"sessionId":"sess_1234","path":"a.txt","recursive":true}"#;
        let params: DeleteParams = serde_json::from_str(text).unwrap();
        assert_eq!(params.session.session_id.as_ref().map(SessionId::as_str), Some("sess_1234"));
        let again = serde_json::to_value(&params).unwrap();
        assert_eq!(again["isolation"]["userKey"], "acme");
        assert_eq!(again["recursive"], true);
    }
}
