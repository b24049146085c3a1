// `sessions/*`: the service's sandboxes, in the service's own words; times are Unix seconds, UTC.

import { Calls, type Options } from "../calls.js";
import type { Session, SessionDeleteResponse, SessionListResponse, SessionStopResponse } from "../protocol.js";

/** Where `sessionId` may be left out, the isolation's current session is used. */
export class Sessions extends Calls {
    /** Creates a session, with this id if given, and makes it the isolation's current one. */
    create(options: Options<"sessions/create"> = {}): Promise<Session> {
        return this.scoped("sessions/create", options);
    }

    /** The sessions that this isolation can see: all, or at most `limit`, those after the session `after`. */
    list(options: Options<"sessions/list"> = {}): Promise<SessionListResponse> {
        return this.scoped("sessions/list", options);
    }

    /** One session. */
    show(options: Options<"sessions/show"> = {}): Promise<Session> {
        return this.scoped("sessions/show", options);
    }

    /** Makes a session the current one, without calling the agent. */
    use(sessionId: string, options: Options<"sessions/use", "sessionId"> = {}): Promise<Session> {
        return this.scoped("sessions/use", { sessionId, ...options });
    }

    /** Stops a session's compute. Its files stay, and the next invoke resumes it. */
    stop(options: Options<"sessions/stop"> = {}): Promise<SessionStopResponse> {
        return this.scoped("sessions/stop", options);
    }

    /** Deletes a session and its files. An ownership key that it was created with is remembered. */
    delete(options: Options<"sessions/delete"> = {}): Promise<SessionDeleteResponse> {
        return this.scoped("sessions/delete", options);
    }
}
