//! What a 403 means: a matter of whose state it is, or something else that it names. Pure.

use super::Operation;
use super::evidence::Evidence;
use cupola_protocol::error::ErrorKind;

/// Why the service forbids a call regardless of whose state it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// The caller's account lacks a role or a permission.
    Permission,
    /// The caller's network is not let in.
    Network,
    /// The service wants a preview feature to be asked for.
    Preview,
    /// The agent is switched off.
    Disabled,
}

/// Words that speak of the caller's network.
const NETWORK: [&str; 6] =
    ["public access", "public network", "virtual network", "firewall", "private endpoint", "private link"];

/// Words that speak of the caller's permission.
const PERMISSION: [&str; 5] = ["data action", "permission", "role assignment", "not authorized", "required role"];

impl Denial {
    /// What a 403 names: by its code, else by its words (contract section 14.2; Azure's own codes for roles and networks).
    pub(super) fn of(evidence: &Evidence<'_>) -> Option<Self> {
        let says = |words: &&str| evidence.says(words);
        if let Some(denial) = evidence.codes().find_map(Self::of_code) {
            Some(denial)
        } else if NETWORK.iter().any(says) {
            Some(Self::Network)
        } else if PERMISSION.iter().any(says) {
            Some(Self::Permission)
        } else {
            None
        }
    }

    fn of_code(code: &str) -> Option<Self> {
        match code.to_ascii_lowercase().as_str() {
            "preview_feature_required" => Some(Self::Preview),
            "agent_disabled" => Some(Self::Disabled),
            "permissiondenied"
            | "permission_denied"
            | "authorizationfailed"
            | "authorization_failed"
            | "authorizationpermissionmismatch"
            | "insufficient_permissions" => Some(Self::Permission),
            "publicnetworkaccessdisabled"
            | "accessdeniedduetofirewall"
            | "forbiddenbyfirewall"
            | "virtualnetworkrule" => Some(Self::Network),
            _ => None,
        }
    }
}

/// What a 403 means whose code does not name a kind.
pub(super) fn forbidden(evidence: &Evidence<'_>) -> ErrorKind {
    let says = |words| evidence.says(words);
    if says("impersonation") {
        ErrorKind::ImpersonationNotPermitted
    } else if Denial::of(evidence).is_some() {
        // Before any words that speak of a session: those of a permission and of a network name what was asked for, too.
        ErrorKind::Forbidden
    } else if evidence.operation == Operation::DeleteSession && (says("delete") || says("owner")) {
        ErrorKind::NotSessionOwner
    } else if evidence.delegated && evidence.code == Some("forbidden") {
        ErrorKind::ImpersonationNotPermitted
    } else if says("isolation key") && (says("require") || says("missing")) {
        ErrorKind::IsolationKeyRequired
    } else if says("isolation key") || says("not accessible") {
        ErrorKind::IsolationMismatch
    } else {
        ErrorKind::Forbidden
    }
}
