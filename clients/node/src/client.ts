// The client: one connection to the daemon, an agent and an isolation, and everything that can be asked.

import { resolve } from "node:path";
import type { Options } from "./calls.js";
import { Agents } from "./calls/agents.js";
import { Auth } from "./calls/auth.js";
import { DaemonCalls } from "./calls/daemon.js";
import { Files } from "./calls/files.js";
import { Partitions } from "./calls/partitions.js";
import { Runs } from "./calls/runs.js";
import { Sessions } from "./calls/sessions.js";
import { type Bind, type CallOptions, Connection, type Method, type Params, type Result } from "./connection.js";
import { continued } from "./continued.js";
import { InstalledDaemon } from "./installed.js";
import { type AnyLine, Line } from "./line.js";
import { Log } from "./log.js";
import type { Input, Isolation, Target } from "./protocol.js";
import { Run } from "./run.js";

/** What a client is for, and how it finds the daemon. */
export interface ClientOptions {
    /** The agent that every call goes to. */
    target?: Target | undefined;
    /** Whose state every call sees; by default the caller's own. */
    isolation?: Isolation | undefined;
    /** The daemon itself restricts the connection to `target` and `isolation`. */
    bind?: boolean | undefined;
    /** Further restricts a bound connection to these methods: names, or `sessions/*`. */
    methods?: string[] | undefined;
    /** The directory whose files a bound connection may upload and download, if `methods` names these methods. */
    files?: string | undefined;
    /** The daemon's socket; by default `CUPOLA_SOCKET`, otherwise where the `cupola` command looks. */
    socket?: string | undefined;
    /** The `cupola` program; by default `CUPOLA_BINARY`, otherwise `cupola` on the `PATH`. */
    program?: string | undefined;
}

/**
 * Connects at the first call, and again after the connection was lost. It keeps the process running only during calls, so a
 * script ends by itself. Nothing that prints a client shows its isolation.
 */
export class Client {
    readonly #line: AnyLine;
    /** The service's sandboxes. */
    readonly sessions: Sessions;
    /** The files in a session's home. */
    readonly files: Files;
    /** Invokes under way and those that ended recently. */
    readonly runs: Runs;
    /** The project's agents. */
    readonly agents: Agents;
    /** What the daemon has saved. */
    readonly partitions: Partitions;
    /** The tokens that the daemon holds. */
    readonly auth: Auth;
    /** The daemon itself. */
    readonly daemon: DaemonCalls;

    constructor(options: ClientOptions | AnyLine = {}) {
        const line = options instanceof Line ? options : open(options);
        this.#line = line;
        this.sessions = new Sessions(line);
        this.files = new Files(line);
        this.runs = new Runs(line);
        this.agents = new Agents(line);
        this.partitions = new Partitions(line);
        this.auth = new Auth(line);
        this.daemon = new DaemonCalls(line);
    }

    /**
     * Sends one input to the agent, at once. The saved session and conversation are continued unless the options say
     * otherwise. Leaving the iteration of its events early cancels the run; with `detach` the run continues, also after this
     * client is closed. With `survive`, and with `detach`, it outlives the daemon, too, if the `started` event says so: the
     * run is then followed on the next daemon.
     */
    invoke(input: Input, { signal, ...params }: Options<"invoke", "input"> = {}): Run {
        const line = this.#line;
        const run = continued(
            line.connection,
            (onEvent, signal) => line.request("invoke", { input, ...params }, { onEvent, signal }),
            params.textOnly ?? false,
        );
        return new Run(run, { signal, leavesRunning: params.detach === true || params.onDisconnect === "keep" });
    }

    /**
     * A session's log: its last lines, or with `follow` everything from then on, across broken connections, until the
     * iteration is left or the session is gone.
     */
    monitor({ signal, ...params }: Options<"monitor"> = {}): Log {
        const line = this.#line;
        return new Log((onEvent, signal) => line.request("monitor", params, { onEvent, signal }), { signal });
    }

    /** The same connection for another agent or isolation. On a bound connection the daemon refuses anything else. */
    using({ target, isolation }: Pick<ClientOptions, "target" | "isolation">): Client {
        const line = this.#line;
        return new Client(new Line(target ?? line.target, isolation ?? line.isolation, line.connection));
    }

    /** Any method by its name, with exactly these parameters. */
    call<M extends Method>(method: M, params: Params<M>, options?: CallOptions<M>): Promise<Result<M>> {
        return this.#line.connection.request(method, params, options);
    }

    /** Connects now instead of at the first call. */
    async open(): Promise<this> {
        await this.#line.connection.open();
        return this;
    }

    /** Ends the connection, also for clients made with `using`. Calls that are under way fail. */
    close(): void {
        this.#line.connection.close();
    }

    /** Closes the client at the end of a `using` declaration. */
    [Symbol.dispose](): void {
        this.close();
    }

    /** Does the daemon restrict this client to one agent and isolation? */
    get bound(): boolean {
        return this.#line.connection.isBound;
    }
}

/** Connects, and starts the daemon if none runs. */
export function connect(options: ClientOptions = {}): Promise<Client> {
    return new Client(options).open();
}

function open(options: ClientOptions): AnyLine {
    const { target, isolation = {}, program, socket } = options;
    const daemon = new InstalledDaemon({ socket, ...(program !== undefined && { program: () => program }) });
    return new Line(target, isolation, new Connection({ daemon, bind: binding(options) }));
}

function binding({ target, isolation, bind, methods, files }: ClientOptions): Bind | undefined {
    if (bind !== true) {
        if (methods !== undefined || files !== undefined) {
            throw new TypeError("`methods` and `files` restrict a bound connection: add `bind: true`");
        }
        return undefined;
    }
    if (target === undefined) {
        throw new TypeError("`bind` needs a `target` to bind to");
    }
    return {
        target,
        ...(isolation !== undefined && { isolation }),
        ...(methods !== undefined && { methods }),
        ...(files !== undefined && { files: resolve(files) }),
    };
}
