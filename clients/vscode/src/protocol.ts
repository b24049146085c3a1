// What travels on Cupola's socket: the part of `protocol/` that this extension uses.

export type Target =
    | { kind: "emulator"; agent?: string; version?: string; url?: string }
    | { kind: "project"; endpoint: string; agent: string; version?: string }
    | { kind: "agentEndpoint"; url: string; version?: string }
    | { kind: "local"; port?: number; agent?: string }
    | { kind: "directory"; path: string; agent?: string; version?: string; environment?: string };

export type IsolationModel = "keys" | "identity" | "local";

export interface Isolation {
    userKey?: string;
    chatKey?: string;
    ownershipKey?: string;
    userIdentity?: string;
    chat?: string;
    model?: IsolationModel;
}

export interface ErrorData {
    kind: string;
    retryable: boolean;
    retryAfterMs?: number;
    httpStatus?: number;
    serviceCode?: string;
    requestId?: string;
    hint?: string;
    choices?: string[];
    runId?: string;
}

interface Scope {
    target?: Target;
    isolation?: Isolation;
}

interface Named extends Scope {
    sessionId?: string;
}

export interface InitializeParams {
    clientInfo?: { name: string; version?: string };
    protocolVersions?: number[];
    bind?: { target: Target; isolation?: Isolation; methods?: string[] };
}

export interface InitializeResponse {
    protocolVersion: number;
    serverInfo: { name: string; version?: string };
    processId: number;
    bound?: boolean;
    capabilities: { methods: string[]; framings: string[] };
}

export interface InvokeParams extends Scope {
    input: string;
    sessionId?: string;
    newSession?: boolean;
    newConversation?: boolean;
    textOnly?: boolean;
    partialResultToken?: string | number;
}

export interface Notice {
    code: string;
    message: string;
}

export interface RunFailure {
    kind: string;
    message: string;
    serviceCode?: string;
}

export interface InvokeResponse {
    runId: string;
    status: "completed" | "failed" | "incomplete" | "cancelled" | "truncated";
    text: string;
    sessionId?: string;
    conversationId?: string;
    isolationModel: IsolationModel;
    failure?: RunFailure;
    notices?: Notice[];
    durationMs: number;
}

export type InvokeEvent =
    | { type: "started"; runId: string; number: number; sessionId?: string; conversationId?: string; isolationModel: IsolationModel }
    | { type: "textDelta"; runId: string; number: number; delta: string }
    | ({ type: "notice"; runId: string; number: number } & Notice)
    | { type: "snapshot"; runId: string; number: number; text: string }
    | { type: "gap"; runId: string; number: number; after: number }
    | { type: "completed" | "cancelled"; runId: string; number: number }
    | { type: "failed"; runId: string; number: number; failure: RunFailure }
    | { type: "incomplete" | "truncated"; runId: string; number: number; reason?: string };

export interface Session {
    agent_session_id: string;
    version_indicator?: { type: string; agent_version: string };
    status?: string;
    created_at?: number;
    last_accessed_at?: number;
    expires_at?: number;
}

export interface Entry {
    name: string;
    path: string;
    is_directory: boolean;
    size: number;
    modified_time?: number;
}

export type MonitorEvent =
    | { type: "started"; sessionId: string }
    | { type: "session"; timestamp?: string; state: string; agent?: string; version?: string; lastAccessed?: string }
    | { type: "line"; timestamp?: string; stream?: string; message: string }
    | { type: "raw"; name?: string; data: string }
    | ({ type: "notice" } & Notice);

export interface StatusResponse {
    version: string;
    protocolVersion: number;
    processId: number;
    socket?: string;
    stateDirectory: string;
    startedAt: string;
    uptimeMs: number;
    connections: number;
    requests: number;
    runs: number;
    idleExitMs?: number;
    residentBytes?: number;
    emulator?: string;
    partitions?: number;
}

interface List<Item> {
    data: Item[];
    has_more: boolean;
}

interface Named1 extends Named {
    path: string;
}

interface PathResponse {
    sessionId: string;
    path: string;
}

interface TransferResponse extends PathResponse {
    localPath: string;
    bytes: number;
}

export interface Methods {
    "initialize": { params: InitializeParams; result: InitializeResponse };
    "daemon/status": { params: Record<string, never>; result: StatusResponse };
    "agents/list": { params: { target: Target }; result: List<{ name: string }> };
    "invoke": { params: InvokeParams; result: InvokeResponse };
    "sessions/create": { params: Named; result: Session };
    "sessions/list": { params: Scope & { limit?: number; order?: "asc" | "desc" }; result: List<Session> };
    "sessions/show": { params: Named; result: Session };
    "sessions/use": { params: Scope & { sessionId: string }; result: Session };
    "sessions/stop": { params: Named; result: { sessionId: string; alreadyStopped: boolean } };
    "sessions/delete": { params: Named; result: { sessionId: string } };
    "files/list": { params: Named & { path?: string }; result: { path: string; entries: Entry[]; has_more?: boolean } };
    "files/stat": { params: Named1; result: Entry };
    "files/mkdir": { params: Named1; result: PathResponse };
    "files/delete": { params: Named1 & { recursive?: boolean }; result: PathResponse };
    "files/upload": { params: Named & { localPath: string; path?: string }; result: TransferResponse };
    "files/download": { params: Named1 & { localPath: string }; result: TransferResponse };
    "monitor": {
        params: Named & { follow?: boolean; tail?: number; kind?: "console" | "system"; partialResultToken?: string | number };
        result: { sessionId: string; count: number; events?: MonitorEvent[] };
    };
}
