//! `cupola acp`: hosted agents in editors that speak the Agent Client Protocol, on standard input and output.
//!
//! One ACP session is one chat: a label below the isolation that the flags name. What an editor sends decides neither the isolation nor
//! the agent, unless `--unbound` says so.
//!
//! - [`adapter`]: what each request does
//! - [`session`]: a session and the turn in it; [`turn`]: a prompt from its request to its ending
//! - [`prompt`], [`items`], [`teller`]: what the person wrote as text, and what the service says as updates; pure
//! - [`options`]: what the person can choose; [`questions`]: what the agent asks the person
//! - [`calls`]: the daemon's side of the line; [`editor`]: the editor's; [`problem`]: errors

mod adapter;
mod calls;
mod editor;
mod items;
mod options;
mod problem;
mod prompt;
mod questions;
mod session;
mod teller;
mod turn;

use crate::environment::Environment;
use crate::exit;
use crate::failure::Failure;
use crate::hooks::Hooks;
use crate::line::frame;
use crate::line::stop::Stop;
use crate::scope::ScopeFlags;
use adapter::Adapter;
use agent_client_protocol_schema::v1::{
    AGENT_METHOD_NAMES, AuthenticateResponse, CancelNotification, Error, PromptRequest,
};
use calls::{Calls, Scope};
use clap::Args;
use cupola_protocol::framing::Framing;
use cupola_protocol::target::Target;
use options::Open;
use problem::invalid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, BufReader, Stdin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Scope as Threads};

pub(crate) const HELP: &str = "\
An editor starts this command and speaks the Agent Client Protocol (version 1) with it. Each of its sessions is a conversation of its \
own with the agent, under the isolation of these flags. docs/acp.md has the settings for each editor.

Examples:
  cupola acp --emulator
  cupola acp --profile acme
  cupola acp --emulator --user-isolation-key tenant-acme --agent-name notes";

/// Most requests at once. An editor has one for each session it shows.
const MAX_REQUESTS: usize = 64;
/// Cancels a request, in this protocol's spelling and in LSP's.
const CANCEL_REQUEST: [&str; 2] = ["$/cancel_request", "$/cancelRequest"];

#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// Let each session name its agent and isolation in `_meta.cupola`, for programs that serve several users
    #[arg(long)]
    unbound: bool,
    #[command(flatten)]
    pub scope: ScopeFlags,
}

/// A message of the editor.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(default, borrow)]
    id: Option<&'a RawValue>,
    #[serde(default, borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    params: Option<&'a RawValue>,
    #[serde(default, borrow)]
    result: Option<&'a RawValue>,
}

/// Serves the editor until it has nothing more to say and every request is answered.
pub(crate) fn run(flags: &Flags, hooks: Hooks) -> Result<u8, Failure> {
    let (target, isolation) = flags.scope.resolve(None)?;
    let open = flags.open(&target)?;
    let calls = Calls::new(&flags.scope.daemon, hooks);
    let server = Server {
        adapter: Adapter::new(calls, Scope { target, isolation }, open, flags.unbound, flags.scope.debug),
        prompts: Mutex::default(),
        under_way: AtomicUsize::new(0),
        input: Mutex::new(Input { reader: BufReader::new(io::stdin()), end: None }),
        // The thread that is here.
        ready: AtomicUsize::new(1),
    };
    thread::scope(|threads| server.serve(threads));
    let input = server.input.into_inner().unwrap_or_else(PoisonError::into_inner);
    input.end.unwrap_or(Ok(exit::OK))
}

impl Flags {
    /// What the flags, the variables and the profile leave to the person.
    fn open(&self, target: &Target) -> Result<Open, Failure> {
        let environment = Environment::process(self.scope.no_env);
        let profile = self.scope.profile(&environment)?;
        let is_named = self.scope.target.agent_name.is_some()
            || environment.text("CUPOLA_AGENT")?.is_some()
            || profile.agent.is_some()
            // A gateway lists no agents: its caller names the one that is meant, unless there is only one.
            || matches!(target, Target::AgentEndpoint { .. } | Target::Local { .. } | Target::Gateway { .. });
        Ok(Open { agent: !is_named, version: target.version().is_none() })
    }
}

/// What the editor sends.
struct Input {
    reader: BufReader<Stdin>,
    /// How it has ended.
    end: Option<Result<u8, Failure>>,
}

struct Server {
    adapter: Adapter,
    /// Prompts under way, by the ids of their requests.
    prompts: Mutex<HashMap<String, Arc<Stop>>>,
    under_way: AtomicUsize,
    /// The thread that holds it reads the next message.
    input: Mutex<Input>,
    /// How many threads wait for the input, or are about to.
    ready: AtomicUsize,
}

/// What has to wait for the daemon. It answers its request.
type Work<'a> = Box<dyn FnOnce() + 'a>;

impl Server {
    /// Takes messages until the editor has nothing more to say. What may have to wait for the daemon is done by the thread that has read
    /// it, while another thread reads what comes next: so no request waits for a thread to begin.
    fn serve<'scope>(&'scope self, threads: &'scope Threads<'scope, '_>) {
        let mut message = Vec::new();
        loop {
            let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
            self.ready.fetch_sub(1, Ordering::SeqCst);
            let work = loop {
                if input.end.is_some() {
                    return;
                }
                match frame::read(Framing::Ndjson, &mut input.reader, &mut message) {
                    Ok(true) => {
                        if let Some(work) = self.message(&message, threads) {
                            break work;
                        }
                    }
                    ended => {
                        let unread = |error| Failure::usage(format!("could not read standard input: {error}"));
                        input.end = Some(ended.map(|_| exit::OK).map_err(unread));
                        self.adapter.editor.left();
                        return;
                    }
                }
            };
            drop(input);
            work();
            self.ready.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Has another thread read what comes next. The error says why there is none.
    fn hand_over<'scope>(&'scope self, threads: &'scope Threads<'scope, '_>) -> io::Result<()> {
        // This thread holds the input, so one that is ready gets it next.
        if self.ready.load(Ordering::SeqCst) > 0 {
            return Ok(());
        }
        self.ready.fetch_add(1, Ordering::SeqCst);
        let started = thread::Builder::new().spawn_scoped(threads, move || self.serve(threads));
        if started.is_err() {
            self.ready.fetch_sub(1, Ordering::SeqCst);
        }
        started.map(drop)
    }

    /// Takes one message, in its order. Returns what is left to do of it, which may have to wait for the daemon.
    fn message<'scope>(&'scope self, bytes: &[u8], threads: &'scope Threads<'scope, '_>) -> Option<Work<'scope>> {
        let editor = &self.adapter.editor;
        let Ok(message) = serde_json::from_slice::<Message<'_>>(bytes) else {
            editor.answer(RawValue::NULL, Err::<(), _>(Error::parse_error()));
            return None;
        };
        match (message.method.as_deref(), message.id) {
            (Some(method), Some(id)) => return self.request(method, id, message.params, threads),
            (Some(method), None) => self.notification(method, message.params),
            (None, Some(id)) => editor.answered(id, message.result),
            (None, None) => editor.answer(RawValue::NULL, Err::<(), _>(Error::invalid_request())),
        }
        None
    }

    fn notification(&self, method: &str, params: Option<&RawValue>) {
        #[derive(Deserialize)]
        struct CancelRequest<'a> {
            #[serde(borrow, rename = "requestId", alias = "id")]
            id: &'a RawValue,
        }
        let text = params.map_or("null", RawValue::get);
        if method == AGENT_METHOD_NAMES.session_cancel {
            if let Ok(cancel) = serde_json::from_str::<CancelNotification>(text) {
                self.adapter.cancel(&cancel.session_id);
            }
        } else if CANCEL_REQUEST.contains(&method)
            && let Ok(cancel) = serde_json::from_str::<CancelRequest<'_>>(text)
        {
            let prompt = self.prompts().get(cancel.id.get()).cloned();
            // Only prompts can be cancelled; a cancellation of any other request is ignored.
            if let Some(prompt) = prompt {
                prompt.now();
            }
        }
    }

    fn request<'scope>(
        &'scope self,
        method: &str,
        id: &RawValue,
        params: Option<&RawValue>,
        threads: &'scope Threads<'scope, '_>,
    ) -> Option<Work<'scope>> {
        let adapter = &self.adapter;
        let names = &AGENT_METHOD_NAMES;
        let apart = Apart { server: self, id, params, threads };
        match method {
            _ if method == names.initialize => {
                adapter.editor.answer(id, read(params).map(|request| adapter.initialize(request)));
                None
            }
            // There is nothing to sign in to here: the daemon has the credential.
            _ if method == names.authenticate => {
                adapter.editor.answer(id, Ok(AuthenticateResponse::new()));
                None
            }
            _ if method == names.session_prompt => self.prompt(&apart),
            _ if method == names.session_new => apart.does(|request| adapter.new_session(&request)),
            _ if method == names.session_load => apart.does(|request| adapter.load(&request)),
            _ if method == names.session_resume => apart.does(|request| adapter.resume(&request)),
            _ if method == names.session_list => apart.does(|request| adapter.list(&request)),
            _ if method == names.session_close => apart.does(|request| adapter.close(&request)),
            _ if method == names.session_delete => apart.does(|request| adapter.delete(&request)),
            _ if method == names.session_set_config_option => apart.does(|request| adapter.set_option(&request)),
            _ => {
                adapter.editor.answer(id, Err::<(), _>(Error::method_not_found()));
                None
            }
        }
    }

    fn prompt<'scope>(&'scope self, apart: &Apart<'_, 'scope, '_>) -> Option<Work<'scope>> {
        match read::<PromptRequest>(apart.params).and_then(|request| self.adapter.begin(&request)) {
            Ok(prompt) => {
                let key = apart.id.get().to_owned();
                self.prompts().insert(key.clone(), Arc::clone(&prompt.stop));
                let work = apart.answers(move || {
                    let ending = self.adapter.prompt(&prompt);
                    self.prompts().remove(&key);
                    ending
                });
                if work.is_none() {
                    self.prompts().remove(apart.id.get());
                }
                work
            }
            Err(error) => {
                self.adapter.editor.answer(apart.id, Err::<(), _>(error));
                None
            }
        }
    }

    fn prompts(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Stop>>> {
        self.prompts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that may have to wait for the daemon.
struct Apart<'a, 'scope, 'env> {
    server: &'scope Server,
    id: &'a RawValue,
    params: Option<&'a RawValue>,
    threads: &'scope Threads<'scope, 'env>,
}

impl<'scope> Apart<'_, 'scope, '_> {
    /// The work that takes the parameters and answers. None if it was refused instead.
    fn does<Params: DeserializeOwned + 'scope, Answer: Serialize>(
        &self,
        answer: impl FnOnce(Params) -> Result<Answer, Error> + 'scope,
    ) -> Option<Work<'scope>> {
        match read::<Params>(self.params) {
            Ok(params) => self.answers(move || answer(params)),
            Err(error) => self.refuse(error),
        }
    }

    /// The work that answers. None if it was refused instead.
    fn answers<Answer: Serialize>(
        &self,
        answer: impl FnOnce() -> Result<Answer, Error> + 'scope,
    ) -> Option<Work<'scope>> {
        let server = self.server;
        let mut error = Error::internal_error();
        if server.under_way.load(Ordering::Relaxed) >= MAX_REQUESTS {
            error.message = format!("{MAX_REQUESTS} requests are under way; wait until one of them has ended");
            return self.refuse(error);
        }
        if let Err(why) = server.hand_over(self.threads) {
            error.message = format!("could not start a thread for the request: {why}");
            return self.refuse(error);
        }
        server.under_way.fetch_add(1, Ordering::Relaxed);
        let id = self.id.to_owned();
        Some(Box::new(move || {
            let result = answer();
            server.under_way.fetch_sub(1, Ordering::Relaxed);
            server.adapter.editor.answer(&id, result);
        }))
    }

    fn refuse(&self, error: Error) -> Option<Work<'scope>> {
        self.server.adapter.editor.answer(self.id, Err::<(), _>(error));
        None
    }
}

/// The parameters of a request.
fn read<Params: DeserializeOwned>(params: Option<&RawValue>) -> Result<Params, Error> {
    // What a parameter was is not repeated: it may be a key.
    serde_json::from_str(params.map_or("null", RawValue::get)).map_err(|error| {
        let why = error.to_string();
        if let Some(name) = why.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
            return invalid(format!("the parameter `{name}` is missing"));
        }
        let place = format!("line {}, column {}", error.line(), error.column());
        invalid(format!("the parameters are not what this method takes ({place})"))
    })
}
