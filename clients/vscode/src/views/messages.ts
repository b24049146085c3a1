// What the chat panel's page and the extension tell each other.

import type { Turn } from "../model/turn";

/** Where the panel's questions go, in words. */
export interface Where {
    agent: string;
    isolation: string;
}

/** From the extension to the page. */
export type ToPage =
    /** Everything: the page is new, or all turns changed. */
    | { type: "all"; turns: readonly Turn[]; where: Where; running: boolean }
    /** One turn changed, or is new. */
    | { type: "turn"; turn: Turn; running: boolean }
    /** Other questions go elsewhere from now on. */
    | { type: "where"; where: Where };

/** From the page to the extension. */
export type FromPage =
    /** The page listens. */
    | { type: "ready" }
    | { type: "ask"; question: string }
    /** An answer to what the agent asked in a turn. */
    | { type: "answer"; turn: number; id: string; approve: boolean }
    /** The person wants to open the link of a consent. */
    | { type: "open"; turn: number; id: string }
    | { type: "run"; command: PageCommand };

/** Commands that the page's buttons run. */
export type PageCommand = (typeof PAGE_COMMANDS)[number];

export const PAGE_COMMANDS = [
    "cupola.cancel",
    "cupola.newConversation",
    "cupola.newSession",
    "cupola.selectTarget",
    "cupola.switchIsolation",
] as const;
