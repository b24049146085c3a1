//! What each request of the editor does.

use super::calls::{Calls, Scope};
use super::editor::Editor;
use super::items::Item;
use super::options::{self, Open};
use super::problem::{self, invalid};
use super::prompt;
use super::session::{Session, Unsaved, busy, id_of};
use super::teller::Teller;
use super::turn::Turn;
use crate::environment::version;
use crate::line::bound::Beside;
use crate::line::stop::Stop;
use agent_client_protocol_schema::ProtocolVersion;
use agent_client_protocol_schema::v1::{
    AgentCapabilities, CloseSessionRequest, CloseSessionResponse, DeleteSessionRequest, DeleteSessionResponse, Error,
    Implementation, InitializeRequest, InitializeResponse, ListSessionsRequest, ListSessionsResponse,
    LoadSessionRequest, LoadSessionResponse, Meta, NewSessionRequest, NewSessionResponse, PromptCapabilities,
    PromptRequest, PromptResponse, ResumeSessionRequest, ResumeSessionResponse, SessionCapabilities,
    SessionCloseCapabilities, SessionConfigOption, SessionConfigOptionValue, SessionDeleteCapabilities, SessionId,
    SessionInfo, SessionInfoUpdate, SessionListCapabilities, SessionResumeCapabilities, SessionUpdate,
    SetSessionConfigOptionRequest, SetSessionConfigOptionResponse,
};
use cupola_protocol::chats::{self, ChatDetails, ChatInfo, ChatParams, ForgetParams, ItemsParams, SaveParams};
use cupola_protocol::isolation::Isolation;
use cupola_protocol::target::{AbsolutePath, Target};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use uuid::Uuid;

/// What is said once about the editor's MCP servers.
const NOT_CONNECTED: &str = "The MCP servers of this editor are not connected: a hosted agent runs in the cloud and uses the tools it was deployed with.";
/// What is said in place of a history that the service does not keep.
const NO_HISTORY: &str = "The service keeps no history for this agent's protocol. The session continues; its earlier messages cannot be shown.";
/// How many items of a conversation are read at once.
const ITEMS: u32 = 200;

/// The agent that the editor sees.
pub(super) struct Adapter {
    pub(super) calls: Calls,
    pub(super) editor: Editor,
    /// What the flags say.
    pub(super) base: Scope,
    /// What they leave open.
    pub(super) open: Open,
    /// Sessions name their own agent and isolation.
    pub(super) is_unbound: bool,
    pub(super) debug: bool,
    sessions: Mutex<HashMap<SessionId, Arc<Session>>>,
    /// MCP servers were given, and nobody has been told yet that they are not connected.
    owes_note: AtomicBool,
}

/// `_meta.cupola` of a request about a session.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Named {
    target: Option<Target>,
    isolation: Option<Isolation>,
}

/// A prompt that has begun. Its session takes the next one when it is dropped.
pub(super) struct Prompt {
    session: Arc<Session>,
    pub(super) stop: Arc<Stop>,
    text: String,
}

impl Drop for Prompt {
    fn drop(&mut self) {
        self.session.end();
    }
}

impl Adapter {
    pub(super) fn new(calls: Calls, base: Scope, open: Open, is_unbound: bool, debug: bool) -> Self {
        Self {
            calls,
            editor: Editor::new(),
            base,
            open,
            is_unbound,
            debug,
            sessions: Mutex::default(),
            owes_note: AtomicBool::new(false),
        }
    }

    /// Answers from static data.
    pub(super) fn initialize(&self, request: InitializeRequest) -> InitializeResponse {
        self.editor.can(request.client_capabilities);
        let sessions = SessionCapabilities::new()
            .list(SessionListCapabilities::new())
            .resume(SessionResumeCapabilities::new())
            .close(SessionCloseCapabilities::new())
            .delete(SessionDeleteCapabilities::new());
        let capabilities = AgentCapabilities::new()
            .load_session(true)
            .prompt_capabilities(PromptCapabilities::new().embedded_context(true))
            .session_capabilities(sessions);
        InitializeResponse::new(ProtocolVersion::V1)
            .agent_capabilities(capabilities)
            .agent_info(Implementation::new("cupola", version()).title("Microsoft Foundry hosted agents"))
    }

    /// Opens a session. It is saved at once, because some clients open a session in one process and send its prompts from another.
    pub(super) fn new_session(&self, request: &NewSessionRequest) -> Result<NewSessionResponse, Error> {
        let base = self.named(request.meta.as_ref())?;
        let details = ChatDetails { cwd: Some(directory(&request.cwd)?), ..ChatDetails::default() };
        let id = SessionId::new(Uuid::new_v4().to_string());
        let session = Session::new(id.clone(), &base, details)?;
        let options = self.options(&session)?;
        self.save(&session)?;
        self.note_servers(request.mcp_servers.len());
        self.open(session)?;
        Ok(NewSessionResponse::new(id).config_options(options))
    }

    /// Opens an earlier session, and tells what happened in it.
    pub(super) fn load(&self, request: &LoadSessionRequest) -> Result<LoadSessionResponse, Error> {
        let session = self.reopen(&request.session_id, &request.cwd, request.meta.as_ref())?;
        self.replay(&session)?;
        let options = self.options(&session)?;
        self.note_servers(request.mcp_servers.len());
        self.open(session)?;
        Ok(LoadSessionResponse::new().config_options(options))
    }

    /// Opens an earlier session without telling what happened in it.
    pub(super) fn resume(&self, request: &ResumeSessionRequest) -> Result<ResumeSessionResponse, Error> {
        let session = self.reopen(&request.session_id, &request.cwd, request.meta.as_ref())?;
        let options = self.options(&session)?;
        self.note_servers(request.mcp_servers.len());
        self.open(session)?;
        Ok(ResumeSessionResponse::new().config_options(options))
    }

    /// The sessions of this isolation that have had a prompt, the newest first.
    pub(super) fn list(&self, request: &ListSessionsRequest) -> Result<ListSessionsResponse, Error> {
        if request.cursor.is_some() {
            return Err(invalid("unknown cursor: session/list returns all sessions at once and gives no cursors"));
        }
        let base = self.named(request.meta.as_ref())?;
        let is_meant = |cwd: &Path| request.cwd.as_deref().is_none_or(|wanted| wanted == cwd);
        let sessions = self.saved(&base)?.into_iter().filter_map(|chat| {
            let id = id_of(&base.isolation, &chat.chat)?;
            // The first prompt names it.
            let title = chat.details.title?;
            let cwd = chat.details.cwd?;
            let cwd = Path::new(cwd.as_str());
            is_meant(cwd).then(|| SessionInfo::new(id, cwd).title(title.to_string()).updated_at(chat.updated_at))
        });
        Ok(ListSessionsResponse::new(sessions.collect()))
    }

    /// Ends the turn under way, and closes the session.
    pub(super) fn close(&self, request: &CloseSessionRequest) -> Result<CloseSessionResponse, Error> {
        let session = self.session(&request.session_id)?;
        session.cancel_and_wait();
        self.table().remove(&session.id);
        Ok(CloseSessionResponse::new())
    }

    /// Closes a session and forgets it. The service keeps its conversation.
    pub(super) fn delete(&self, request: &DeleteSessionRequest) -> Result<DeleteSessionResponse, Error> {
        let open = self.table().remove(&request.session_id);
        let session = if let Some(session) = open {
            session
        } else {
            let base = self.named(request.meta.as_ref())?;
            let session = Session::new(request.session_id.clone(), &base, ChatDetails::default())?;
            let Some(details) = self.details_of(&session)? else {
                // It is gone, as was asked.
                return Ok(DeleteSessionResponse::new());
            };
            session.state().details = details;
            Arc::new(session)
        };
        session.cancel_and_wait();
        let mut scopes = vec![session.scope.clone()];
        if session.state().details.agent.is_some() {
            scopes.push(session.chosen());
        }
        for scope in scopes {
            let params = ForgetParams { target: scope.target.clone(), isolation: scope.isolation.clone() };
            self.calls.call::<chats::Forget>(&scope, params).map_err(|failure| problem::of(&failure))?;
        }
        Ok(DeleteSessionResponse::new())
    }

    /// Chooses the agent or its version, from the next prompt on.
    pub(super) fn set_option(
        &self,
        request: &SetSessionConfigOptionRequest,
    ) -> Result<SetSessionConfigOptionResponse, Error> {
        let session = self.session(&request.session_id)?;
        let unknown = || invalid(format!("the session has no option {} with this value", request.config_id));
        let SessionConfigOptionValue::ValueId { value } = &request.value else { return Err(unknown()) };
        let before = session.state().details.clone();
        let offered = self.options_with(&session, &before)?;
        let details = options::choose(&offered, &before, &request.config_id.0, &value.0).ok_or_else(unknown)?;
        let options = self.options_with(&session, &details)?;
        {
            // The first prompt may have set the title meanwhile.
            let mut state = session.state();
            (state.details.agent, state.details.version) = (details.agent, details.version);
        }
        self.save(&session)?;
        Ok(SetSessionConfigOptionResponse::new(options))
    }

    /// Begins a prompt, in the order in which prompts and cancellations come.
    pub(super) fn begin(&self, request: &PromptRequest) -> Result<Prompt, Error> {
        let session = self.session(&request.session_id)?;
        let text = prompt::text(&request.prompt)?;
        let stop = session.begin()?;
        Ok(Prompt { session, stop, text })
    }

    /// Takes a turn.
    pub(super) fn prompt(&self, prompt: &Prompt) -> Result<PromptResponse, Error> {
        let Prompt { session, stop, text } = prompt;
        let is_named = self.titled(session, text)?;
        if self.owes_note.swap(false, Ordering::Relaxed) {
            let note = Teller::new(self.editor.takes_notices()).note(NOT_CONNECTED);
            self.editor.update(&session.id, note);
        }
        let take = |beside| {
            let turn = Turn { calls: &self.calls, editor: &self.editor, session, stop, debug: self.debug };
            turn.take(text, beside)
        };
        // When it was used last is saved beside the turn, and before its ending. A turn does not fail because that cannot be saved.
        let Some(unsaved) = session.unsaved().filter(|_| !is_named) else { return take(None) };
        if session.chosen() != session.scope {
            // The turn's connection reaches the agent that the person chose, and the session is one of the other agent.
            return thread::scope(|threads| {
                let _ = threads.spawn(|| self.save(session));
                take(None)
            });
        }
        let beside = Beside::new::<chats::Save>(saving(session, &unsaved)).ok();
        let ended = take(beside);
        if ended.is_ok() {
            session.is_saved(unsaved);
        }
        ended
    }

    /// Cancels the turn of a session, if it has one.
    pub(super) fn cancel(&self, id: &SessionId) {
        let session = self.table().get(id).cloned();
        if let Some(session) = session {
            session.cancel();
        }
    }

    /// Its first prompt names a session, and the name is saved. False if it had one.
    fn titled(&self, session: &Session, text: &str) -> Result<bool, Error> {
        let title = {
            let mut state = session.state();
            let title = if state.details.title.is_none() { prompt::title(text) } else { None };
            state.details.title = state.details.title.take().or_else(|| title.clone());
            title
        };
        let Some(title) = title else { return Ok(false) };
        self.save(session)?;
        let info = SessionInfoUpdate::new().title(title.to_string());
        self.editor.update(&session.id, SessionUpdate::SessionInfoUpdate(info));
        Ok(true)
    }

    fn save(&self, session: &Session) -> Result<(), Error> {
        let Some(unsaved) = session.unsaved() else { return Ok(()) };
        let saved = self.calls.call::<chats::Save>(&session.scope, saving(session, &unsaved));
        saved.map_err(|failure| problem::of(&failure))?;
        session.is_saved(unsaved);
        Ok(())
    }

    /// What is saved of the chats in a scope.
    fn saved(&self, scope: &Scope) -> Result<Vec<ChatInfo>, Error> {
        let params = ChatParams { target: scope.target.clone(), isolation: scope.isolation.clone() };
        let listed = self.calls.call::<chats::List>(scope, params).map_err(|failure| problem::of(&failure))?;
        Ok(listed.chats)
    }

    /// What is saved of a session: of its own label, and of none below it.
    fn details_of(&self, session: &Session) -> Result<Option<ChatDetails>, Error> {
        let own = session.scope.isolation.chat.as_ref();
        Ok(self.saved(&session.scope)?.into_iter().find(|chat| Some(&chat.chat) == own).map(|chat| chat.details))
    }

    /// An earlier session, if it is this isolation's and of the same directory.
    fn reopen(&self, id: &SessionId, cwd: &Path, meta: Option<&Meta>) -> Result<Session, Error> {
        if self.table().get(id).is_some_and(|open| open.is_busy()) {
            return Err(busy());
        }
        let base = self.named(meta)?;
        let cwd = directory(cwd)?;
        let session = Session::new(id.clone(), &base, ChatDetails::default())?;
        let details = self.details_of(&session)?.ok_or_else(|| problem::no_session(id))?;
        if let Some(saved) = details.cwd.as_ref().filter(|saved| Path::new(saved.as_str()) != Path::new(cwd.as_str())) {
            return Err(invalid(format!("session {id} was made in {saved}, and cannot be opened in {cwd}")));
        }
        session.state().details = details;
        Ok(session)
    }

    /// Tells all that the conversation has, as the service keeps it.
    fn replay(&self, session: &Session) -> Result<(), Error> {
        let Scope { target, isolation } = session.chosen();
        let mut teller = Teller::new(self.editor.takes_notices());
        let mut params = ItemsParams { target, isolation, after: None, limit: Some(ITEMS) };
        let mut is_empty = true;
        loop {
            let read = self.calls.call::<chats::Items>(&session.chosen(), params.clone());
            let page = read.map_err(|failure| problem::of(&failure))?;
            for item in &page.data {
                is_empty = false;
                for update in teller.item(Item::of(item)) {
                    self.editor.update(&session.id, update);
                }
            }
            match page.last_id {
                // A service that repeats itself is not asked for ever.
                Some(last) if page.has_more && params.after.as_ref() != Some(&last) => params.after = Some(last),
                _ => break,
            }
        }
        let mut updates = teller.settle(true);
        if is_empty && session.state().details.title.is_some() {
            updates.push(teller.note(NO_HISTORY));
        }
        for update in updates {
            self.editor.update(&session.id, update);
        }
        Ok(())
    }

    fn options(&self, session: &Session) -> Result<Vec<SessionConfigOption>, Error> {
        let details = session.state().details.clone();
        self.options_with(session, &details)
    }

    fn options_with(&self, session: &Session, details: &ChatDetails) -> Result<Vec<SessionConfigOption>, Error> {
        // A target that the session named also names its agent.
        let open = if session.scope.target == self.base.target { self.open } else { CLOSED };
        options::of(&self.calls, &session.scope, details, open).map_err(|failure| problem::of(&failure))
    }

    fn note_servers(&self, servers: usize) {
        static IS_SAID: AtomicBool = AtomicBool::new(false);
        if servers > 0 && !IS_SAID.swap(true, Ordering::Relaxed) {
            self.owes_note.store(true, Ordering::Relaxed);
        }
    }

    /// The agent and the isolation of a request: those of the flags, or with `--unbound` what it names. What it names is in no error:
    /// there are keys in it.
    fn named(&self, meta: Option<&Meta>) -> Result<Scope, Error> {
        let Some(named) = meta.and_then(|meta| meta.get("cupola")) else { return Ok(self.base.clone()) };
        if !self.is_unbound {
            return Err(problem::invalid_with(
                "_meta.cupola cannot be used: this agent is bound to the flags it was started with",
                "start `cupola acp` with --unbound to let each session name its agent and isolation",
            ));
        }
        let named = Named::deserialize(named).map_err(|_| {
            invalid("_meta.cupola is not valid: it takes `target` and `isolation`, as the daemon's methods do")
        })?;
        let target = named.target.unwrap_or_else(|| self.base.target.clone());
        let isolation = named.isolation.unwrap_or_else(|| self.base.isolation.clone());
        Ok(Scope { target, isolation })
    }

    /// From now on prompts of the session are taken. One with a turn under way is not replaced: nothing could cancel the turn then.
    fn open(&self, session: Session) -> Result<(), Error> {
        let mut table = self.table();
        if table.get(&session.id).is_some_and(|open| open.is_busy()) {
            return Err(busy());
        }
        table.insert(session.id.clone(), Arc::new(session));
        Ok(())
    }

    fn session(&self, id: &SessionId) -> Result<Arc<Session>, Error> {
        let session = self.table().get(id).cloned();
        session.ok_or_else(|| problem::not_open(id))
    }

    fn table(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What saves a session.
fn saving(session: &Session, unsaved: &Unsaved) -> SaveParams {
    let Scope { target, isolation } = session.scope.clone();
    SaveParams { target, isolation, details: unsaved.details().clone() }
}

/// A target that names its agent.
const CLOSED: Open = Open { agent: false, version: false };

/// The editor's directory. It is kept and compared, never opened.
fn directory(cwd: &Path) -> Result<AbsolutePath, Error> {
    let cwd = cwd.to_str().ok_or_else(|| invalid("cwd is not valid UTF-8"))?;
    cwd.parse().map_err(|_| invalid(format!("cwd {}", AbsolutePath::RULE)))
}
