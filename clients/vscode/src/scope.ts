// Which agent, and whose state: the line that this window is on, replaced whenever one of the two changes.

import * as vscode from "vscode";
import { type Bind, Connection, InstalledDaemon, type Isolation, Line, type State } from "cupola-client";
import type { Keys } from "./keys";
import * as settings from "./settings";

/** The methods that read or write files of this machine. */
export type Transfer = "files/upload" | "files/download";

export class Scope implements vscode.Disposable {
    readonly #daemon = new InstalledDaemon({
        program: () => settings.program(this.extension),
        missingHint: "install Cupola so that it is on the PATH, or name the program in the setting cupola.path",
    });
    readonly #lineChanged = new vscode.EventEmitter<Line>();
    readonly #stateChanged = new vscode.EventEmitter<State>();
    readonly #foundAgain = new vscode.EventEmitter<void>();
    readonly #subscriptions: vscode.Disposable[];
    #line: Promise<Line>;
    #current: Line | undefined;

    /** Another agent or another isolation from now on. */
    readonly onLine = this.#lineChanged.event;
    /** The connection was made or lost. */
    readonly onState = this.#stateChanged.event;
    /** The connection was lost, and is there again. */
    readonly onFoundAgain = this.#foundAgain.event;

    constructor(
        private readonly keys: Keys,
        private readonly version: string,
        private readonly extension: vscode.Uri,
    ) {
        this.#subscriptions = [
            vscode.workspace.onDidChangeConfiguration((change) => {
                if (settings.SCOPE_SETTINGS.some((name) => change.affectsConfiguration(name))) {
                    this.#renew();
                }
            }),
            vscode.workspace.onDidChangeWorkspaceFolders(() => this.#renew()),
            vscode.workspace.onDidGrantWorkspaceTrust(() => this.#renew()),
        ];
        this.#line = this.#open();
        // A call that needs the line reports why there is none; until then it does not matter.
        this.#line.catch(() => undefined);
    }

    /** The line in use. Waits for the settings and keys to be read, never for the daemon. */
    line(): Promise<Line> {
        return this.#line;
    }

    /** The line in use, if it is known already. */
    get current(): Line | undefined {
        return this.#current;
    }

    /** Takes the isolation into use. Calls under the old one continue to their end. */
    async isolate(isolation: Isolation): Promise<void> {
        await this.keys.use(isolation);
        this.#renew();
    }

    /**
     * Gives `use` a line that may transfer files below a directory of this machine. A bound line may transfer none, so
     * there it is another one, bound to the same and to that directory, for this transfer alone.
     */
    async transferring<T>(method: Transfer, directory: string, use: (line: Line) => Promise<T>): Promise<T> {
        const line = await this.#line;
        if (!line.connection.isBound) {
            return use(line);
        }
        const bind = { target: line.target, isolation: line.isolation, methods: [method], files: directory };
        const connection = this.#connection(bind);
        try {
            return await use(new Line(line.target, line.isolation, connection));
        } finally {
            connection.close();
        }
    }

    /** A connection that is bound to nothing, for looking around; its user closes it. */
    visitor(): Connection {
        return this.#connection();
    }

    dispose(): void {
        vscode.Disposable.from(
            ...this.#subscriptions,
            this.#lineChanged,
            this.#stateChanged,
            this.#foundAgain,
        ).dispose();
        this.#current?.connection.close();
    }

    /** One after another, so that the last change is the one in use. */
    #renew(): void {
        this.#line = this.#line.then(
            () => this.#open(),
            () => this.#open(),
        );
        this.#line.catch(() => undefined);
    }

    #connection(bind?: Bind, looksForDaemon = false): Connection {
        const clientInfo = { name: "cupola-vscode", version: this.version };
        return new Connection({ daemon: this.#daemon, clientInfo, bind, looksForDaemon });
    }

    async #open(): Promise<Line> {
        const [target, saved] = await Promise.all([settings.target(), this.keys.inUse()]);
        const model = settings.isolationModel();
        const isolation: Isolation = { ...saved, ...(model !== undefined && { model }) };
        // The ownership key says who may delete a session, not whose state it is, but the daemon takes it with the rest.
        const connection = this.#connection(settings.bind() ? { target, isolation } : undefined, true);
        let before = connection.state;
        connection.onState((state) => {
            if (connection === this.#current?.connection) {
                this.#stateChanged.fire(state);
                if (before === "lost" && state === "connected") {
                    this.#foundAgain.fire();
                }
            }
            before = state;
        });
        const line = new Line(target, isolation, connection);
        this.#current?.connection.retire();
        this.#current = line;
        this.#lineChanged.fire(line);
        return line;
    }
}
