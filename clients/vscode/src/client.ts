// Speaks with the daemon: one connection, bound to one agent and one isolation, made when it is first needed and made
// again when it is lost. Knows nothing of VS Code.

import { CancellationTokenSource, createMessageConnection, NullLogger, ProgressType } from "vscode-jsonrpc/node";
import type { MessageConnection } from "vscode-jsonrpc/node";
import type { Daemon } from "./daemon";
import { connectionLost, Failure, turnLost } from "./failure";
import type { InitializeParams, InitializeResponse, Methods } from "./protocol";
import { openStream, type Stream } from "./stream";

/** The protocol's major version that this client is written for. */
const PROTOCOL_VERSION = 1;
/** The daemon answers `initialize` within milliseconds; past this it is not one. */
const INITIALIZE_LIMIT_MS = 10_000;
/** A daemon that is just ending may still take a connection, and then drop it: so often in a row is that believed. */
const OPEN_ATTEMPTS = 6;
/** The first wait before a lost connection is tried again; each further wait is twice as long. */
const FIRST_WAIT_MS = 50;
/** The longest such wait: an editor that is left alone looks for the daemon this often. */
const LONGEST_WAIT_MS = 5_000;

/** Methods that only read: one that was lost with its connection is sent once more. */
const REPEATABLE: ReadonlySet<string> = new Set<keyof Methods>([
    "agents/list",
    "daemon/status",
    "files/list",
    "files/stat",
    "sessions/list",
    "sessions/show",
]);

export type Method = keyof Methods;
export type Params<M extends Method> = Methods[M]["params"];
export type Result<M extends Method> = Methods[M]["result"];
/** What comes before the result, to those who ask for it. */
export type Event<M extends Method> = Methods[M]["event"];
export type Bind = NonNullable<InitializeParams["bind"]>;

/** How the connection is: not asked for yet, there, lost and looked for, or given up for good. */
export type State = "idle" | "connected" | "lost" | "closed";

/** What a call may add. */
export interface CallOptions<M extends Method> {
    /** Cancels the call at the daemon. */
    signal?: AbortSignal | undefined;
    /** Takes the call's events as they come; asks for them, too. */
    onEvent?: ((event: Event<M>) => void) | undefined;
}

/** A connection that has been initialized. */
interface Link {
    connection: MessageConnection;
    daemon: InitializeResponse;
}

export class Client {
    #state: State = "idle";
    #link: Link | undefined;
    /** Attempts to connect come one after another: the next one takes the connection that the last one made. */
    #attempts: Promise<unknown> = Promise.resolve();
    #path: string | undefined;
    #calls = 0;
    #tokens = 0;
    #retired = false;
    readonly #closed = new AbortController();
    readonly #listeners = new Set<(state: State) => void>();

    /** `bind` is what every connection is bound to; without it the client may call anything. */
    constructor(
        private readonly daemon: Daemon,
        private readonly version: string,
        private readonly bind?: Bind,
        private readonly initializeLimitMs = INITIALIZE_LIMIT_MS,
    ) {}

    /** Is every connection bound to one agent and one isolation? */
    get isBound(): boolean {
        return this.bind !== undefined;
    }

    get state(): State {
        return this.#state;
    }

    /** What the daemon said of itself, while it is connected. */
    get server(): InitializeResponse | undefined {
        return this.#link?.daemon;
    }

    /** Calls `listener` at each change of state until the returned function is called. */
    onState(listener: (state: State) => void): () => void {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
    }

    /** Waits until a connection is made again, by whomever; starts no daemon for it. Ends early with `signal`. */
    nextConnection(signal: AbortSignal): Promise<void> {
        return new Promise((resolve, reject) => {
            const done = () => {
                forget();
                signal.removeEventListener("abort", done);
                signal.aborted || this.#state === "closed" ? reject(new Failure("cancelled", "cancelled")) : resolve();
            };
            const forget = this.onState((state) => state !== "lost" && done());
            signal.addEventListener("abort", done);
            if (signal.aborted) {
                done();
            }
        });
    }

    /** One call: exactly one result, or a [`Failure`]. Starts the daemon when none runs. */
    async request<M extends Method>(method: M, params: Params<M>, options: CallOptions<M> = {}): Promise<Result<M>> {
        if (this.#retired) {
            throw new Failure("cancelled", "another agent or isolation was chosen");
        }
        this.#calls += 1;
        try {
            return await this.#send(method, params, options).catch((error: unknown) => {
                const failure = Failure.from(error);
                const again = failure.kind === "connectionLost" && REPEATABLE.has(method) && this.#state !== "closed";
                return again ? this.#send(method, params, options) : Promise.reject(failure);
            });
        } catch (error) {
            throw Failure.from(error);
        } finally {
            this.#calls -= 1;
            this.#closeWhenRetired();
        }
    }

    /** Takes no further calls and closes when those under way have ended. */
    retire(): void {
        this.#retired = true;
        this.#closeWhenRetired();
    }

    /** Ends everything at once. */
    close(): void {
        this.#retired = true;
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
        const { signal, onEvent } = options;
        signal?.throwIfAborted();
        const { connection } = await this.#connected(true);
        const cancellation = new CancellationTokenSource();
        const cancel = () => cancellation.cancel();
        signal?.addEventListener("abort", cancel);
        const token = `${method}#${++this.#tokens}`;
        const progress = onEvent && connection.onProgress(new ProgressType<Event<M>>(), token, onEvent);
        try {
            signal?.throwIfAborted();
            const sent = onEvent === undefined ? params : { ...params, partialResultToken: token };
            return await connection.sendRequest<Result<M>>(method, sent, cancellation.token);
        } catch (error) {
            const failure = Failure.from(error);
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
        const attempt = this.#attempts.catch(() => undefined).then(() => this.#link ?? this.#openTenaciously(start));
        this.#attempts = attempt;
        return attempt;
    }

    /** Nothing but the handshake is lost with such a connection, so the next one is as good. */
    async #openTenaciously(start: boolean): Promise<Link> {
        for (let attempt = 1, wait = FIRST_WAIT_MS; ; attempt += 1, wait *= 2) {
            try {
                return await this.#open(start);
            } catch (error) {
                const failure = Failure.from(error);
                if (!start || failure.kind !== "connectionLost" || attempt === OPEN_ATTEMPTS) {
                    throw failure;
                }
            }
            await pause(wait, this.#closed.signal);
        }
    }

    async #open(start: boolean): Promise<Link> {
        this.#closed.signal.throwIfAborted();
        const stream = await this.#reach(start);
        const connection = createMessageConnection(stream.reader, stream.writer, NullLogger);
        connection.onClose(() => this.#lost(connection));
        connection.onError(() => stream.destroy());
        connection.listen();
        let isMute = false;
        const timer = setTimeout(() => {
            isMute = true;
            stream.destroy();
        }, this.initializeLimitMs);
        try {
            const daemon = await connection.sendRequest<InitializeResponse>("initialize", this.#hello());
            this.#closed.signal.throwIfAborted();
            this.#link = { connection, daemon };
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
        this.#path = await this.daemon.socket(start);
        return openStream(this.#path);
    }

    #hello(): InitializeParams {
        return {
            clientInfo: { name: "cupola-vscode", version: this.version },
            protocolVersions: [PROTOCOL_VERSION],
            ...(this.bind && { bind: this.bind }),
        };
    }

    /** Fails what was under way, and looks for the daemon until it is there. */
    #lost(connection: MessageConnection): void {
        if (this.#link?.connection !== connection) {
            connection.dispose();
            return;
        }
        this.#drop();
        if (this.#state !== "closed") {
            this.#set("lost");
            void this.#lookForIt();
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

/** A daemon that accepts the connection but does not answer. */
function mute(): Failure {
    return new Failure("daemonUnavailable", "the daemon accepted the connection but does not answer", {
        hint: "it may be suspended: continue its process, or end it and try again",
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
