//! What a 403 means: a matter of whose state it is, or something else that it names (pure).

use cupola_protocol::error::ErrorKind;

/// Why the service forbids a call whoever's state it is for.
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

impl Denial {
    /// What a 403 names: by its code, else by its words (contract section 14.2; Azure's own codes for roles and networks).
    pub(super) fn of(code: Option<&str>, message: &str) -> Option<Self> {
        match code.map(str::to_ascii_lowercase).as_deref() {
            Some("preview_feature_required") => return Some(Self::Preview),
            Some("agent_disabled") => return Some(Self::Disabled),
            Some(
                "permissiondenied"
                | "permission_denied"
                | "authorizationfailed"
                | "authorization_failed"
                | "authorizationpermissionmismatch"
                | "insufficient_permissions",
            ) => return Some(Self::Permission),
            Some(
                "publicnetworkaccessdisabled"
                | "accessdeniedduetofirewall"
                | "forbiddenbyfirewall"
                | "virtualnetworkrule",
            ) => {
                return Some(Self::Network);
            }
            _ => {}
        }
        let message = message.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
        if says(&["public access", "public network", "virtual network", "firewall", "private endpoint", "private link"])
        {
            Some(Self::Network)
        } else if says(&["data action", "permission", "role assignment", "not authorized", "required role"]) {
            Some(Self::Permission)
        } else {
            None
        }
    }
}

/// A 403 without a code that names its kind.
pub(super) struct Forbidden<'a> {
    /// The service's code.
    pub(super) code: Option<&'a str>,
    /// Its message.
    pub(super) message: &'a str,
    /// The request acted for another user.
    pub(super) is_delegated: bool,
    /// It was to delete a session.
    pub(super) is_deletion: bool,
}

impl Forbidden<'_> {
    /// What it means.
    pub(super) fn kind(&self) -> ErrorKind {
        let message = self.message.to_ascii_lowercase();
        let says = |words: &str| message.contains(words);
        if says("impersonation") {
            ErrorKind::ImpersonationNotPermitted
        } else if Denial::of(self.code, self.message).is_some() {
            // Before any words that speak of a session: those of a permission and of a network name what was asked for, too.
            ErrorKind::Forbidden
        } else if self.is_deletion && (says("delete") || says("owner")) {
            ErrorKind::NotSessionOwner
        } else if self.is_delegated && self.code == Some("forbidden") {
            ErrorKind::ImpersonationNotPermitted
        } else if says("isolation key") && (says("require") || says("missing")) {
            ErrorKind::IsolationKeyRequired
        } else if says("isolation key") || says("not accessible") {
            ErrorKind::IsolationMismatch
        } else {
            ErrorKind::Forbidden
        }
    }
}
