// `runs/*`: invokes that are under way and those that ended recently, for programs that did not begin them.

import { Calls, type Options, type Signal } from "../calls.js";
import { continued } from "../continued.js";
import type { RunInfo, RunListResponse } from "../protocol.js";
import { Run } from "../run.js";

/** A run has one id in the daemon: `run.id`, from its first event on. */
export class Runs extends Calls {
    /**
     * The runs of the client's agent and isolation, newest first; with `everyones`, all that the daemon knows, and with
     * `anyAgent` those of every agent in the same emulator or project. With `all`, also those that earlier daemons left.
     */
    list({
        everyones = false,
        ...options
    }: { everyones?: boolean } & Options<"runs/list"> = {}): Promise<RunListResponse> {
        const { signal, ...params } = options;
        if (everyones) {
            return this.plain("runs/list", params, { signal });
        }
        return options.anyAgent ? this.ofPlace("runs/list", options) : this.scoped("runs/list", options);
    }

    /** A run's status. */
    show(runId: string, options: Signal = {}): Promise<RunInfo> {
        return this.plain("runs/show", { runId }, options);
    }

    /**
     * Follows a run: its events so far (with `after`, those after that number), then new ones, then its result. Where the
     * daemon no longer has events, a `gap` comes, then a `snapshot` of the text. Leaving early only stops listening.
     */
    attach(runId: string, { signal, ...params }: Options<"runs/attach", "runId"> = {}): Run {
        const { connection } = this.line;
        const { after, textOnly = false } = params;
        const run = continued(
            connection,
            (onEvent, signal) => connection.request("runs/attach", { runId, ...params }, { onEvent, signal }),
            textOnly,
            { runId, ...(after !== undefined && { after }) },
        );
        return new Run(run, { signal });
    }

    /** Ends a run, for everyone who follows it. */
    cancel(runId: string, options: Signal = {}): Promise<RunInfo> {
        return this.plain("runs/cancel", { runId }, options);
    }
}
