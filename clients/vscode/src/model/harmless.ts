// Makes text of the service or an agent harmless where it is shown: nothing in it can be clicked, and no character acts on
// what displays it. `src/show.ts` and the chat panel's page apply it; nothing else shows such text.

import { harmlessLine as line, harmless as text } from "cupola-client/display";

export { line, text };

/**
 * Text for VS Code's own interface, on one line. VS Code makes a link of `[text](target)`, which may run a command, and an
 * icon of `$(name)`; a blank in between ends both.
 */
export function label(given: string): string {
    return line(given.replace(/\s*[\r\n]\s*/g, " ").trim())
        .replaceAll("](", "] (")
        .replaceAll("$(", "$ (");
}

/**
 * Markdown of an agent for VS Code's chat, wherever its pieces are cut. Links and images that have their own text become text,
 * so that no address is hidden behind words. An address that is written out stays one that can be opened: VS Code shows it
 * and asks first.
 */
export class Markdown {
    #held = "";

    /** As much as can be shown now. */
    push(piece: string): string {
        const whole = this.#held + piece;
        // What may be the first half of something waits for the rest.
        this.#held = /(?:\r|\]|<[a-z0-9+.-]{0,32}|\u001b(?:\[[\d;]{0,32})?)$/i.exec(whole)?.[0] ?? "";
        return harmless(whole.slice(0, whole.length - this.#held.length));
    }

    /** The rest. */
    end(): string {
        const rest = this.#held;
        this.#held = "";
        return harmless(rest);
    }
}

/** A whole text in Markdown. */
export function markdown(given: string): string {
    return harmless(given);
}

function harmless(given: string): string {
    return (
        text(given)
            .replaceAll("](", "] (")
            // The definition of a link that is named elsewhere.
            .replaceAll("]:", "] :")
            // <command:…>; web addresses in angle brackets hide nothing.
            .replace(/<(?!https?:)(?=[a-z][a-z0-9+.-]{1,31}:)/gi, "< ")
    );
}
