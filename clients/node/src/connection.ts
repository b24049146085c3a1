// One connection to the daemon, made when it is first needed and made again when it was lost; it may be bound to one agent and
// one isolation.

import { CancellationTokenSource, createMessageConnection, NullLogger, ProgressType } from "vscode-jsonrpc/node";
import type { MessageConnection } from "vscode-jsonrpc/node";
import { cancelled, connectionLost, CupolaError, turnLost } from "./error.js";
import { type Daemon, InstalledDaemon } from "./installed.js";
import type { InitializeParams, InitializeResponse, Methods, ProgramInfo } from "./protocol.js";
import { MAX_MESSAGE_BYTES, openStream, type Stream } from "./stream.js";
import { VERSION } from "./version.js";

/** The protocol's major version that this client is written for. */
const PROTOCOL_VERSION = 1;
/** The daemon answers `initialize` within milliseconds; past this it is not one. */
const INITIALIZE_LIMIT_MS = 10_000;
/** A daemon that is just ending may still accept a connection and then drop it; after this many in a row it is an error. */
const OPEN_ATTEMPTS = 6;
/** The first wait before a lost connection is tried again; each further wait is twice as long. */
const FIRST_WAIT_MS = 50;
/** The longest such wait: an editor that is left alone looks for the daemon this often. */
const LONGEST_WAIT_MS = 5_000;

/** How long a closing connection waits for its last requests. The daemon answers `runs/cancel` within seconds. */
const LAST_REQUESTS_LIMIT_MS = 5_000;

/** What a request has around its parameters, generously. */
const ENVELOPE_BYTES = 256;

/**
 * Methods that only read: one that was lost with its connection is sent once more. Not `files/read`: a reading that is kept
 * open ends with its connection.
 */
const REPEATABLE: ReadonlySet<string> = new Set<keyof Methods>([
    "agents/list",
    "agents/show",
    "auth/status",
    "chats/items",
    "chats/list",
    "daemon/doctor",
    "daemon/status",
    "files/list",
    "files/stat",
    "partitions/list",
    "rpc.discover",
    "runs/list",
    "runs/show",
    "sessions/list",
    "sessions/show",
]);

/** The name of a method. */
export type Method = keyof Methods;
/** What a method takes. */
export type Params<M extends Method> = Methods[M]["params"];
/** What a method returns. */
export type Result<M extends Method> = Methods[M]["result"];
/** What comes before the result, to those who ask for it. */
export type Event<M extends Method> = Methods[M]["event"];
/** What a connection may be bound to. */
export type Bind = NonNullable<InitializeParams["bind"]>;

/** The connection's state: not needed yet, connected, lost, or closed for good. */
export type State = "idle" | "connected" | "lost" | "closed";

/** What a call may add. */
export interface CallOptions<M extends Method> {
    /** Cancels the call at the daemon. */
    signal?: AbortSignal | undefined;
    /** Is told on which connection the call is sent; a call that is repeated says so again. */
    onSent?: ((connection: number) => void) | undefined;
    /** Takes the call's events as they come; asks for them, too. */
    onEvent?: ((event: Event<M>) => void) | undefined;
}

/** A connection that has been initialized. */
interface Link {
    /** Counts the client's connections. */
    number: number;
    connection: MessageConnection;
    stream: Stream;
    daemon: InitializeResponse;
    /** Set once the connection has ended; nothing more can be sent on it. */
    closing?: Promise<void>;
}

/** How to connect. */
export interface ConnectionOptions {
    /** How to find the daemon; by default as the `cupola` command does. */
    daemon?: Daemon | undefined;
    /** What every connection is bound to; without it the program may call anything. */
    bind?: Bind | undefined;
    /** The program that connects, for the daemon's log. */
    clientInfo?: ProgramInfo | undefined;
    /** Looks for a daemon that was lost, instead of waiting for the next call. For programs that run for long. */
    looksForDaemon?: boolean | undefined;
    /** How long the daemon may take for `initialize`, in ms. */
    initializeLimitMs?: number | undefined;
}

/** Reconnects by itself. It keeps the process running only during calls. */
export class Connection {
    readonly #daemon: Daemon;
    readonly #bind: Bind | undefined;
    readonly #clientInfo: ProgramInfo;
    readonly #looksForDaemon: boolean;
    readonly #initializeLimitMs: number;
    #state: State = "idle";
    #link: Link | undefined;
    /** Attempts to connect come one after another: the next one takes the connection that the last one made. */
    #attempts: Promise<unknown> = Promise.resolve();
    #path: string | undefined;
    #calls = 0;
    #tokens = 0;
    #connections = 0;
    #retired = false;
    #isClosing = false;
    readonly #lastRequests = new Set<Promise<unknown>>();
    readonly #closed = new AbortController();
    readonly #listeners = new Set<(state: State) => void>();

    constructor(options: ConnectionOptions = {}) {
        this.#daemon = options.daemon ?? new InstalledDaemon();
        this.#path = this.#daemon.known;
        this.#bind = options.bind;
        this.#clientInfo = options.clientInfo ?? { name: "cupola-node", version: VERSION };
        this.#looksForDaemon = options.looksForDaemon ?? false;
        this.#initializeLimitMs = options.initializeLimitMs ?? INITIALIZE_LIMIT_MS;
    }

    /** Is every connection bound to one agent and one isolation? */
    get isBound(): boolean {
        return this.#bind !== undefined;
    }

    get state(): State {
        return this.#state;
    }

    /** What the daemon said about itself, while it is connected. */
    get server(): InitializeResponse | undefined {
        return this.#link?.daemon;
    }

    /** Calls `listener` at each change of state until the returned function is called. */
    onState(listener: (state: State) => void): () => void {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
    }

    /**
     * Waits until there is a later connection than the one of that number, whatever made it; it may be there already.
     * Starts no daemon for it. Ends early with `signal`.
     */
    nextConnection(after: number, signal: AbortSignal): Promise<void> {
        return new Promise((resolve, reject) => {
            const isThere = () => this.#link !== undefined && this.#link.number > after;
            const look = () => {
                const isOver = signal.aborted || this.#state === "closed";
                if (isOver || isThere()) {
                    forget();
                    signal.removeEventListener("abort", look);
                    isOver ? reject(cancelled()) : resolve();
                }
            };
            const forget = this.onState(look);
            signal.addEventListener("abort", look);
            look();
        });
    }

    /** Connects now instead of at the first call. Starts the daemon when none runs. */
    async open(): Promise<void> {
        await this.#counted(() => this.#connected(true));
    }

    /** One call: exactly one result, or a `CupolaError`. Starts the daemon when none runs. */
    request<M extends Method>(method: M, params: Params<M>, options: CallOptions<M> = {}): Promise<Result<M>> {
        return this.#counted(() =>
            this.#send(method, params, options).catch((error: unknown) => {
                const failure = CupolaError.from(error);
                const again = failure.kind === "connectionLost" && REPEATABLE.has(method) && this.#state !== "closed";
                return again ? this.#send(method, params, options) : Promise.reject(failure);
            }),
        );
    }

    /** The same for a call that the daemon must get even if the program closes the connection right after it. */
    async requestBeforeClose<M extends Method>(method: M, params: Params<M>): Promise<Result<M>> {
        const call = this.request(method, params);
        this.#lastRequests.add(call);
        try {
            return await call;
        } finally {
            this.#lastRequests.delete(call);
        }
    }

    /** Work that needs the connection, which keeps the process running meanwhile. */
    async #counted<T>(work: () => Promise<T>): Promise<T> {
        // A retired connection stays open for the calls under way, and so for those that are about them, such as `runs/cancel`.
        if (this.#retired && (this.#calls === 0 || this.#isClosing)) {
            throw new CupolaError("closed", "the client is closed");
        }
        this.#calls += 1;
        this.#link?.stream.hold(true);
        try {
            return await work();
        } catch (error) {
            throw CupolaError.from(error);
        } finally {
            this.#calls -= 1;
            this.#link?.stream.hold(this.#calls > 0);
            this.#closeWhenRetired();
        }
    }

    /** Closes when the calls under way have ended. Until then it takes further ones, so that a run can be cancelled. */
    retire(): void {
        this.#retired = true;
        this.#closeWhenRetired();
    }

    /** Ends everything at once, or as soon as the requests are answered that must reach the daemon. */
    close(): void {
        this.#retired = true;
        this.#isClosing = true;
        if (this.#lastRequests.size === 0) {
            this.#end();
            return;
        }
        const answered = Promise.allSettled(this.#lastRequests);
        void Promise.race([answered, pause(LAST_REQUESTS_LIMIT_MS, this.#closed.signal)]).then(() => this.#end());
    }

    #end(): void {
        this.#closed.abort();
        this.#drop();
        this.#set("closed");
    }

    #closeWhenRetired(): void {
        if (this.#retired && this.#calls === 0) {
            this.close();
        }
    }

    async #send<M extends Method>(method: M, params: Params<M>, options: CallOptions<M>): Promise<Result<M>> {
        const { signal, onSent, onEvent } = options;
        refuseAborted(signal);
        const { connection, number } = await this.#connected(true);
        const cancellation = new CancellationTokenSource();
        const cancel = () => cancellation.cancel();
        signal?.addEventListener("abort", cancel);
        const token = `${method}#${++this.#tokens}`;
        const progress = onEvent && connection.onProgress(new ProgressType<Event<M>>(), token, onEvent);
        try {
            refuseAborted(signal);
            const sent = onEvent === undefined ? params : { ...params, partialResultToken: token };
            refuseTooLong(sent);
            onSent?.(number);
            return await connection.sendRequest<Result<M>>(method, sent, cancellation.token);
        } catch (error) {
            const failure = CupolaError.from(error);
            if (failure.kind === "connectionLost") {
                // A write may fail before the end of the connection is heard of.
                this.#lost(connection);
                throw method === "invoke" ? turnLost() : failure;
            }
            throw failure;
        } finally {
            signal?.removeEventListener("abort", cancel);
            progress?.dispose();
            cancellation.dispose();
        }
    }

    /** The connection there is, or a new one; with `start`, to a daemon started for it. */
    #connected(start: boolean): Promise<Link> {
        const attempt = this.#attempts
            .catch(() => undefined)
            .then(() => this.#link?.closing)
            .then(() => this.#link ?? this.#openTenaciously(start));
        this.#attempts = attempt;
        return attempt;
    }

    /** Nothing but the handshake is lost with such a connection, so the next one is as good. */
    async #openTenaciously(start: boolean): Promise<Link> {
        for (let attempt = 1, wait = FIRST_WAIT_MS; ; attempt += 1, wait *= 2) {
            try {
                return await this.#open(start);
            } catch (error) {
                const failure = CupolaError.from(error);
                if (!start || failure.kind !== "connectionLost" || attempt === OPEN_ATTEMPTS) {
                    throw failure;
                }
            }
            await pause(wait, this.#closed.signal);
        }
    }

    async #open(start: boolean): Promise<Link> {
        this.#refuseClosed();
        const stream = await this.#reach(start);
        const options = { messageStrategy: stream.strategy };
        const connection = createMessageConnection(stream.reader, stream.writer, NullLogger, options);
        connection.onClose(() => this.#closes(connection, stream));
        connection.onError(() => stream.destroy());
        connection.listen();
        let isMute = false;
        const timer = setTimeout(() => {
            isMute = true;
            stream.destroy();
        }, this.#initializeLimitMs);
        try {
            const daemon = await connection.sendRequest<InitializeResponse>("initialize", this.#hello());
            this.#refuseClosed();
            if (this.#bind !== undefined && daemon.bound !== true) {
                throw notBound();
            }
            this.#link = { number: ++this.#connections, connection, stream, daemon };
            this.#set("connected");
            return this.#link;
        } catch (error) {
            connection.dispose();
            stream.destroy();
            throw isMute ? mute() : error;
        } finally {
            clearTimeout(timer);
        }
    }

    /** A daemon that was there before is most likely there again, so its socket is tried before the program is run. */
    async #reach(start: boolean): Promise<Stream> {
        if (this.#path !== undefined) {
            const stream = await openStream(this.#path).catch(() => undefined);
            if (stream !== undefined || !start) {
                return stream ?? Promise.reject(connectionLost());
            }
        }
        this.#path = await this.#daemon.socket(start);
        return openStream(this.#path);
    }

    #hello(): InitializeParams {
        return {
            clientInfo: this.#clientInfo,
            protocolVersions: [PROTOCOL_VERSION],
            ...(this.#bind && { bind: this.#bind }),
        };
    }

    /** An answer may have arrived together with the end of the connection, so it is handled first. */
    #closes(connection: MessageConnection, stream: Stream): void {
        const drained = stream.drained().then(() => this.#lost(connection));
        if (this.#link?.connection === connection) {
            this.#link.closing = drained;
        }
    }

    /** Fails what was under way. */
    #lost(connection: MessageConnection): void {
        if (this.#link?.connection !== connection) {
            connection.dispose();
            return;
        }
        this.#drop();
        if (this.#state !== "closed") {
            this.#set("lost");
            if (this.#looksForDaemon) {
                void this.#lookForIt();
            }
        }
    }

    /** Only looks: a daemon that was stopped stays stopped until something is asked of it. */
    async #lookForIt(): Promise<void> {
        for (let wait = FIRST_WAIT_MS; this.#state === "lost"; wait = Math.min(2 * wait, LONGEST_WAIT_MS)) {
            await pause(wait, this.#closed.signal);
            if (this.#state === "lost") {
                await this.#connected(false).catch(() => undefined);
            }
        }
    }

    #refuseClosed(): void {
        if (this.#closed.signal.aborted) {
            throw new CupolaError("closed", "the client is closed");
        }
    }

    #drop(): void {
        const link = this.#link;
        this.#link = undefined;
        link?.connection.end();
        link?.connection.dispose();
    }

    #set(state: State): void {
        if (this.#state !== state) {
            this.#state = state;
            for (const listener of this.#listeners) {
                listener(state);
            }
        }
    }
}

/** Refuses what no message can hold, before it costs the connection. */
function refuseTooLong(params: unknown): void {
    const bytes = Buffer.byteLength(JSON.stringify(params)) + ENVELOPE_BYTES;
    if (bytes > MAX_MESSAGE_BYTES) {
        throw new CupolaError(
            "messageTooLong",
            `the request has ${bytes} bytes, and a message may have ${MAX_MESSAGE_BYTES}`,
            {
                hint: "upload large data as a file",
            },
        );
    }
}

/** A signal's reason is the caller's own, and not what went wrong here. */
function refuseAborted(signal: AbortSignal | undefined): void {
    if (signal?.aborted === true) {
        throw cancelled();
    }
}

/** A daemon that would serve anything on a connection that was to be bound. */
function notBound(): CupolaError {
    return new CupolaError("notBound", "the daemon did not bind the connection: it is too old", {
        hint: "stop it with `cupola stop`: the next call starts the installed version",
    });
}

/** A daemon that accepts the connection but does not answer. */
function mute(): CupolaError {
    return new CupolaError("daemonUnavailable", "the daemon accepted the connection but does not answer", {
        hint: "it may be suspended: `cupola status` names its process and says what helps",
        retryable: true,
    });
}

/** Waits, or less when `signal` says that there is nothing to wait for. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
        const done = () => {
            clearTimeout(timer);
            signal.removeEventListener("abort", done);
            resolve();
        };
        const timer = setTimeout(done, milliseconds);
        signal.addEventListener("abort", done);
        if (signal.aborted) {
            done();
        }
    });
}
