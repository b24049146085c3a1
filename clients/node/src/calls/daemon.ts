// `daemon/*`: the daemon itself.

import { Calls, type Options } from "../calls.js";
import type { DaemonStatusResponse, DaemonStopResponse, DoctorResponse } from "../protocol.js";

/** `status` and `stop` are not tied to an agent. */
export class DaemonCalls extends Calls {
    /** The daemon's status, with `details` also what it is doing. */
    status({ signal, ...params }: Options<"daemon/status"> = {}): Promise<DaemonStatusResponse> {
        return this.plain("daemon/status", params, { signal });
    }

    /** Checks everything that a call to the client's agent needs; the `hint` of each check says what to do. */
    doctor(options: Options<"daemon/doctor"> = {}): Promise<DoctorResponse> {
        return this.scoped("daemon/doctor", options);
    }

    /** Stops the daemon when all runs have ended, or at once with `force`; with `drain`, runs that survive move to the next daemon. */
    stop({ signal, ...params }: Options<"daemon/stop"> = {}): Promise<DaemonStopResponse> {
        return this.plain("daemon/stop", params, { signal });
    }
}
