// `partitions/*`: which session and conversation each agent and isolation continues.

import { Calls, type Options, type Signal } from "../calls.js";
import type { PartitionForgetResponse, PartitionListResponse } from "../protocol.js";

/** What the daemon has saved. No key is shown. */
export class Partitions extends Calls {
    /**
     * What is saved for the client's agent; those with `own` belong to the client's isolation. With `anyAgent`, what is
     * saved for every agent in the same emulator or project, without marking any as `own`. With `limit` or `after`, a page
     * of it in the order of keys; its `next`, if it has one, is `after` for the page behind it.
     */
    list(options: Options<"partitions/list"> = {}): Promise<PartitionListResponse> {
        return options.anyAgent ? this.ofPlace("partitions/list", options) : this.scoped("partitions/list", options);
    }

    /**
     * Forgets which session and conversation the client's agent and isolation continue, so that the next call starts new
     * ones; or the same for the partition with this `id`. Sessions and their files stay.
     */
    forget({ id, ...options }: Options<"partitions/forget"> = {}): Promise<PartitionForgetResponse> {
        return id === undefined
            ? this.scoped("partitions/forget", options)
            : this.plain("partitions/forget", { id }, options satisfies Signal);
    }
}
