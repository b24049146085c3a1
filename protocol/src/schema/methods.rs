//! Every method by its group: what the generated documents and types are made of, in this order.
//!
//! A method that the daemon answers and this list lacks fails a test.

use crate::files::FileEvent;
use crate::invoke::NumberedEvent;
use crate::monitor::MonitorEvent;
use crate::reach::Reach;
use crate::{Method, agents, auth, chats, daemon, doctor, files, invoke, monitor, partitions, runs, sessions, status};
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Describes one type.
pub(super) type Describe = fn(&mut SchemaGenerator) -> Schema;

/// Methods that belong together.
pub struct Group {
    /// In one word.
    pub name: &'static str,
    /// What they are for.
    pub about: &'static str,
    /// The methods.
    pub methods: Vec<Entry>,
}

/// One method.
pub struct Entry {
    /// Its name on the wire.
    pub name: &'static str,
    /// May a bound connection call it? Then it may leave the target out.
    pub(super) is_bindable: bool,
    pub(super) docs: Describe,
    pub(super) params: Describe,
    pub(super) response: Describe,
    pub(super) event: Option<Describe>,
}

/// A method without its own events.
fn method<M: Method + JsonSchema>() -> Entry
where
    M::Params: JsonSchema,
    M::Response: JsonSchema,
{
    Entry {
        name: M::NAME,
        is_bindable: !matches!(M::REACH, Reach::Connection | Reach::Unbounded),
        docs: M::json_schema,
        params: SchemaGenerator::subschema_for::<M::Params>,
        response: SchemaGenerator::subschema_for::<M::Response>,
        event: None,
    }
}

impl Entry {
    /// The values of its `$/progress` notifications.
    fn with_events<Event: JsonSchema>(self) -> Self {
        Self { event: Some(SchemaGenerator::subschema_for::<Event>), ..self }
    }
}

/// The list.
pub fn groups() -> Vec<Group> {
    vec![
        Group {
            name: "connection",
            about: "Opening and leaving a connection, and what the daemon says of its protocol.",
            methods: vec![method::<daemon::Initialize>(), method::<daemon::Shutdown>(), method::<daemon::Discover>()],
        },
        Group {
            name: "invoke",
            about: "Calling an agent.",
            methods: vec![method::<invoke::Invoke>().with_events::<NumberedEvent>()],
        },
        Group {
            name: "runs",
            about: "Running and recent invokes, also for clients that did not start them.",
            methods: vec![
                method::<runs::List>(),
                method::<runs::Show>(),
                method::<runs::Attach>().with_events::<NumberedEvent>(),
                method::<runs::Cancel>(),
            ],
        },
        Group {
            name: "sessions",
            about: "The service's sandboxes, as the caller's isolation sees them.",
            methods: vec![
                method::<sessions::Create>(),
                method::<sessions::List>(),
                method::<sessions::Show>(),
                method::<sessions::Use>(),
                method::<sessions::Stop>(),
                method::<sessions::Delete>(),
            ],
        },
        Group {
            name: "files",
            about: "The files of a session's home. `files/read` and `files/write` carry bytes on the connection; for \
                `files/upload` and `files/download` the daemon reads and writes files of this machine itself.",
            methods: vec![
                method::<files::pieces::Read>(),
                method::<files::pieces::Write>(),
                method::<files::Upload>().with_events::<FileEvent>(),
                method::<files::Download>().with_events::<FileEvent>(),
                method::<files::List>(),
                method::<files::Stat>(),
                method::<files::MakeDirectory>(),
                method::<files::Delete>(),
            ],
        },
        Group {
            name: "monitor",
            about: "A session's log.",
            methods: vec![method::<monitor::Monitor>().with_events::<MonitorEvent>()],
        },
        Group {
            name: "agents",
            about: "A project's agents, as the service describes them.",
            methods: vec![method::<agents::List>(), method::<agents::Show>()],
        },
        Group {
            name: "partitions",
            about: "Saved state: which session and conversation each isolation continues.",
            methods: vec![method::<partitions::List>(), method::<partitions::Forget>(), method::<partitions::Import>()],
        },
        Group {
            name: "chats",
            about: "Conversations that a client keeps apart by a label: what it remembers about them, and their items.",
            methods: vec![
                method::<chats::Save>(),
                method::<chats::List>(),
                method::<chats::Forget>(),
                method::<chats::Items>(),
            ],
        },
        Group {
            name: "daemon",
            about: "The daemon itself.",
            methods: vec![method::<status::Status>(), method::<doctor::Doctor>(), method::<daemon::Stop>()],
        },
        Group {
            name: "auth",
            about: "The tokens the daemon holds. Their values are never shown.",
            methods: vec![method::<auth::Status>(), method::<auth::Clear>()],
        },
    ]
}
