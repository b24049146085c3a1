// `auth/*`: the tokens that the daemon holds. The tokens themselves are never shown.

import { Calls, type Signal } from "../calls.js";
import type { AuthClearResponse, AuthStatusResponse } from "../protocol.js";

/** Not tied to an agent. */
export class Auth extends Calls {
    /** Which credential is used, and until when its tokens are valid. */
    status(options: Signal = {}): Promise<AuthStatusResponse> {
        return this.plain("auth/status", {}, options);
    }

    /** Forgets every token; the next call fetches a new one. */
    clear(options: Signal = {}): Promise<AuthClearResponse> {
        return this.plain("auth/clear", {}, options);
    }
}
