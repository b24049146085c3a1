//! The scripts that run in the store, each atomically. All keys of one begin with the same text, whose part in braces decides the hash
//! slot. They are Lua, which Valkey and Redis both run, and each may run twice. What only deletes runs in a full store, too.

use std::sync::OnceLock;

/// A script.
pub(super) struct Script {
    text: &'static str,
    digest: OnceLock<String>,
}

impl Script {
    const fn new(text: &'static str) -> Self {
        Self { text, digest: OnceLock::new() }
    }

    pub(super) const fn text(&self) -> &'static str {
        self.text
    }

    /// What the store calls it.
    pub(super) fn digest(&self) -> &str {
        self.digest.get_or_init(|| redis::Script::new(self.text).get_hash().to_owned())
    }
}

/// A script that writes: with what such scripts have in common before its own text.
macro_rules! writing {
    ($flags:literal, $file:literal) => {
        Script::new(concat!($flags, include_str!("scripts/record.lua"), include_str!($file)))
    };
}

pub(super) static ACQUIRE: Script = Script::new(include_str!("scripts/acquire.lua"));
pub(super) static RENEW: Script = Script::new(include_str!("scripts/renew.lua"));
pub(super) static RELEASE: Script =
    Script::new(concat!("#!lua flags=allow-oom\n", include_str!("scripts/release.lua")));
pub(super) static SET: Script = writing!("", "scripts/set.lua");
pub(super) static PLACE: Script = writing!("", "scripts/place.lua");
pub(super) static REMEMBER: Script = writing!("", "scripts/remember.lua");
pub(super) static FORGET_ID: Script = writing!("#!lua flags=allow-oom\n", "scripts/forget_id.lua");
pub(super) static FORGET: Script = writing!("#!lua flags=allow-oom\n", "scripts/forget.lua");
pub(super) static LIST: Script = Script::new(concat!("#!lua flags=no-writes\n", include_str!("scripts/list.lua")));
pub(super) static PAGE: Script = Script::new(concat!("#!lua flags=no-writes\n", include_str!("scripts/page.lua")));
pub(super) static PUT_IN_ORDER: Script = Script::new(concat!(
    "#!lua flags=allow-oom\n",
    include_str!("scripts/put_in_order.lua"),
    include_str!("scripts/page.lua")
));
pub(super) static PUT_RUN: Script = Script::new(include_str!("scripts/put_run.lua"));
pub(super) static NOTE_RUN: Script = Script::new(include_str!("scripts/note_run.lua"));
pub(super) static FORGET_RUNS: Script =
    Script::new(concat!("#!lua flags=allow-oom\n", include_str!("scripts/forget_runs.lua")));
pub(super) static RUNS: Script = Script::new(concat!("#!lua flags=no-writes\n", include_str!("scripts/runs.lua")));
pub(super) static META: Script = Script::new(concat!("#!lua flags=allow-oom\n", include_str!("scripts/meta.lua")));
pub(super) static SAVE_CHAT: Script = writing!("", "scripts/save_chat.lua");
pub(super) static ASK: Script = writing!("", "scripts/ask.lua");
pub(super) static CLAIM_QUESTIONS: Script = writing!("", "scripts/claim_questions.lua");
pub(super) static SETTLE_QUESTIONS: Script = writing!("#!lua flags=allow-oom\n", "scripts/settle_questions.lua");
pub(super) static FORGET_CHAT: Script = writing!("#!lua flags=allow-oom\n", "scripts/forget_chat.lua");
