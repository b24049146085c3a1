// The package `cupola-client`: a client of Cupola, the per-user daemon that keeps one warm line to Microsoft Foundry hosted
// agents.
//
// - `client`: what scripts use; `run` and `log` are its streaming calls, made of `streaming`; `continued` follows a run on
//   the next daemon; `targets` names agents
// - `calls`: the groups of methods of a client
// - `line`: an agent and an isolation on a `connection`, which `stream` frames; `installed` finds or starts the daemon
// - `pieces`: whole files over a connection
// - `error`: what calls throw; `display`: text made harmless for a terminal
// - `protocol`: the types of everything that travels, generated; `version`: this package's

export type { Signal } from "./calls.js";
export { Client, type ClientOptions, connect } from "./client.js";
export {
    type Bind,
    type CallOptions,
    Connection,
    type ConnectionOptions,
    type Event,
    type Method,
    type Params,
    type Result,
    type State,
} from "./connection.js";
export { harmless, harmlessLine } from "./display.js";
export { AgentAsks, CupolaError, type LocalKind, RunFailed } from "./error.js";
export { type Daemon, InstalledDaemon, type InstalledOptions } from "./installed.js";
export { type AgentMethod, Line } from "./line.js";
export { Log } from "./log.js";
export { exists, PIECE_BYTES, readFile, type SessionFile, writeFile } from "./pieces.js";
export type * from "./protocol.js";
export { errorCodes, retryableKinds } from "./protocol.js";
export { approval, Run } from "./run.js";
export { MAX_MESSAGE_BYTES } from "./stream.js";
export { continued } from "./continued.js";
export { MAX_WAITING_EVENTS, Streaming } from "./streaming.js";
export { agentEndpoint, directory, emulator, local, project } from "./targets.js";
