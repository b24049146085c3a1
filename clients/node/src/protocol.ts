// What travels on Cupola's socket. Made by `cargo xtask schema` from the protocol's types: change those instead.

/**
 * A directory or file on this machine, absolute: the daemon's working directory means nothing to a caller. Must
 * be an absolute path of at most 4096 bytes, without control characters.
 */
export type AbsolutePath = string;

/**
 * An agent's own endpoint:
 * `https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT/agents/AGENT/endpoint/protocols/PROTOCOL[?api-version=VERSION]`
 * with `invocations`, `invocations_ws`, `a2a`, `openai/responses` or `openai/v1/responses` for PROTOCOL.
 *
 * As with `ProjectEndpoint`, only the shape is checked here. Must look like
 * https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT/agents/AGENT/endpoint/protocols/PROTOCOL?api-version=v1,
 * where PROTOCOL is openai/responses, openai/v1/responses, invocations, invocations_ws or a2a: https, no port,
 * no user, no other query.
 */
export type AgentEndpoint = string;

/** Which agents to list. The daemon follows the service's pages until it has `limit` agents. */
export interface AgentListParams {
  /**
   * Any agent of the project, or a directory; its project may have several agents. Left out on a bound
   * connection only, which has its own.
   */
  target?: Target;
  /** How many at most; all when left out. */
  limit?: number;
  /** Sort order by creation time; the service's own when left out. */
  order?: Order;
  /** Send each outgoing request as a `RequestEvent`. */
  debug?: boolean;
  /** Send events as `$/progress` with this token. */
  partialResultToken?: Id;
}

/** A list in the service's own shape. */
export interface AgentListResponse {
  /** The service's agent objects, verbatim. */
  data: unknown[];
  /** The first one's id. */
  first_id: string | null;
  /** The last one's id. */
  last_id: string | null;
  /** Whether there are more agents than were asked for. */
  has_more: boolean;
}

/** An agent's name. Must be 1 to 63 characters of A-Z a-z 0-9 -, starting and ending with a letter or digit. */
export type AgentName = string;

/** The protocol that an agent is called with. */
export type AgentProtocol =
  /** `openai/responses`. */
  | "responses"
  /** `invocations`. */
  | "invocations"
  /** `invocations_ws`: messages over a WebSocket. */
  | "invocationsWs"
  /** `a2a`: version 0.3 of the agent-to-agent protocol. */
  | "a2a";

/** Which agent to show. */
export interface AgentShowParams {
  /**
   * The agent. For a directory without a version, the version that azd deployed last is shown. Left out on a
   * bound connection only, which has its own.
   */
  target?: Target;
  /** Send each outgoing request as a `RequestEvent`. */
  debug?: boolean;
  /** Send events as `$/progress` with this token. */
  partialResultToken?: Id;
}

/** An agent. */
export interface AgentShowResponse {
  /** The service's agent object, verbatim. */
  agent: unknown;
  /**
   * The service's object for the requested version, or for the version that new sessions get, verbatim; null
   * without either.
   */
  version: unknown;
  /** The protocols of that version, each with its own version, such as `responses 2.0.0`. */
  protocols: string[];
  /** The base URL of the agent's endpoints. */
  url: string;
  /** How that version isolates its users; left out when its definition does not say. */
  isolationModel?: IsolationModel;
}

/**
 * A concrete version of an agent. `latest` and the like are not versions: leave the field out instead. Must be 1
 * to 128 characters of A-Z a-z 0-9 . _ -, and more than dots.
 */
export type AgentVersion = string;

/** What was forgotten. */
export interface AuthClearResponse {
  /** The number of tokens. */
  cleared: number;
}

/** The credential and its tokens. */
export interface AuthStatusResponse {
  /** The configured credential. */
  credential: Credential;
  /** The tokens held, sorted by credential and scope. */
  tokens: Token[];
}

/**
 * What a connection is bound to. From the next message on, calls reach this agent under this isolation and
 * nothing else: they may leave `target` and `isolation` out, or repeat them; anything else is refused as
 * `outOfBounds`. A connection is bound once, before its first call, and never loosened. If binding fails, the
 * connection refuses every call.
 *
 * A session or conversation can be named, and is listed, if Cupola knows that it belongs to this isolation. For
 * one that was created elsewhere, call `sessions/use` on an unbound connection first. Everything else gets the
 * same answer, whether it exists or not.
 *
 * Binding keeps a program from reaching anything it was not given. It is not a security boundary against
 * unconfined programs of the same operating-system user: they can open their own connections.
 *
 * A bound connection reads and writes no files of this machine: `files/read` and `files/write` carry the bytes
 * instead. `files/upload` and `files/download` work only if `methods` names them and `files` names a directory,
 * and then below that directory alone. No link is followed there, and files that trust depends on
 * (configuration, saved state, credentials, certificates, the log, the socket) stay out of reach, whatever path
 * or hard link leads to them.
 */
export interface Bind {
  /** The only agent. A directory is resolved once, when the connection is bound. */
  target: Target;
  /** The only isolation. */
  isolation?: Isolation;
  /**
   * The methods it may call; those that work on one agent when left out. `initialize`, `shutdown`,
   * `daemon/status`, `rpc.discover` and cancelling are always allowed. `files/upload` and `files/download` must
   * be named in full (`files/*` does not include them), together with `files`.
   */
  methods?: MethodPattern[];
  /**
   * The directory of this machine that `files/upload` reads from and `files/download` writes to; none when left
   * out. It must exist, and is opened once, when the connection is bound.
   */
  files?: LocalPath;
}

/**
 * `x-agent-foundry-call-id`: what the gateway names each request for the agent's container. Only a local agent,
 * which has no gateway, takes the caller's. Must be 1 to 256 visible ASCII characters.
 */
export type CallId = string;

/** `$/cancelRequest`. */
export interface CancelParams {
  /** The call to cancel. */
  id: Id;
}

/** The daemon's capabilities. */
export interface Capabilities {
  /** Every method that may be called on this connection. */
  methods: string[];
  /** The framings the socket accepts: `lsp`, `ndjson`, `http`. */
  framings: string[];
  /**
   * Whether a newer daemon can take over from this one: `daemon/stop` with `drain`. A service manager's socket
   * stays where it is.
   */
  handOver: boolean;
}

/** Which chat. */
export interface ChatForgetParams {
  /** Whose chat it is; `chat` is its label and must be given. */
  isolation: Isolation;
  /** Which agent. Left out on a bound connection only, which has its own. */
  target?: Target;
}

/** What was forgotten. */
export interface ChatForgetResponse {
  /** Whether anything had been saved about it. */
  forgotten: boolean;
}

/** A chat. */
export interface ChatInfo {
  /** Its label. */
  chat: ChatLabel;
  /** When it was saved last. RFC 3339, UTC. */
  updatedAt: string;
  /** The directory the client works in. */
  cwd?: AbsolutePath;
  /** What it is called in a list. */
  title?: ChatTitle;
  /** The agent that the person chose, if it is another one than the target's. */
  agent?: AgentName;
  /** The version that the person chose. */
  version?: AgentVersion;
}

/**
 * A label that partitions Cupola's own saved state only; nothing of it is sent. Must be 1 to 128 characters,
 * without control characters.
 */
export type ChatLabel = string;

/** The chats. */
export interface ChatListResponse {
  /** The most recently saved first; at most 1000. */
  chats: ChatInfo[];
}

/** An agent, and whose chats. */
export interface ChatParams {
  /** Which agent. Left out on a bound connection only, which has its own. */
  target?: Target;
  /** Whose chats. With a `chat`, that one alone and those whose labels begin with it and a slash. */
  isolation?: Isolation;
}

/** Which chat, and what to remember. */
export interface ChatSaveParams {
  /** Whose chat it is; `chat` is its label and must be given. */
  isolation: Isolation;
  /** Which agent. Left out on a bound connection only, which has its own. */
  target?: Target;
  /** The directory the client works in. */
  cwd?: AbsolutePath;
  /** What it is called in a list. */
  title?: ChatTitle;
  /** The agent that the person chose, if it is another one than the target's. */
  agent?: AgentName;
  /** The version that the person chose. */
  version?: AgentVersion;
}

/** What a chat is called in a list. Must be 1 to 200 characters, without control characters. */
export type ChatTitle = string;

/** The result of one check. */
export interface Check {
  /**
   * `daemon`, `socket`, `state`, `credential`, `network`, `telemetry`, `gateway`, `target` or `isolation`;
   * others may be added.
   */
  name: string;
  /** The outcome. */
  status: CheckStatus;
  /** What was found, for people. */
  message: string;
  /** How to fix it. */
  hint?: string;
}

/** The outcome of a check. */
export type CheckStatus =
  /** Nothing is wrong. */
  | "ok"
  /** It works, but probably not as intended. */
  | "warning"
  /** Calls will fail. */
  | "error"
  /** Not checked; the message says why. */
  | "skipped";

/**
 * The value of such a header. Must have values of at most 4096 visible ASCII characters and blanks, without
 * blanks at either end.
 */
export type ClientHeaderValue = string;

/**
 * A message history (`conversation` id). Not the session. Must be 1 to 256 characters of A-Z a-z 0-9 . _ : -,
 * and more than dots.
 */
export type ConversationId = string;

/** A credential, as the configuration names it. Nothing secret. */
export interface Credential {
  /** For example `developerTools` or `managedIdentity`. */
  kind: string;
  /** The tenant, if the configuration names one. */
  tenantId?: string;
}

/** What to show. */
export interface DaemonStatusParams {
  /**
   * Also runs, sessions, tokens, connections to the service and recent errors. Left out on a bound connection,
   * which knows only its own.
   */
  details?: boolean;
}

/** The daemon's status. Durations are in ms; `startedAt` is RFC 3339, UTC. */
export interface DaemonStatusResponse {
  /** The daemon's version. */
  version: string;
  /** The major protocol version it supports. */
  protocolVersion: number;
  /** Its process id. */
  processId: number;
  /** Where its saved state is. */
  stateDirectory: string;
  /** When it started. */
  startedAt: string;
  /** How long it has run. */
  uptimeMs: number;
  /** Open connections, this one included. */
  connections: number;
  /** Requests not yet answered, this one included. */
  requests: number;
  /** Runs under way. */
  runs: number;
  /** Where it listens. */
  socket?: string;
  /** How long it runs without work before it stops; if missing, it does not stop by itself. */
  idleExitMs?: number;
  /** Resident memory in bytes, if the system reports it. */
  residentBytes?: number;
  /** Where the embedded emulator listens, if it runs: `unix:` and the path of its socket, or a URL on Windows. */
  emulator?: string;
  /** Partitions with saved state; missing when saved state cannot be read. */
  partitions?: number;
  /** How traces and metrics leave the daemon; missing when telemetry is off. */
  telemetry?: TelemetryStatus;
  /** What it is doing, if that was asked for. */
  details?: StatusDetails;
}

/** How to stop. */
export interface DaemonStopParams {
  /** Do not wait for active runs. */
  force?: boolean;
  /**
   * Leave the runs that survive to the next daemon at once: their clients get `shuttingDown` and continue there
   * with `runs/attach`. The others are waited for, and finished answers stay available until somebody has had
   * them.
   */
  drain?: boolean;
  /** End the runs that are still active after this long, in ms. */
  deadlineMs?: number;
}

/** The daemon is stopping. */
export interface DaemonStopResponse {
  /** The number of runs it waits for, or ends with `force`. */
  runs: number;
  /**
   * The number of answers of detached runs that nobody has read. Without `force` it keeps them for at most ten
   * minutes. An older daemon leaves this out.
   */
  unreadAnswers: number;
}

/** What to check. */
export interface DoctorParams {
  /** The agent to check as well. */
  target?: Target;
  /** The isolation that calls to it would use. */
  isolation?: Isolation;
}

/** The results, in the order in which a call needs them. */
export interface DoctorResponse {
  /** One entry per check. */
  checks: Check[];
}

/**
 * Where a separately started `cupola emulator` listens, always on this machine. Must look like
 * http://127.0.0.1:PORT or https://localhost:PORT.
 */
export type EmulatorUrl = string;

/**
 * An azd environment: the name of a directory below `.azure`. Must be 1 to 128 characters of A-Z a-z 0-9 . _ - (
 * ), and more than dots.
 */
export type EnvironmentName = string;

/** `error.data` of every error the daemon sends. */
export interface ErrorData {
  /** What went wrong, in one word. */
  kind: ErrorKind;
  /** Can the same call succeed later? If the call is a turn, only when the turn did not run. */
  retryable: boolean;
  /**
   * Whether the turn ran. With every error of `invoke`, and only there; a daemon older than this field leaves it
   * out.
   */
  turn?: Turn;
  /** When to try again, in ms, if the service said so. */
  retryAfterMs?: number;
  /** The service's HTTP status. */
  httpStatus?: number;
  /** The service's own code: `x-adc-response-details`, else `error.code`. */
  serviceCode?: string;
  /** The service's request id, for its support. */
  requestId?: string;
  /** What to do next. */
  hint?: string;
  /** The values to choose from, if one must be named. */
  choices?: string[];
  /** The run, if it had begun before the failure. */
  runId?: RunId;
  /** With `clientStalled`: the last event that the client was sent of each run it followed on the connection. */
  lastEvents?: LastEvent[];
  /** What the caller should know about the call up to the failure, for example that a saved session was replaced. */
  notices?: Notice[];
}

/** What went wrong, in one word that scripts can match on (`error.data.kind`). */
export type ErrorKind =
  /** The message was not valid JSON. */
  | "parseError"
  /** The JSON was not a JSON-RPC request. */
  | "invalidRequest"
  /** No such method. */
  | "methodNotFound"
  /** A parameter is missing or breaks its rule. */
  | "invalidParams"
  /** A defect in the daemon. */
  | "internalError"
  /** The call was cancelled by its caller. */
  | "cancelled"
  /** No credential gave a token, or the service refused the token. */
  | "authenticationFailed"
  /** The service refused the call, for a reason that no other kind covers. */
  | "forbidden"
  /** `x-ms-user-identity` needs a permission the caller does not have. */
  | "impersonationNotPermitted"
  /** The agent requires isolation keys, but none were given. */
  | "isolationKeyRequired"
  /** The session exists, but not for this isolation. */
  | "isolationMismatch"
  /** Cupola knows that the session belongs to another partition, and refused without asking the service. */
  | "foreignSession"
  /** The session belongs to another ownership key. */
  | "notSessionOwner"
  /** The agent's protocol version does not support the isolation that was given. */
  | "isolationNotSupported"
  /**
   * The session is one of a pool, which several users share: the call would reach what is not the caller's
   * alone.
   */
  | "pooledSession"
  /** No such session for this caller. */
  | "sessionNotFound"
  /** No such agent or version. */
  | "agentNotFound"
  /** No such response, conversation, run or other resource. */
  | "notFound"
  /** The resource's current state does not allow the call. */
  | "conflict"
  /** Another turn is running in this conversation. */
  | "conversationLocked"
  /** The service rejected a field of the request. */
  | "badRequest"
  /** The sandbox did not become ready in time. */
  | "sessionNotReady"
  /** The sandbox was idle and did not resume. */
  | "sandboxIdle"
  /** The gateway gave up waiting for the agent; the turn may have run. */
  | "proxyTimeout"
  /** The agent's version is still being deployed. */
  | "agentVersionNotReady"
  /** The agent's version could not be deployed. */
  | "agentVersionFailed"
  /** Too many sessions for the project or the region. */
  | "quotaExceeded"
  /** Too many requests. */
  | "rateLimited"
  /** The service is not available now. */
  | "serviceUnavailable"
  /** The service failed. */
  | "serviceError"
  /** The service's answer could not be understood. */
  | "unexpectedAnswer"
  /** No connection to the service. */
  | "connectionFailed"
  /** The call's own time limit passed. */
  | "timedOut"
  /** The host's certificate was refused. Nothing was sent; the hint says which setting helps. */
  | "certificateNotTrusted"
  /** Another version of the agent answered than the one that was asked for. The turn ran there. */
  | "versionMismatch"
  /** The agent itself failed. */
  | "agentFailed"
  /** Tokens may not be sent to the endpoint's host. */
  | "hostNotAllowed"
  /** The connection is bound to something else. */
  | "outOfBounds"
  /** Too many requests at once on this connection, or too many runs in the daemon. */
  | "overloaded"
  /** Another call has been using the session for too long. */
  | "busy"
  /** The daemon is stopping. */
  | "shuttingDown"
  /** Saved state could not be read or written. */
  | "stateUnavailable"
  /** The emulator could not be started. */
  | "emulatorFailed"
  /** A setting of the configuration file, or a file it names, cannot be used. */
  | "configurationInvalid"
  /** This client took nothing of what it was sent, so its connection ends; `lastEvents` says how far it got. */
  | "clientStalled"
  /** The daemon went away before it answered. Reported by clients that keep running, such as `cupola attach`. */
  | "daemonGone"
  /** The project has several agents and none was chosen; `choices` lists them. */
  | "agentNotChosen"
  /** The project does not say which agent, or where it is. */
  | "projectNotResolved"
  /** A file of the project, or of azd, cannot be read or understood, or it belongs to another user. */
  | "projectFileInvalid"
  /** The file is larger than the service accepts. */
  | "fileTooLarge"
  /** A file on this machine cannot be read or written. */
  | "localFile"
  /** The service does not have this operation. */
  | "notOffered";

/** Why a call failed. */
export interface ErrorObject {
  /** The number of `ErrorKind`. */
  code: number;
  /** What happened, for people. */
  message: string;
  /** Details for programs. Missing only in errors of a daemon that is not Cupola. */
  data?: ErrorData;
}

/** What to delete. */
export interface FileDeleteParams {
  /** The file or directory. */
  path: RemotePath;
  /** Which agent. Left out on a bound connection only, which has its own. */
  target?: Target;
  /** Whose session. */
  isolation?: Isolation;
  /** Which session; the partition's current one when left out. */
  sessionId?: SessionId;
  /** Allow a session that Cupola knows to belong to another partition. */
  allowSharedSession?: boolean;
  /** Send each outgoing request as a `RequestEvent`. */
  debug?: boolean;
  /** Send events as `$/progress` with this token. */
  partialResultToken?: Id;
  /** A directory and everything in it, not only an empty one. */
  recursive?: boolean;
}

/** What to download, and where to. */
export interface FileDownloadParams {
  /** The file to fetch. */
  path: RemotePath;
  /** The file to write; its directory must exist. */
  localPath: LocalPath;
  /** Which agent. Left out on a bound connection only, which has its own. */
  target?: Target;
  /** Whose session. */
  isolation?: Isolation;
  /** Which session; the partition's current one when left out. */
  sessionId?: SessionId;
  /** Allow a session that Cupola knows to belong to another partition. */
  allowSharedSession?: boolean;
  /** Send each outgoing request as a `RequestEvent`. */
  debug?: boolean;
  /** Send events as `$/progress` with this token. */
  partialResultToken?: Id;
  /**
   * A directory and everything in it; its contents go into a directory of the target's name, beside what is
   * there.
   */
  recursive?: boolean;
}

/** A file or directory, in the service's field names. */
export interface FileEntry {
  /** Its name in its directory. The agent chose it: never use it as a local path unchecked. */
  name: string;
  /** Its path in the home. */
  path: string;
  /** Is it a directory? */
  is_directory: boolean;
  /** The same, in the spelling of the azd command line. */
  is_dir: boolean;
  /** Bytes. */
  size: number;
  /** When it was last changed, Unix seconds, UTC. */
  modified_time?: number;
  [field: string]: unknown;
}

/** What one `$/progress` of a transfer says. */
export type FileEvent =
  | FileEventRequest
  | FileEventProgress;

/** An outgoing request, if `debug` was set. */
export interface FileEventRequest {
  type: "request";
  /** The method. */
  method: string;
  /** The whole URL. */
  url: string;
  /** The headers; the token is redacted. */
  headers: HttpHeader[];
  /** A bash command that repeats it, with the token taken from `$TOKEN`. */
  curl: string;
  /** The body, if it is text. */
  body?: string;
  /** The local file whose bytes are the body. */
  bodyFile?: string;
}

/** The progress so far. It goes back only if the service asks for the file again. */
export interface FileEventProgress {
  type: "progress";
  /** Bytes so far. */
  bytes: number;
  /** The total, if known. */
  totalBytes?: number;
}

/** What to list. */
export interface FileListParams {
  /** Which agent. Left out on a bound connection only, which has its own. */
  target?: Target;
  /** Whose session. */
  isolation?: Isolation;
  /** Which session; the partition's current one when left out. */
  sessionId?: SessionId;
  /** Allow a session that Cupola knows to belong to another partition. */
  allowSharedSession?: boolean;
  /** Send each outgoing request as a `RequestEvent`. */
  debug?: boolean;
  /** Send events as `$/progress` with this token. */
  partialResultToken?: Id;
  /** The directory; the home when left out. */
  path?: RemotePath;
}

/** A directory, all pages of it. */
export interface FileListResponse {
  /** The directory; `.` is the home. */
  path: string;
  /** What is in it, in the service's order. */
  entries: FileEntry[];
  /** There are more than can be listed. */
  has_more?: boolean;
}

/** Names one file or directory of the session's home. */
export interface FilePathParams {
  /** The file or directory. */
  path: RemotePath;
  /** Which agent. Left out on a bound connection only, which has its own. */
  target?: Target;
  /** Whose session. */
  isolation?: Isolation;
  /** Which session; the partition's current one when left out. */
  sessionId?: SessionId;
  /** Allow a session that Cupola knows to belong to another partition. */
  allowSharedSession?: boolean;
  /** Send each outgoing request as a `RequestEvent`. */
  debug?: boolean;
  /** Send events as `$/progress` with this token. */
  partialResultToken?: Id;
}

/** What was made or deleted. */
export interface FilePathResponse {
  /** The session. */
  sessionId: SessionId;
  /** The file or directory. */
  path: RemotePath;
}

/** What to read. */
export interface FileReadParams {
  /** The file. */
  path: RemotePath;
  /** Which agent. Left out on a bound connection only, which has its own. */
  target?: Target;
  /** Whose session. */
  isolation?: Isolation;
  /** Which session; the partition's current one when left out. */
  sessionId?: SessionId;
  /** Allow a session that Cupola knows to belong to another partition. */
  allowSharedSession?: boolean;
  /** Send each outgoing request as a `RequestEvent`. */
  debug?: boolean;
  /** Send events as `$/progress` with this token. */
  partialResultToken?: Id;
  /** The first byte to read, counted from 0. With `readId` it is where the last piece ended, and can be left out. */
  offset?: number;
  /** How many bytes to read: at most 1 MiB, which is also the default. */
  length?: number;
  /** Continues the read that returned this id, with the same session and path. */
  readId?: PieceId;
  /** Keep the file open for the next piece, if there is one. */
  keepOpen?: boolean;
}

/** A piece of a file. */
export interface FileReadResponse {
  /** The session. */
  sessionId: SessionId;
  /** The file. */
  path: RemotePath;
  /** Where in the file the piece begins. */
  offset: number;
  /** The piece. It is shorter than asked for only at the end of the file. */
  content: Piece;
  /** Does the file end with this piece? */
  isLast: boolean;
  /** How many bytes the file has, if the service says so. */
  totalBytes?: number;
  /** Gets the next piece, if the file was kept open. */
  readId?: PieceId;
}

/** What was transferred. */
export interface FileTransferResponse {
  /** The session. */
  sessionId: SessionId;
  /** The file in its home. */
  path: RemotePath;
  /** The local file. */
  localPath: LocalPath;
  /** Bytes. */
  bytes: number;
  /**
   * The result for a directory. The call succeeds if the whole directory was traversed; failures on the way are
   * listed here.
   */
  tree?: Tree;
  /** What the caller should know about what was written, for example that the session will not keep it. */
  notices?: Notice[];
}

/** What to upload, and where to. */
export interface FileUploadParams {
  /** The file to read, at most 50 MiB long (`MAX_FILE_BYTES`). */
  localPath: LocalPath;
  /** Which agent. Left out on a bound connection only, which has its own. */
  target?: Target;
  /** Whose session. */
  isolation?: Isolation;
  /** Which session; the partition's current one when left out. */
  sessionId?: SessionId;
  /** Allow a session that Cupola knows to belong to another partition. */
  allowSharedSession?: boolean;
  /** Send each outgoing request as a `RequestEvent`. */
  debug?: boolean;
  /** Send events as `$/progress` with this token. */
  partialResultToken?: Id;
  /**
   * A directory and everything in it; its contents go into a directory of the target's name, beside what is
   * there.
   */
  recursive?: boolean;
  /** Where to put it; its own name in the home when left out. */
  path?: RemotePath;
}

/** What to write. */
export interface FileWriteParams {
  /** The file. */
  path: RemotePath;
  /** The next piece. */
  content: Piece;
  /** Is it the last piece? Only then is the file sent to the service. */
  isLast: boolean;
  /** Which agent. Left out on a bound connection only, which has its own. */
  target?: Target;
  /** Whose session. */
  isolation?: Isolation;
  /** Which session; the partition's current one when left out. */
  sessionId?: SessionId;
  /** Allow a session that Cupola knows to belong to another partition. */
  allowSharedSession?: boolean;
  /** Send each outgoing request as a `RequestEvent`. */
  debug?: boolean;
  /** Send events as `$/progress` with this token. */
  partialResultToken?: Id;
  /** Continues the write that returned this id, with the same session and path. */
  writeId?: PieceId;
  /**
   * Where in the file the piece begins. Pieces must arrive in order: any number other than the bytes so far is
   * refused, and the writing can continue with the right piece.
   */
  offset?: number;
}

/** What was written, or collected so far. */
export interface FileWriteResponse {
  /** The session. */
  sessionId: SessionId;
  /** The file. */
  path: RemotePath;
  /** The bytes of all pieces so far. */
  bytes: number;
  /** Is the file in the session's home now? */
  isWritten: boolean;
  /** Adds the next piece, as long as the file is not written. */
  writeId?: PieceId;
  /** What the caller should know about what was written, for example that the session will not keep it. */
  notices?: Notice[];
}

/** One HTTP header. */
export interface HttpHeader {
  /** Its name. */
  name: string;
  /** Its value. */
  value: string;
}

/** A request id. Echoed with its value and its type. */
export type Id = number | string;

/** What a call does when another call is using its session. */
export type IfBusy =
  /** It waits for its turn. A `notice` says how many calls are ahead, and `runs/list` shows it. */
  | "queue"
  /** It fails at once with `busy`. Nothing is sent. */
  | "reject"
  /**
   * It is sent beside the other call. An agent that locks its conversations refuses it with
   * `conversationLocked`.
   */
  | "parallel"
  /**
   * It is sent beside the other call, in the service's background mode: an agent that can be steered ends the
   * turn that is running and continues with this one. Any other agent treats it as `parallel`. Applies to
   * `responses` and `invocations` only.
   */
  | "steer";

/** What one user last used with one agent. */
export interface ImportEntry {
  /** Which agent. */
  target: Target;
  /** Whose it is. */
  isolation?: Isolation;
  /** The session to continue. */
  sessionId?: SessionId;
  /** The conversation to continue. */
  conversationId?: ConversationId;
}

/** What happened to one id. */
export type ImportOutcome =
  /** It became the current one, or would have. */
  | "imported"
  /** It already was the current one. */
  | "unchanged"
  /** Another one is saved and was kept. */
  | "kept"
  /** It is known to belong to another user, and was not imported. */
  | "foreign";

/** What to import. */
export interface ImportParams {
  /** One per agent, version and user. At most 1000. */
  entries: ImportEntry[];
  /** Replace existing saved state. */
  force?: boolean;
  /** Report what would happen, without changing anything. */
  dryRun?: boolean;
}

/** What was imported. */
export interface ImportResponse {
  /** One per entry, in their order. */
  entries: Imported[];
}

/** What happened to one entry. */
export interface Imported {
  /** What happened to its session, if it had one. */
  session?: ImportOutcome;
  /** What happened to its conversation, if it had one. */
  conversation?: ImportOutcome;
  /** Why the entry was refused, if it was. */
  refused?: string;
}

/** Who is calling. */
export interface InitializeParams {
  /**
   * The client program. Hints for the clients that belong to Cupola are in their own words; for others they name
   * flags and commands of the command line.
   */
  clientInfo?: ProgramInfo;
  /** The major protocol versions the client supports; any when left out. */
  protocolVersions?: number[];
  /** Binds this connection to one agent and one isolation, permanently. */
  bind?: Bind;
}

/** The daemon's identity and capabilities. */
export interface InitializeResponse {
  /** The major protocol version of this connection. */
  protocolVersion: number;
  /** The daemon. */
  serverInfo: ProgramInfo;
  /** The daemon's process id. */
  processId: number;
  /** Its capabilities. */
  capabilities: Capabilities;
  /** Whether this connection is bound. */
  bound: boolean;
}

/** What is sent to an agent. */
export type Input = string | unknown[];

/** The value of one `$/progress` notification of an `invoke`. */
export type InvokeEvent =
  | InvokeEventStarted
  | InvokeEventRequest
  | InvokeEventHttpHead
  | InvokeEventHttpBody
  | InvokeEventTextDelta
  | InvokeEventQuestion
  | InvokeEventOutput
  | InvokeEventNotice
  | InvokeEventGap
  | InvokeEventSnapshot
  | InvokeEventCompleted
  | InvokeEventFailed
  | InvokeEventIncomplete
  | InvokeEventCancelled
  | InvokeEventTruncated;

/** The service accepted the request; the session id is saved. */
export interface InvokeEventStarted {
  type: "started";
  /** The run's id. */
  runId: RunId;
  /**
   * Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for `textOnly` does
   * not see every number. A `gap` and the `snapshot` after it have the number of the last event they stand for.
   * In a run that was to survive, an event keeps its number whichever daemon reads it from the service, and
   * numbers are skipped. What the daemon itself says there (`notice`, `request`) has the number of the event
   * before it, 0 at first, and is not repeated.
   */
  number: number;
  /** How the target isolates its users. */
  isolationModel: IsolationModel;
  /** The session that answers. */
  sessionId?: SessionId;
  /** The conversation of this turn. */
  conversationId?: ConversationId;
  /** The version of the agent that answers, if the service says which. */
  agentVersion?: AgentVersion;
  /**
   * The version that the agent selects for new sessions, if another one answers: a session stays at the version
   * that it was created with.
   */
  selectedVersion?: AgentVersion;
  /** How long the parts of the call took up to here, if the service measured it. */
  latency?: Latency;
  /** The service's request id. */
  requestId?: string;
  /** The run outlives the daemon: if the daemon ends, the next one continues it under the same id. */
  survives?: boolean;
}

/** An outgoing request, if `debug` was set. May come before `started`. */
export interface InvokeEventRequest {
  type: "request";
  /** The run's id. */
  runId: RunId;
  /**
   * Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for `textOnly` does
   * not see every number. A `gap` and the `snapshot` after it have the number of the last event they stand for.
   * In a run that was to survive, an event keeps its number whichever daemon reads it from the service, and
   * numbers are skipped. What the daemon itself says there (`notice`, `request`) has the number of the event
   * before it, 0 at first, and is not repeated.
   */
  number: number;
  /** The method. */
  method: string;
  /** The whole URL. */
  url: string;
  /** The headers; the token is redacted. */
  headers: HttpHeader[];
  /** A bash command that repeats it, with the token taken from `$TOKEN`. */
  curl: string;
  /** The body, if it is text. */
  body?: string;
  /** The local file whose bytes are the body. */
  bodyFile?: string;
}

/**
 * The start of an answer, if `raw` was set. A second one belongs to the final answer of a long-running
 * invocation.
 */
export interface InvokeEventHttpHead {
  type: "httpHead";
  /** The run's id. */
  runId: RunId;
  /**
   * Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for `textOnly` does
   * not see every number. A `gap` and the `snapshot` after it have the number of the last event they stand for.
   * In a run that was to survive, an event keeps its number whichever daemon reads it from the service, and
   * numbers are skipped. What the daemon itself says there (`notice`, `request`) has the number of the event
   * before it, 0 at first, and is not repeated.
   */
  number: number;
  /** For example `HTTP/1.1 200 OK`. */
  statusLine: string;
  /** The headers, in the order of their arrival. */
  headers: HttpHeader[];
}

/** The next bytes of that answer's body. */
export interface InvokeEventHttpBody {
  type: "httpBody";
  /** The run's id. */
  runId: RunId;
  /**
   * Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for `textOnly` does
   * not see every number. A `gap` and the `snapshot` after it have the number of the last event they stand for.
   * In a run that was to survive, an event keeps its number whichever daemon reads it from the service, and
   * numbers are skipped. What the daemon itself says there (`notice`, `request`) has the number of the event
   * before it, 0 at first, and is not repeated.
   */
  number: number;
  /** The bytes, if they are UTF-8. */
  text?: string;
  /** The bytes in base64, if they are not. */
  base64?: string;
}

/** More text of the answer. */
export interface InvokeEventTextDelta {
  type: "textDelta";
  /** The run's id. */
  runId: RunId;
  /**
   * Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for `textOnly` does
   * not see every number. A `gap` and the `snapshot` after it have the number of the last event they stand for.
   * In a run that was to survive, an event keeps its number whichever daemon reads it from the service, and
   * numbers are skipped. What the daemon itself says there (`notice`, `request`) has the number of the event
   * before it, 0 at first, and is not repeated.
   */
  number: number;
  /** The text, to be appended. */
  delta: string;
}

/** The agent asks the person. The run ends after it; `invoke` answers it. */
export interface InvokeEventQuestion {
  type: "question";
  /** The run's id. */
  runId: RunId;
  /**
   * Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for `textOnly` does
   * not see every number. A `gap` and the `snapshot` after it have the number of the last event they stand for.
   * In a run that was to survive, an event keeps its number whichever daemon reads it from the service, and
   * numbers are skipped. What the daemon itself says there (`notice`, `request`) has the number of the event
   * before it, 0 at first, and is not repeated.
   */
  number: number;
  /** What is asked. */
  question: Question;
}

/** Any other event of the service, verbatim. */
export interface InvokeEventOutput {
  type: "output";
  /** The run's id. */
  runId: RunId;
  /**
   * Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for `textOnly` does
   * not see every number. A `gap` and the `snapshot` after it have the number of the last event they stand for.
   * In a run that was to survive, an event keeps its number whichever daemon reads it from the service, and
   * numbers are skipped. What the daemon itself says there (`notice`, `request`) has the number of the event
   * before it, 0 at first, and is not repeated.
   */
  number: number;
  /** The service's event name. */
  name: string;
  /** Its data, verbatim; a JSON string if it was not JSON. */
  data: unknown;
}

/** Something the caller should know. The run continues. */
export interface InvokeEventNotice {
  type: "notice";
  /** The run's id. */
  runId: RunId;
  /**
   * Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for `textOnly` does
   * not see every number. A `gap` and the `snapshot` after it have the number of the last event they stand for.
   * In a run that was to survive, an event keeps its number whichever daemon reads it from the service, and
   * numbers are skipped. What the daemon itself says there (`notice`, `request`) has the number of the event
   * before it, 0 at first, and is not repeated.
   */
  number: number;
  /** A stable code. */
  code: NoticeCode;
  /** For people. */
  message: string;
}

/** Events are missing here; the next snapshot or the response is complete again. */
export interface InvokeEventGap {
  type: "gap";
  /** The run's id. */
  runId: RunId;
  /**
   * Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for `textOnly` does
   * not see every number. A `gap` and the `snapshot` after it have the number of the last event they stand for.
   * In a run that was to survive, an event keeps its number whichever daemon reads it from the service, and
   * numbers are skipped. What the daemon itself says there (`notice`, `request`) has the number of the event
   * before it, 0 at first, and is not repeated.
   */
  number: number;
  /** The last event number before the gap. */
  after: number;
}

/** The run restarted at the service, or events were lost: replace all text so far with this. */
export interface InvokeEventSnapshot {
  type: "snapshot";
  /** The run's id. */
  runId: RunId;
  /**
   * Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for `textOnly` does
   * not see every number. A `gap` and the `snapshot` after it have the number of the last event they stand for.
   * In a run that was to survive, an event keeps its number whichever daemon reads it from the service, and
   * numbers are skipped. What the daemon itself says there (`notice`, `request`) has the number of the event
   * before it, 0 at first, and is not repeated.
   */
  number: number;
  /** The whole text up to now. */
  text: string;
}

/** Ending: the agent finished its answer. */
export interface InvokeEventCompleted {
  type: "completed";
  /** The run's id. */
  runId: RunId;
  /**
   * Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for `textOnly` does
   * not see every number. A `gap` and the `snapshot` after it have the number of the last event they stand for.
   * In a run that was to survive, an event keeps its number whichever daemon reads it from the service, and
   * numbers are skipped. What the daemon itself says there (`notice`, `request`) has the number of the event
   * before it, 0 at first, and is not repeated.
   */
  number: number;
}

/** Ending: the agent or the service failed. */
export interface InvokeEventFailed {
  type: "failed";
  /** The run's id. */
  runId: RunId;
  /**
   * Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for `textOnly` does
   * not see every number. A `gap` and the `snapshot` after it have the number of the last event they stand for.
   * In a run that was to survive, an event keeps its number whichever daemon reads it from the service, and
   * numbers are skipped. What the daemon itself says there (`notice`, `request`) has the number of the event
   * before it, 0 at first, and is not repeated.
   */
  number: number;
  /** Why. */
  failure: RunFailure;
}

/** Ending: the agent stopped early. */
export interface InvokeEventIncomplete {
  type: "incomplete";
  /** The run's id. */
  runId: RunId;
  /**
   * Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for `textOnly` does
   * not see every number. A `gap` and the `snapshot` after it have the number of the last event they stand for.
   * In a run that was to survive, an event keeps its number whichever daemon reads it from the service, and
   * numbers are skipped. What the daemon itself says there (`notice`, `request`) has the number of the event
   * before it, 0 at first, and is not repeated.
   */
  number: number;
  /** The service's reason, for example `max_output_tokens`. */
  reason?: string;
}

/** Ending: the run was cancelled. */
export interface InvokeEventCancelled {
  type: "cancelled";
  /** The run's id. */
  runId: RunId;
  /**
   * Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for `textOnly` does
   * not see every number. A `gap` and the `snapshot` after it have the number of the last event they stand for.
   * In a run that was to survive, an event keeps its number whichever daemon reads it from the service, and
   * numbers are skipped. What the daemon itself says there (`notice`, `request`) has the number of the event
   * before it, 0 at first, and is not repeated.
   */
  number: number;
}

/** Ending: the stream ended without reporting how the run ended. */
export interface InvokeEventTruncated {
  type: "truncated";
  /** The run's id. */
  runId: RunId;
  /**
   * Rises within a run, by 1 unless the run was to survive the daemon; a client that asked for `textOnly` does
   * not see every number. A `gap` and the `snapshot` after it have the number of the last event they stand for.
   * In a run that was to survive, an event keeps its number whichever daemon reads it from the service, and
   * numbers are skipped. What the daemon itself says there (`notice`, `request`) has the number of the event
   * before it, 0 at first, and is not repeated.
   */
  number: number;
  /** The reason, as far as it is known. */
  reason?: string;
}

/** What to send and to whom. */
export interface InvokeParams {
  /**
   * The text to send, at most 16 MiB. With `invocations` it is the request's body, as JSON if it parses as JSON.
   * With `responses` it may be a list of input items, which also answers questions (`Question`): each approval
   * must answer one that is open in this partition, and the first answer counts.
   */
  input: Input;
  /** Which agent. Left out on a bound connection only, which has its own. */
  target?: Target;
  /** Whose state. */
  isolation?: Isolation;
  /**
   * `input` is a complete request of the protocol and is sent unchanged. Applies to `a2a` only, whose requests
   * are JSON-RPC. The request itself names the context, so `conversationId` is not allowed with it.
   */
  inputIsRequest?: boolean;
  /**
   * Send each line of `input` as a separate message, one after the other; empty lines are skipped. Applies to
   * `invocationsWs` only.
   */
  messagePerLine?: boolean;
  /**
   * With `invocationsWs`: the dialogue ends when the agent has sent something and is then silent for this long,
   * in ms. The default is 10 s; with 0 only the agent ends it.
   */
  idleTimeoutMs?: number;
  /**
   * The protocol to use. When left out, it is taken from the agent's definition: `responses` if the agent
   * supports both.
   */
  protocol?: AgentProtocol;
  /** Use this session instead of the saved one, and save it. */
  sessionId?: SessionId;
  /** Start a session instead of using the saved one. */
  newSession?: boolean;
  /**
   * Use this conversation instead of the saved one, and save it. With `a2a` it is the context, which is saved
   * apart from the conversation of `responses`, once the agent has answered in it.
   */
  conversationId?: ConversationId;
  /** Start a conversation, or a context, instead of using the saved one. */
  newConversation?: boolean;
  /**
   * Continue from this response instead of a conversation: a branch, which the next call does not continue by
   * itself. Applies to `responses` only. Not with `conversationId` or `newConversation`.
   */
  previousResponseId?: ResponseId;
  /** Allow a session that Cupola knows to belong to another partition. */
  allowSharedSession?: boolean;
  /**
   * Let this version of the agent answer, or the `latest`, whichever version the agent selects for its callers.
   * The turn runs in a session and a conversation of its own, and nothing is saved. The call fails with
   * `versionMismatch` if another version answers. Not with a target's `version`, `sessionId`, `conversationId`,
   * `a2a` or a local agent.
   */
  versionOverride?: VersionOverride;
  /** Headers for the agent's own code. Not with `a2a`. */
  clientHeaders?: Record<string, ClientHeaderValue>;
  /** The `x-agent-foundry-call-id` for a local agent; the service generates its own. */
  callId?: CallId;
  /**
   * The caller's own span, as W3C Trace Context writes it. The daemon's span of this run becomes its child, and
   * the agent's spans join the same trace. Not used when the daemon's telemetry is off.
   */
  traceparent?: TraceParent;
  /**
   * Send the service's answer unmodified, as `httpHead` and `httpBody` events, in place of `textDelta`,
   * `snapshot` and `output`. This includes refusals, which come before the call's error.
   */
  raw?: boolean;
  /** Send each outgoing request as a `request` event. */
  debug?: boolean;
  /** Leave out `output` events, for clients that show only the text. Their event numbers are then missing. */
  textOnly?: boolean;
  /**
   * Keep running after the client leaves, even with no client attached. A client that stays still gets the
   * response last.
   */
  detach?: boolean;
  /**
   * Let the run outlive the daemon, too: it runs in the service's background mode, and the next daemon continues
   * it. `detach` asks for this as well. Whether the run can is in its `started` event: only `responses`, and
   * `invocations` that the agent accepts with 202, can. Not with `raw`, and not with the embedded emulator,
   * which ends with the daemon.
   */
  survive?: boolean;
  /** What to do when another call is using the session: wait for it, unless something else is chosen. */
  ifBusy?: IfBusy;
  /**
   * What becomes of the run when its last client leaves. The default is `cancel`; `detach` means `keep`, and is
   * not allowed with `cancel`.
   */
  onDisconnect?: OnDisconnect;
  /** Keep the session ready for the next turn. Experimental. */
  warm?: Warm;
  /** Give up after this long, in ms; the default is 30 min, 0 means never. */
  timeoutMs?: number;
  /** Send events as `$/progress` with this token. */
  partialResultToken?: Id;
}

/** The whole answer. */
export interface InvokeResponse {
  /** The run's id in this daemon. */
  runId: RunId;
  /** How it ended. */
  status: RunStatus;
  /** The answer's text: all text of the response in order, or the invocation's text. */
  text: string;
  /** How the target isolates its users. */
  isolationModel: IsolationModel;
  /** From the request's arrival to the ending, in ms. */
  durationMs: number;
  /** The session that answered, now saved for the partition. */
  sessionId?: SessionId;
  /** The conversation this turn belongs to, now saved for the partition. */
  conversationId?: ConversationId;
  /** The response's or the invocation's id at the service. */
  responseId?: ResponseId;
  /** The version of the agent that answered, if the service says which. */
  agentVersion?: AgentVersion;
  /** How long the parts of the call took, if the service measured it. */
  latency?: Latency;
  /** The service's request id, for its support. */
  requestId?: string;
  /** The service's final object (a response, or an invocation's JSON), verbatim. */
  output?: unknown;
  /** Why it did not complete. */
  failure?: RunFailure;
  /** What the agent asks the person; it waits for the answers. */
  questions?: Question[];
  /** What the caller should know about how the call was carried out. */
  notices?: Notice[];
}

/** Whose state a call may see. Every field is optional; none at all means the caller's own. */
export interface Isolation {
  /** `x-agent-user-isolation-key`: partitions by user. */
  userKey?: IsolationKey;
  /** `x-agent-chat-isolation-key`: partitions by chat. */
  chatKey?: IsolationKey;
  /** `x-session-isolation-key`: who may delete a session. Only sessions create and delete send it. */
  ownershipKey?: IsolationKey;
  /** `x-ms-user-identity`: the delegated end user of a 2.0.0 agent. */
  userIdentity?: UserIdentity;
  /** A label that partitions Cupola's saved state; never sent. */
  chat?: ChatLabel;
  /** Forces a model instead of detecting it. */
  model?: IsolationModel;
}

/**
 * An isolation key of container protocol 1.0.0: opaque, passed through verbatim. Must be 1 to 1024 bytes,
 * without control characters (CR, LF, NUL) and without blanks at either end.
 */
export type IsolationKey = string;

/** How a target isolates its users. Detected from the agent's definition when not given. */
export type IsolationModel =
  /** Container protocol 1.0.0: the isolation-key headers. */
  | "keys"
  /** Container protocol 2.0.0: the caller's token, or `x-ms-user-identity`. */
  | "identity"
  /** Nothing is sent; Cupola alone keeps a session and a conversation per key. */
  | "local";

/** Whose conversation, and which part of it. */
export interface ItemsParams {
  /** Which agent. Left out on a bound connection only, which has its own. */
  target?: Target;
  /** Whose conversation. */
  isolation?: Isolation;
  /** Only the items after the one with this id. */
  after?: string;
  /** How many at most; 100 when left out, and never more than 1000. */
  limit?: number;
}

/** A part of a conversation, in the service's own shape. */
export interface ItemsResponse {
  /** The service's items, verbatim. Empty if the isolation continues no conversation. */
  data: unknown[];
  /** The last one's id: pass it as `after` for more. */
  last_id: string | null;
  /** Whether there are more after `last_id`. */
  has_more: boolean;
}

/** With what a session is kept warm, and for how long. */
export interface KeepWarm {
  /** What is asked for. Never a turn. */
  request: WarmRequest;
  /** How often, in ms: 10 s at least. */
  everyMs: number;
  /** For how long after the last turn, in ms: 24 h at most. */
  forMs: number;
}

/** How far a client got in a run: `runs/attach` continues after it. */
export interface LastEvent {
  /** The run. */
  runId: RunId;
  /** The event's number. */
  number: number;
}

/**
 * Where a call's time went, up to the beginning of its answer, as the service measured it. All times are in ms;
 * what the service does not report is left out.
 */
export interface Latency {
  /** Whether a sandbox had to be started. */
  sessionStart?: SessionStart;
  /** The service's own work before the sandbox was asked for. */
  platformPreprocessingMs?: number;
  /** Setting up the sandbox; left out when one was running. */
  infraSetupMs?: number;
  /** Waiting until the agent in it was ready; left out when one was running. */
  containerReadinessMs?: number;
  /** From the request to the agent until its answer began. */
  containerResponseMs?: number;
  /** All of it: from the request's arrival until the answer began. */
  responseBeginMs?: number;
}

/**
 * A file on this machine, absolute: the daemon's working directory means nothing to a caller. Must be an
 * absolute path of at most 4096 bytes, without NUL.
 */
export type LocalPath = string;

/** The two logs of a session. */
export type LogKind =
  /** What the agent's container wrote. */
  | "console"
  /** What happened to the container. */
  | "system";

/**
 * A method's name, or all methods of one resource: `sessions/*`. Must each be a method's name, or a resource and
 * all its methods, such as sessions/*.
 */
export type MethodPattern = string;

/**
 * The value of one `$/progress` notification of a `monitor`. Receivers skip types they do not know. Times are
 * RFC 3339, as the service formats them.
 */
export type MonitorEvent =
  | MonitorEventRequest
  | MonitorEventStarted
  | MonitorEventSession
  | MonitorEventLine
  | MonitorEventRaw
  | MonitorEventNotice;

/** An outgoing request, if `debug` was set. May come before `started`. */
export interface MonitorEventRequest {
  type: "request";
  /** The method. */
  method: string;
  /** The whole URL. */
  url: string;
  /** The headers; the token is redacted. */
  headers: HttpHeader[];
  /** A bash command that repeats it, with the token taken from `$TOKEN`. */
  curl: string;
  /** The body, if it is text. */
  body?: string;
  /** The local file whose bytes are the body. */
  bodyFile?: string;
}

/** The first event: which session is read. */
export interface MonitorEventStarted {
  type: "started";
  /** The session. */
  sessionId: SessionId;
  /** The agent's name. */
  agent?: AgentName;
}

/** The session's status: the stream's preamble. */
export interface MonitorEventSession {
  type: "session";
  /** For example `Running`. */
  state: string;
  /** When it was reported. */
  timestamp?: string;
  /** The agent. */
  agent?: string;
  /** Its version. */
  version?: string;
  /** When the session was last used. */
  lastAccessed?: string;
}

/** One message of the log. */
export interface MonitorEventLine {
  type: "line";
  /** The text; may hold line feeds and any other character. */
  message: string;
  /** When it was written. */
  timestamp?: string;
  /** `stdout`, `stderr`, or `status` for the stream's own remarks; left out when the service does not say. */
  stream?: string;
}

/** Any other event of the service, verbatim; with `raw`, every event. */
export interface MonitorEventRaw {
  type: "raw";
  /** Its data. */
  data: string;
  /** The service's event name. */
  name?: string;
}

/** Something the caller should know. Reading continues. */
export interface MonitorEventNotice {
  type: "notice";
  /** A stable code. */
  code: NoticeCode;
  /** For people. */
  message: string;
}

/** Which log, and how much of it. */
export interface MonitorParams {
  /** Which agent. Left out on a bound connection only, which has its own. */
  target?: Target;
  /** Whose session. */
  isolation?: Isolation;
  /** Which session; the partition's current one when left out. */
  sessionId?: SessionId;
  /** Read a session that Cupola knows to belong to another partition. */
  allowSharedSession?: boolean;
  /** Keep sending lines as they are written. */
  follow?: boolean;
  /** How many of the last lines to begin with. */
  tail?: Tail;
  /** Which log: the agent's console or the container's events. */
  kind?: LogKind;
  /** Send every event of the service as `raw`. */
  raw?: boolean;
  /** Send each outgoing request as a `RequestEvent`. */
  debug?: boolean;
  /** Send events as `$/progress` with this token. */
  partialResultToken?: Id;
}

/** How it ended. */
export interface MonitorResponse {
  /** The session whose log it is. */
  sessionId: SessionId;
  /** How many events of the service were passed on. */
  count: number;
  /** The events and notices, if no token was given to send them with. */
  events?: MonitorEvent[];
}

/** No parameters: `{}`, `null` or left out. */
export type NoParams = Record<string, never>;

/** Something the caller should know. The call continues. */
export interface Notice {
  /** A stable code. */
  code: NoticeCode;
  /** For people. */
  message: string;
}

/** All kinds of notices. Receivers show the message of a kind they do not know. */
export type NoticeCode =
  /** The saved session was gone and has been replaced; its files are gone with it. */
  | "sessionReplaced"
  /** The saved conversation was gone and has been replaced. */
  | "conversationReplaced"
  /** Isolation keys were mapped onto the agent's newer model. */
  | "isolationMapped"
  /** The request was sent again after the service said "not now". */
  | "retried"
  /** Isolation was requested, but nothing enforces it: local agents do not isolate. */
  | "isolationNotEnforced"
  /** The local agent does not listen yet; the call waits for it to start. */
  | "waitingForAgent"
  /** The agent's version is still being deployed; the call waits for it. */
  | "waitingForVersion"
  /** Other calls are using the session, or wait for it; this one waits for its turn. */
  | "queued"
  /** Another call is using the session, and this one was sent without waiting for it. */
  | "sentWhileBusy"
  /** The agent took the message into the turn that is running. The reply is in that turn's answer. */
  | "delivered"
  /** A parameter has no effect for this target. */
  | "ignored"
  /** The connection to a log broke; it is being opened again. */
  | "disconnected"
  /** The connection to a log is restored. */
  | "reconnected"
  /** Lines of a log may be missing here. */
  | "gap"
  /** An event of the answer could not be read, and some of the text may be missing. */
  | "textMissing"
  /** The session has no sandbox, so it has no log at the moment. */
  | "noSandbox"
  /** The log exists but has no lines. */
  | "noLines"
  /** The session is gone, and its log with it. */
  | "sessionGone"
  /** The agent left a dialogue open, which was then closed for it. */
  | "dialogueIdle"
  /** The agent's sessions lose their files when they go idle. */
  | "filesNotKept"
  /** A question of the agent is being answered: which tool is allowed or refused, and with which arguments. */
  | "answering"
  /** A question of the agent could not be saved, so it cannot be answered. */
  | "questionNotSaved"
  /** Any other code, added by a newer daemon. */
  | "other";

/** What becomes of a run when its last client leaves. */
export type OnDisconnect =
  /** It is cancelled, here and at the service. */
  | "cancel"
  /**
   * It continues, and its answer is kept for the next client. It still ends with the daemon, unless `survive` is
   * set.
   */
  | "keep";

/** An OpenRPC document, see <https://spec.open-rpc.org>. */
export type OpenRpcDocument = Record<string, unknown>;

/** Sort order by creation time. */
export type Order =
  /** Oldest first. */
  | "asc"
  /** Newest first. */
  | "desc";

/** What to forget: one partition by its id, or those of an agent and an isolation. */
export interface PartitionForgetParams {
  /** From `partitions/list`. Not together with `target`. */
  id?: PartitionId;
  /** The agent; of all its versions if it names none. */
  target?: Target;
  /** Whose state; the state without isolation when left out. */
  isolation?: Isolation;
}

/** What was forgotten. */
export interface PartitionForgetResponse {
  /** The number of partitions. */
  forgotten: number;
}

/**
 * A partition's saved state in this daemon: a fingerprint, from which no key can be read. Made by the daemon.
 * Must be 16 characters of 0-9 a-f.
 */
export type PartitionId = string;

/** What one partition continues. */
export interface PartitionInfo {
  /** The id to forget it by. */
  id: PartitionId;
  /** The agent, as saved state names it. */
  agent: string;
  /** Whether it belongs to the given isolation. */
  own: boolean;
  /** The version that was asked for, if one was. */
  version?: AgentVersion;
  /** The session the next call continues. */
  sessionId?: SessionId;
  /** The conversation the next call continues. */
  conversationId?: ConversationId;
  /** The context the next call by A2A continues. */
  contextId?: ConversationId;
  /** When it last changed. RFC 3339, UTC. */
  updatedAt?: string;
}

/** Which partitions. All, when nothing is given. */
export interface PartitionListParams {
  /** Only those of this agent. */
  target?: Target;
  /** Mark those of this isolation as `own`; `{}` means calls without isolation. Needs `target`. */
  isolation?: Isolation;
  /**
   * Those of every agent that is in the same place as `target`: the same emulator, the same project, or this
   * machine for a local agent. Needs `target`; cannot be combined with `isolation`, which belongs to one agent.
   */
  anyAgent?: boolean;
  /**
   * The largest number of partitions to return, at least 1. It is 1000 if only `after` is given, and a larger
   * number counts as 1000.
   */
  limit?: number;
  /**
   * Only those after this place in the order of pages: `next` of the page before, which was read with the same
   * `target`, `isolation` and `anyAgent`.
   */
  after?: string;
}

/** What is saved. */
export interface PartitionListResponse {
  /** The most recently used first; in a page, in the order of their keys. A bound connection sees only its own. */
  partitions: PartitionInfo[];
  /** Pass this as `after` to get the next page. The last page does not have it. */
  next?: string;
}

/** Bytes of a file, at most 1 MiB (1,048,576), as base64 with the standard alphabet and padding. */
export type Piece = string;

/**
 * The id of a file that is read or written over several calls. The daemon makes the id. It is valid only on the
 * connection that opened the file. Must be an id that files/read or files/write answered with.
 */
export type PieceId = string;

/** A program's name and version. */
export interface ProgramInfo {
  /** Its name. */
  name: string;
  /** Its version. */
  version?: string;
}

/** `$/progress`. */
export interface ProgressParams {
  /** The caller's token. */
  token: Id;
  /** What happened. */
  value: unknown;
}

/**
 * A project endpoint: `https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT`.
 *
 * Only the shape is checked here. Whether a token may be sent to the host is the daemon's decision, from its own
 * configuration. Must look like https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT: https, no port, no
 * user, no query, no trailing path.
 */
export type ProjectEndpoint = string;

/**
 * The agent waits for the person. The run that asked has ended; the answer is another `invoke` in the same
 * partition.
 */
export interface Question {
  /**
   * The agent's own id of the question. `items` with an item `mcp_approval_response` names it as
   * `approval_request_id`.
   */
  id: string;
  /** What is asked. */
  kind: QuestionKind;
  /** What the agent says about it, for people. */
  message?: string;
  /** The tool that the agent wants to call. */
  tool?: string;
  /** The server that has the tool, or that wants consent, by its label. */
  server?: string;
  /** The arguments of the tool's call, as the agent wrote them: usually JSON. */
  arguments?: string;
  /** Where the person gives consent. Always `https`; show it whole, and open it only if the person says so. */
  url?: string;
}

/** What a question is about. */
export type QuestionKind =
  /**
   * May the agent call this tool with these arguments? Answered with an approval or a denial; the first answer
   * counts.
   */
  | "approval"
  /** The person signs in at a link, then sends the message again. */
  | "consent"
  /** The agent needs more information. Answered with the next message. */
  | "input"
  /** Any other kind, added by a newer daemon. */
  | "other";

/** Where a call is in a queue. */
export interface QueuePlace {
  /** How many calls of this daemon are ahead of it. 0 while only a call of another process is. */
  ahead: number;
  /** What it waits for, for people. */
  waitsFor: string;
}

/** A call that failed. */
export interface RecentError {
  /** When. RFC 3339, UTC. */
  at: string;
  /** The method that was called. */
  method: string;
  /** What went wrong, in one word. */
  kind: ErrorKind;
  /** What happened, for people: at most 300 characters. */
  message: string;
}

/**
 * A path in a session's home: `data/in.csv`, or with a leading slash, which means the home too. Sent as it is.
 * Must be 1 to 4096 bytes without control characters.
 */
export type RemotePath = string;

/** The value of a `$/progress` notification with `debug`; it has the same shape for every method. */
export type RequestEvent =
  | RequestEventRequest;

/** An outgoing request. */
export interface RequestEventRequest {
  type: "request";
  /** The method. */
  method: string;
  /** The whole URL. */
  url: string;
  /** The headers; the token is redacted. */
  headers: HttpHeader[];
  /** A bash command that repeats it, with the token taken from `$TOKEN`. */
  curl: string;
  /** The body, if it is text. */
  body?: string;
  /** The local file whose bytes are the body. */
  bodyFile?: string;
}

/**
 * A response of the responses protocol, or an invocation of the invocations protocol. Must be 1 to 256
 * characters of A-Z a-z 0-9 . _ : -, and more than dots.
 */
export type ResponseId = string;

/** Which run, and where to start. */
export interface RunAttachParams {
  /** The run. */
  runId: RunId;
  /**
   * Whose run it is, on a bound connection: its own isolation, or on a gateway the label of the chat that the
   * run belongs to.
   */
  isolation?: Isolation;
  /** The last event number this client has seen; everything when left out. */
  after?: number;
  /** Leave out `output` events, as in `invoke`. */
  textOnly?: boolean;
  /** Send events as `$/progress` with this token. */
  partialResultToken?: Id;
}

/** Why a run did not complete. */
export interface RunFailure {
  /** The kind of failure. */
  kind: ErrorKind;
  /** What happened, for people. */
  message: string;
  /** The service's or the agent's own code. */
  serviceCode?: string;
  /**
   * Whether the turn ran. Never `notRun`: the service had accepted it. A daemon older than this field leaves it
   * out.
   */
  turn?: Turn;
  /** What to do next. */
  hint?: string;
}

/**
 * One run in this daemon: one invoke from request to ending. Made by the daemon. Must be 1 to 256 characters of
 * A-Z a-z 0-9 . _ : -, and more than dots.
 */
export type RunId = string;

/** The status of a run. Times are RFC 3339, UTC. */
export interface RunInfo {
  /** Its id. */
  runId: RunId;
  /** The agent, as saved state names it. */
  agent: string;
  /** Running, or how it ended. */
  status: RunState;
  /** When the request arrived. */
  startedAt: string;
  /** Number of its newest event; 0 before the first. */
  lastEvent: number;
  /** Whether it keeps running without any client. */
  detached: boolean;
  /** The number of clients that follow it. */
  clients: number;
  /** Whose it is: the id of its partition, as `partitions/list` shows it, once that is known. */
  partitionId?: PartitionId;
  /** The first words of what was asked. Not known of a run that an earlier daemon began: prompts are not saved. */
  question?: string;
  /**
   * What the agent asked in this run and nobody has answered yet. Answer it with `invoke`. `runs/list` leaves it
   * out.
   */
  questions?: Question[];
  /** Where it waits, until it is sent. */
  queue?: QueuePlace;
  /** The session that answers, once that is known. */
  sessionId?: SessionId;
  /** The conversation of this turn, once that is known. */
  conversationId?: ConversationId;
  /** The response's or the invocation's id at the service, once that is known. */
  responseId?: ResponseId;
  /** The version of the agent that answers, once that is known. */
  agentVersion?: AgentVersion;
  /** How long the parts of the call took up to the answer's beginning, if the service measured it. */
  latency?: Latency;
  /** When it ended. */
  endedAt?: string;
  /** Whether it outlives the daemon: the next one continues it. */
  survives?: boolean;
  /** Why a run that an earlier daemon left has no answer. */
  reason?: string;
}

/** Which runs. All, when nothing is given. */
export interface RunListParams {
  /** Only those of this agent. */
  target?: Target;
  /** Only those of this isolation; `{}` means calls without isolation. Needs `target`. */
  isolation?: Isolation;
  /**
   * Those of every agent that is in the same place as `target`: the same emulator, the same project, or this
   * machine for a local agent. Needs `target`; cannot be combined with `isolation`, which belongs to one agent.
   */
  anyAgent?: boolean;
  /**
   * Also runs that earlier daemons left when they ended, which are kept for a day, and those whose answer only
   * the service still has.
   */
  all?: boolean;
}

/** The runs. */
export interface RunListResponse {
  /** Newest first. */
  runs: RunInfo[];
}

/** Which run. */
export interface RunParams {
  /** From an event, from `runs/list`, or from a response. */
  runId: RunId;
  /**
   * Whose run it is, on a bound connection: its own isolation, or on a gateway the label of the chat that the
   * run belongs to.
   */
  isolation?: Isolation;
}

/** Running, or how it ended. */
export type RunState =
  /** It is running. */
  | "running"
  /** The agent finished its answer. */
  | "completed"
  /** It could not begin, or the agent or the service failed. */
  | "failed"
  /** The agent stopped early. */
  | "incomplete"
  /** It was cancelled. */
  | "cancelled"
  /** The stream ended without reporting how the run ended. */
  | "truncated";

/** How a run ended. */
export type RunStatus =
  /** The agent finished its answer. */
  | "completed"
  /** The agent or the service failed after the run had begun. */
  | "failed"
  /** The agent stopped early, for example at a token limit. */
  | "incomplete"
  /** It was cancelled, by a client or at the service. */
  | "cancelled"
  /** The stream ended without reporting how the run ended. */
  | "truncated";

/** An outgoing request. Its `Debug` leaves out what may be private: keys and the prompt. */
export interface SentRequest {
  /** The method. */
  method: string;
  /** The whole URL. */
  url: string;
  /** The headers; the token is redacted. */
  headers: HttpHeader[];
  /** A bash command that repeats it, with the token taken from `$TOKEN`. */
  curl: string;
  /** The body, if it is text. */
  body?: string;
  /** The local file whose bytes are the body. */
  bodyFile?: string;
}

/**
 * What a caller calls an agent in a project: the service's name in `azure.yaml`, or the agent's own. Must be 1
 * to 128 characters without control characters, / and \.
 */
export type ServiceName = string;

/**
 * A session as the service describes it, in the service's own field names. Times are Unix seconds, UTC. Fields a
 * newer service adds are kept.
 */
export interface Session {
  /** The session's id. */
  agent_session_id: string;
  /** The version it is bound to. */
  version_indicator?: VersionIndicator;
  /** `creating`, `active`, `idle`, `updating`, `failed`, `deleting`, `deleted` or `expired`. */
  status?: string;
  /** When it was created. */
  created_at?: number;
  /** When it was last used. */
  last_accessed_at?: number;
  /** When it expires if it is not used. */
  expires_at?: number;
  [field: string]: unknown;
}

/** What to create. */
export interface SessionCreateParams {
  /**
   * Which agent; its `version` is the one the session is bound to. Left out on a bound connection only, which
   * has its own.
   */
  target?: Target;
  /** Whose session. An ownership key given here is remembered for `sessions/delete`. */
  isolation?: Isolation;
  /** Its id; the service generates one when left out. */
  sessionId?: SessionId;
  /** Send each outgoing request as a `RequestEvent`. */
  debug?: boolean;
  /** Send events as `$/progress` with this token. */
  partialResultToken?: Id;
}

/** What was deleted. */
export interface SessionDeleteResponse {
  /** The session. */
  sessionId: SessionId;
}

/**
 * A sandbox of the service (`agent_session_id`): compute and `$HOME`. Must be 8 to 128 characters of A-Z a-z 0-9
 * _ -.
 */
export type SessionId = string;

/** Which sessions to list. The daemon follows the service's pages until it has `limit` sessions. */
export interface SessionListParams {
  /** Which agent. Left out on a bound connection only, which has its own. */
  target?: Target;
  /** Whose sessions. */
  isolation?: Isolation;
  /** How many at most; all when left out. */
  limit?: number;
  /** Sort order; the service's own when left out. */
  order?: Order;
  /** Only those after this session in the order. */
  after?: SessionId;
  /** Send each outgoing request as a `RequestEvent`. */
  debug?: boolean;
  /** Send events as `$/progress` with this token. */
  partialResultToken?: Id;
}

/** A list in the service's own shape. */
export interface SessionListResponse {
  /** The sessions. */
  data: Session[];
  /** The first one's id. */
  first_id: string | null;
  /** The last one's id: pass it as `after` for more. */
  last_id: string | null;
  /** Whether there are more after `last_id`. */
  has_more: boolean;
}

/** Names one session. When `sessionId` is left out, the partition's current one is meant. */
export interface SessionParams {
  /** Which agent. Left out on a bound connection only, which has its own. */
  target?: Target;
  /** Whose session. */
  isolation?: Isolation;
  /** Which session; the partition's current one when left out. */
  sessionId?: SessionId;
  /** Allow a session that Cupola knows to belong to another partition. */
  allowSharedSession?: boolean;
  /** Send each outgoing request as a `RequestEvent`. */
  debug?: boolean;
  /** Send events as `$/progress` with this token. */
  partialResultToken?: Id;
}

/** How a session's sandbox was ready for a call. */
export type SessionStart =
  /** A sandbox was started. */
  | "cold"
  /** It was running. */
  | "warm"
  /** An idle session's sandbox was started again. */
  | "resume"
  /** Any other word of the service. */
  | "other";

/** What stopping did. */
export interface SessionStopResponse {
  /** The session. */
  sessionId: SessionId;
  /** Whether it was already stopped. */
  alreadyStopped: boolean;
}

/** A session that a partition continues. */
export interface SessionUse {
  /** The partition. The isolation keys themselves are not kept. */
  partition: PartitionId;
  /** The agent, as saved state names it. */
  agent: string;
  /** Runs under way in the partition. */
  runs: number;
  /** When what is saved changed last. RFC 3339, UTC. */
  updatedAt: string;
  /** The session the next call continues. */
  sessionId?: SessionId;
}

/** Which session to use from now on. */
export interface SessionUseParams {
  /** The session. It must exist for this isolation. */
  sessionId: SessionId;
  /** Which agent. Left out on a bound connection only, which has its own. */
  target?: Target;
  /** Whose session. */
  isolation?: Isolation;
  /** Allow a session that Cupola knows to belong to another partition. */
  allowSharedSession?: boolean;
  /** Send each outgoing request as a `RequestEvent`. */
  debug?: boolean;
  /** Send events as `$/progress` with this token. */
  partialResultToken?: Id;
}

/** What the daemon is doing. No isolation key and no token is in it. */
export interface StatusDetails {
  /** Runs under way and those that ended recently, newest first. */
  runs: RunInfo[];
  /** The sessions that partitions continue, the latest changed first: at most 100. */
  sessions: SessionUse[];
  /** The tokens held, and when they expire. */
  tokens: Token[];
  /** The sessions that are kept ready (`warm` of `invoke`). */
  warm: WarmSession[];
  /** The latest calls that failed, newest first: at most 32. */
  errors: RecentError[];
  /**
   * The connections to services and to agents on this machine that are open; missing where the system does not
   * tell.
   */
  upstream?: UpstreamConnection[];
}

/** How many of the last lines: 1 to 300, 50 when left out. */
export type Tail = number;

/**
 * Which agent a call goes to.
 *
 * ```json
 * {"kind": "emulator", "agent": "notes"}
 * {"kind": "project", "endpoint": "https://acct.services.ai.azure.com/api/projects/p", "agent": "my-agent", "version": "3"}
 * {"kind": "agentEndpoint", "url": "https://acct.services.ai.azure.com/api/projects/p/agents/my-agent/endpoint/protocols/a2a"}
 * {"kind": "local", "port": 8088}
 * {"kind": "directory", "path": "/home/ada/shop/src"}
 * {"kind": "gateway", "agent": "support"}
 * ```
 */
export type Target =
  | TargetEmulator
  | TargetProject
  | TargetAgentEndpoint
  | TargetLocal
  | TargetDirectory
  | TargetGateway;

/** The emulator: the daemon's own, or one that listens at `url`. */
export interface TargetEmulator {
  kind: "emulator";
  /** The emulated agent; `notes` when left out. */
  agent?: AgentName;
  /** A concrete version of it; the agent's own selection when left out. */
  version?: AgentVersion;
  /** A separately started emulator; the daemon's own when left out. */
  url?: EmulatorUrl;
}

/** A deployed agent of a Foundry project. */
export interface TargetProject {
  kind: "project";
  /** The project's endpoint. */
  endpoint: ProjectEndpoint;
  /** The agent's name. */
  agent: AgentName;
  /** A concrete version of it; the agent's own selection when left out. */
  version?: AgentVersion;
}

/** A deployed agent by its own URL, which also says which protocol to speak. */
export interface TargetAgentEndpoint {
  kind: "agentEndpoint";
  /** The agent's endpoint. */
  url: AgentEndpoint;
  /** A concrete version of it; the agent's own selection when left out. */
  version?: AgentVersion;
}

/**
 * An agent's container on this machine, as a developer runs it: no service in front of it, so no token, no
 * sessions, files or logs, and no isolation.
 */
export interface TargetLocal {
  kind: "local";
  /** Where it listens on 127.0.0.1; 8088 when left out. */
  port?: number;
  /** What to call it; one agent answers at a port, whatever its name. */
  agent?: AgentName;
}

/** The agent of an azd project on this machine. */
export interface TargetDirectory {
  kind: "directory";
  /** Where to look for `azure.yaml`, here and upwards. */
  path: AbsolutePath;
  /** Which agent; the project's only one when left out. */
  agent?: ServiceName;
  /** A concrete version of it; the agent's own selection when left out. */
  version?: AgentVersion;
  /** The azd environment; the project's default one when left out. */
  environment?: EnvironmentName;
  /** The project's endpoint, before what any file says. */
  endpoint?: ProjectEndpoint;
  /** The project's endpoint where no file names one: the caller's `FOUNDRY_PROJECT_ENDPOINT`. */
  fallbackEndpoint?: ProjectEndpoint;
  /** azd's own directory with the user's `config.json`; not read when left out. */
  azdConfigDirectory?: AbsolutePath;
}

/** An agent that a gateway (`cupola gateway`) offers under a name of its own. Only a gateway knows such agents. */
export interface TargetGateway {
  kind: "gateway";
  /** The name in the gateway's configuration; the only agent that the caller may use when left out. */
  agent?: AgentName;
}

/** How traces and metrics leave the daemon. */
export interface TelemetryStatus {
  /** Spans that the collector has taken. */
  sentSpans: number;
  /** Spans that were dropped, because the collector did not take them in time or at all. */
  droppedSpans: number;
  /** Where spans are sent. */
  collector?: string;
  /** Where Prometheus can read metrics; missing while nothing is served. */
  metrics?: string;
  /** What does not work at the moment. */
  error?: string;
}

/** The status of one token. Times are RFC 3339, UTC. */
export interface Token {
  /** Where it came from: a credential's kind, or `emulator`. */
  credential: string;
  /** What it is for. */
  scope: string;
  /** Its state. */
  state: TokenState;
  /** The tenant, if the configuration names one. */
  tenantId?: string;
  /** When it expires. A token in use is replaced some minutes earlier. */
  expiresAt?: string;
  /** Why the last attempt to get one failed, if it did. */
  error?: string;
}

/** The state of a token. */
export type TokenState =
  /** No token is held. */
  | "missing"
  /** The first one is being fetched. */
  | "fetching"
  /** It is valid. */
  | "valid"
  /** It has expired; the next call fetches another. */
  | "expired";

/**
 * `traceparent` of W3C Trace Context: the caller's own span, which the run's span becomes a child of. Must look
 * like 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01: version 00, 32, 16 and 2 lower-case hexadecimal
 * digits.
 */
export type TraceParent = string;

/** What was transferred of a directory, file by file. */
export interface Tree {
  /** Files transferred. */
  files: number;
  /** Directories traversed, including the first. */
  directories: number;
  /** What could not be transferred, and why. */
  failures?: TreeFailure[];
  /**
   * What was left out on purpose: links that lead out of the directory or to a directory, devices and the like.
   * On a bound connection no link is followed.
   */
  skipped?: string[];
}

/** One file or directory that could not be transferred. */
export interface TreeFailure {
  /** The file: the local one of an upload, the session's of a download. */
  path: string;
  /** In one word. */
  kind: ErrorKind;
  /** What happened, for people. */
  message: string;
}

/** Whether a failed turn ran. The value tells a program what to do: send it again, find out, or leave it. */
export type Turn =
  /** It did not run, and that is certain: it was not sent, or what refused it says so. Sending it again is safe. */
  | "notRun"
  /** It may have run, in part or to its end. Find out before you send it again. */
  | "mayHaveRun"
  /**
   * The agent ran it. The failure is how the turn ended or, as `isolationMismatch`, that it ran under another
   * isolation than the call's.
   */
  | "ran";

/** An open connection. */
export interface UpstreamConnection {
  /** The address and port at the other end. */
  peer: string;
}

/**
 * The end user on whose behalf the caller acts (`x-ms-user-identity`). Must be 1 to 256 characters of A-Z a-z
 * 0-9 . _ : - @.
 */
export type UserIdentity = string;

/** Which version a session is bound to. */
export interface VersionIndicator {
  /** Always `version_ref` so far. */
  type: string;
  /** The concrete version. */
  agent_version: string;
}

/**
 * The version that answers a single call: a version, or `latest`. Must be a version, or `latest`: 1 to 128
 * characters of A-Z a-z 0-9 . _ -, and more than dots.
 */
export type VersionOverride = string;

/**
 * How a partition's session is kept ready after this turn. Experimental, and it costs: a sandbox that does not
 * go idle is paid for.
 */
export interface Warm {
  /** Ask the service for something now and then, so that the session may not go idle. */
  keep?: KeepWarm;
  /**
   * Make the partition's next session ahead: the next call that needs a new one gets it. It counts among the
   * project's sessions.
   */
  preCreate?: boolean;
}

/** A request that may keep a session warm. */
export type WarmRequest =
  /** Show the session. The service answers this itself. */
  | "session"
  /** List the files in the session's home. */
  | "files";

/** A session that is kept ready. */
export interface WarmSession {
  /** The partition. */
  partition: PartitionId;
  /** The agent, as saved state names it. */
  agent: string;
  /** The session. */
  sessionId: SessionId;
  /** How often the service was asked since the last turn. */
  asked: number;
  /** How it is kept warm; missing if only the next one is made ahead. */
  keep?: KeepWarm;
  /** When it was asked last. RFC 3339, UTC. */
  askedAt?: string;
  /** Why that failed, if it did. */
  error?: string;
  /** The session that was made ahead. */
  nextSessionId?: SessionId;
}

/** Every method: its parameters, its result, and the values of its `$/progress` notifications. */
export interface Methods {
  /**
   * Opens a connection: the client identifies itself, and the daemon answers with its capabilities, at once and
   * from static data. Optional: without it, the defaults apply.
   */
  "initialize": { params: InitializeParams; result: InitializeResponse; event: never };
  /** LSP's `shutdown`: this client is finished. The daemon keeps running. */
  "shutdown": { params: NoParams; result: null; event: never };
  /** Describes all methods, types and errors of the protocol as an OpenRPC document. */
  "rpc.discover": { params: NoParams; result: OpenRpcDocument; event: never };
  /**
   * Sends one input to an agent and waits for its answer.
   *
   * With `partialResultToken`, events arrive as `$/progress` notifications before the response, which is
   * complete in itself. An answer that the agent ended as failed, incomplete or truncated is a response with
   * that `status`, not an error; an error means that no run took place or that the caller or its time limit
   * ended it.
   *
   * Other clients can follow the run and cancel it: see `runs`. The run is cancelled when its last client
   * leaves, unless `detach` is set. Cancelling this call always cancels the run.
   */
  "invoke": { params: InvokeParams; result: InvokeResponse; event: InvokeEvent };
  /**
   * Lists the running and recent runs, newest first; with `all` also those that earlier daemons left. The runs
   * of a daemon that was replaced and still finishes them are among the recent ones.
   */
  "runs/list": { params: RunListParams; result: RunListResponse; event: never };
  /** Shows one run. */
  "runs/show": { params: RunParams; result: RunInfo; event: never };
  /**
   * Follows a run: its events so far, then new events, then its answer. Cancelling this call only detaches.
   *
   * Each event comes once, in the order of its number. In place of events that the daemon no longer has, it
   * sends a `gap`, then a `snapshot` of their text, then the remaining events. If the run could not begin, the
   * answer is its error.
   *
   * A run that outlives the daemon is followed on the next one in the same way. One that ended with its daemon
   * is `truncated`: the answer says what is known of it.
   */
  "runs/attach": { params: RunAttachParams; result: InvokeResponse; event: InvokeEvent };
  /**
   * Cancels a run, here and at the service. Every attached client gets its `cancelled`. A run that has ended
   * does not change.
   */
  "runs/cancel": { params: RunParams; result: RunInfo; event: never };
  /** Creates a session and makes it the partition's current one. */
  "sessions/create": { params: SessionCreateParams; result: Session; event: RequestEvent };
  /** Lists the sessions this isolation can see, in the service's order. */
  "sessions/list": { params: SessionListParams; result: SessionListResponse; event: RequestEvent };
  /** Shows one session. */
  "sessions/show": { params: SessionParams; result: Session; event: RequestEvent };
  /** Makes a session the partition's current one without calling the agent. */
  "sessions/use": { params: SessionUseParams; result: Session; event: RequestEvent };
  /** Stops a session's compute; its files stay and the next invoke resumes it. */
  "sessions/stop": { params: SessionParams; result: SessionStopResponse; event: RequestEvent };
  /** Deletes a session and its files, and forgets it if it was saved. */
  "sessions/delete": { params: SessionParams; result: SessionDeleteResponse; event: RequestEvent };
  /**
   * Reads a piece of a file in the session's home. Nothing is written on this machine.
   *
   * Without `keepOpen` each call asks the service for the file and skips what comes before `offset`. To read a
   * whole file, set `keepOpen`: as long as `isLast` is false, the answer has a `readId`, and a call with it gets
   * the next piece of the same download. All pieces are then of one version of the file. A reading that is kept
   * open ends with its connection, and when no piece is asked for within 60 s. At most 8 can be open per
   * connection.
   *
   * Over HTTP every request is its own connection: there `keepOpen` has no effect, and each piece is asked for
   * by its offset.
   */
  "files/read": { params: FileReadParams; result: FileReadResponse; event: RequestEvent };
  /**
   * Writes a file in the session's home, in one piece or several. Nothing of this machine is read. An existing
   * file is replaced; the service creates missing directories.
   *
   * Pieces are collected by the daemon, in their order, and the whole file is sent to the service with the last
   * one: the service never sees a part of it. A file of one piece (1 MiB) is one call with `isLast`. For a
   * longer one, up to 50 MiB, send the first piece without `writeId`, and the others with the `writeId` of the
   * answer. What was collected is thrown away when the connection ends, when no piece comes within 60 s, or when
   * a call with the `writeId` is cancelled or fails. At most 8 files can be written at once per connection.
   *
   * Over HTTP every request is its own connection, so there a file is written in one piece.
   */
  "files/write": { params: FileWriteParams; result: FileWriteResponse; event: RequestEvent };
  /**
   * Uploads a local file to the session's home. An existing file is replaced; the service creates missing
   * directories.
   *
   * On a bound connection this needs a binding that names this method and a directory (`files`), and the file
   * must be below that directory.
   */
  "files/upload": { params: FileUploadParams; result: FileTransferResponse; event: FileEvent };
  /**
   * Copies a file of the session's home to a local one. An existing local file is replaced at once and as a
   * whole when the last byte is there, and untouched by anything that fails before.
   *
   * On a bound connection this needs a binding that names this method and a directory (`files`), and the file
   * must be below that directory.
   */
  "files/download": { params: FileDownloadParams; result: FileTransferResponse; event: FileEvent };
  /** Lists what is directly in a directory of the session's home. */
  "files/list": { params: FileListParams; result: FileListResponse; event: RequestEvent };
  /** Shows one file or directory; looked up in its directory's list where the service has no such operation. */
  "files/stat": { params: FilePathParams; result: FileEntry; event: RequestEvent };
  /** Creates a directory and its parents. Not every service offers it: then the error is `notOffered`. */
  "files/mkdir": { params: FilePathParams; result: FilePathResponse; event: RequestEvent };
  /** Deletes a file or directory. */
  "files/delete": { params: FileDeleteParams; result: FilePathResponse; event: RequestEvent };
  /**
   * Reads a session's log.
   *
   * Without `follow` it ends after the last lines. If the service does not answer, that is an error, never an
   * empty success. With `follow` it continues, reconnecting when necessary, until it is cancelled or the session
   * is gone. Lines that were sent are not sent again. Following needs a `partialResultToken`.
   */
  "monitor": { params: MonitorParams; result: MonitorResponse; event: MonitorEvent };
  /** Lists the agents of the project that the target is in. */
  "agents/list": { params: AgentListParams; result: AgentListResponse; event: RequestEvent };
  /** Shows one agent and the version that the target selects. */
  "agents/show": { params: AgentShowParams; result: AgentShowResponse; event: RequestEvent };
  /**
   * Lists what is saved: which session and conversation each partition continues. The service is asked only for
   * the agent's definition, and only to find which partitions are the caller's own.
   *
   * Without `limit` and `after`, the answer has all partitions, the most recently used first. If they are more
   * than a message can hold, the call is refused. With one of the two, the answer is a page: it has the next
   * partitions in the order of their keys. A key never changes, so a client that reads page after page gets each
   * partition exactly once that is there all the time, whatever is saved and forgotten meanwhile. A page takes
   * as long whether there are few partitions or many. In a shared store, one of all agents takes longer the more
   * agents there are.
   */
  "partitions/list": { params: PartitionListParams; result: PartitionListResponse; event: never };
  /**
   * Forgets which session and conversation partitions continue, so that their next call starts new ones, and the
   * ownership keys of their sessions. The service keeps the sessions, their files and the conversations, and
   * Cupola still knows whose they are.
   */
  "partitions/forget": { params: PartitionForgetParams; result: PartitionForgetResponse; event: never };
  /**
   * Imports sessions and conversations saved by another program, so that the next call continues them.
   *
   * Cupola does not check whether they still exist: the next call replaces a missing session, with a notice. The
   * service is asked only for the agent's definition, unless every isolation names its model.
   */
  "partitions/import": { params: ImportParams; result: ImportResponse; event: never };
  /** Remembers a chat, in place of what was remembered about it before. */
  "chats/save": { params: ChatSaveParams; result: null; event: never };
  /**
   * Lists the chats of one isolation that were saved with `chats/save`. The service is asked only for the
   * agent's definition.
   */
  "chats/list": { params: ChatParams; result: ChatListResponse; event: never };
  /**
   * Forgets a chat: what was saved about it, and which session and conversation it continues, with every version
   * of the agent. The service keeps the session, its files and the conversation.
   */
  "chats/forget": { params: ChatForgetParams; result: ChatForgetResponse; event: never };
  /**
   * Reads the items of the conversation that the isolation continues, oldest first: messages, reasoning, tool
   * calls. They come from the service; Cupola does not store them.
   */
  "chats/items": { params: ItemsParams; result: ItemsResponse; event: never };
  /** Shows the daemon's status. With `details`, also what it is doing: what `cupola top` shows. */
  "daemon/status": { params: DaemonStatusParams; result: DaemonStatusResponse; event: never };
  /**
   * Checks the daemon, its saved state and its credential. With a target, also checks everything that a call to
   * it needs. Fetches a token, the agent's definition, and at most one session of the user whom the isolation
   * names; sends nothing to the agent itself.
   */
  "daemon/doctor": { params: DoctorParams; result: DoctorResponse; event: never };
  /** Stops the daemon when all runs have ended, or at once with `force`. */
  "daemon/stop": { params: DaemonStopParams; result: DaemonStopResponse; event: never };
  /** Shows the configured credential and the status of its tokens. */
  "auth/status": { params: NoParams; result: AuthStatusResponse; event: never };
  /** Forgets every token, for example after `az login` with another account. The next call fetches a new one. */
  "auth/clear": { params: NoParams; result: AuthClearResponse; event: never };
}

/** The name of a method. */
export type MethodName = keyof Methods;

/** The JSON-RPC error code of each kind of failure. */
export const errorCodes: Readonly<Record<ErrorKind, number>> = {
  parseError: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internalError: -32603,
  cancelled: -32800,
  authenticationFailed: 1001,
  forbidden: 1002,
  impersonationNotPermitted: 1003,
  isolationKeyRequired: 1004,
  isolationMismatch: 1005,
  foreignSession: 1006,
  notSessionOwner: 1007,
  isolationNotSupported: 1008,
  pooledSession: 1009,
  sessionNotFound: 1020,
  agentNotFound: 1021,
  notFound: 1022,
  conflict: 1023,
  conversationLocked: 1024,
  badRequest: 1025,
  sessionNotReady: 1040,
  sandboxIdle: 1041,
  proxyTimeout: 1042,
  agentVersionNotReady: 1043,
  agentVersionFailed: 1044,
  quotaExceeded: 1045,
  rateLimited: 1046,
  serviceUnavailable: 1047,
  serviceError: 1048,
  unexpectedAnswer: 1049,
  connectionFailed: 1050,
  timedOut: 1051,
  certificateNotTrusted: 1053,
  versionMismatch: 1054,
  agentFailed: 1052,
  hostNotAllowed: 1060,
  outOfBounds: 1061,
  overloaded: 1062,
  busy: 1063,
  shuttingDown: 1064,
  stateUnavailable: 1065,
  emulatorFailed: 1066,
  configurationInvalid: 1068,
  clientStalled: 1069,
  daemonGone: 1067,
  agentNotChosen: 1080,
  projectNotResolved: 1081,
  projectFileInvalid: 1082,
  fileTooLarge: 1090,
  localFile: 1091,
  notOffered: 1092,
};

/** The kinds after which the same call can succeed later. */
export const retryableKinds: ReadonlySet<ErrorKind> = new Set<ErrorKind>([
  "conversationLocked",
  "sessionNotReady",
  "sandboxIdle",
  "agentVersionNotReady",
  "quotaExceeded",
  "rateLimited",
  "serviceUnavailable",
  "connectionFailed",
  "timedOut",
  "overloaded",
  "busy",
  "shuttingDown",
  "daemonGone",
]);
