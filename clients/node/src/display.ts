// Makes text of the service or an agent harmless for what shows it.

/**
 * Characters that act instead of being shown, as the source of a regular expression with the flag `u`: controls, changes of
 * direction, separators that break lines, deprecated format characters and tags. The same as in the daemon
 * (`protocol/src/display.rs`); the tests share a table of cases.
 */
export const ACTING = String.raw`[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\u{e0000}-\u{e007f}]`;
const ACTS = new RegExp(ACTING, "gu");
/** Sequences that only choose colours, which many programs write into their logs. */
const COLOURS = /\u001b\[[\d;]*m/g;
const REPLACEMENT = "\ufffd";

/**
 * The text without what acts on a terminal or an editor that shows it: control characters, changes of direction and invisible
 * tags become U+FFFD, colours are removed. Line feeds and tabs stay.
 *
 * The client returns what the agent said, unchanged; use this to show it.
 */
export function harmless(text: string): string {
    return withoutColours(text).replace(ACTS, (character) => (/[\n\t]/.test(character) ? character : REPLACEMENT));
}

/** The same for text that must stay on its line: line feeds and tabs become U+FFFD, too. */
export function harmlessLine(text: string): string {
    return withoutColours(text).replace(ACTS, REPLACEMENT);
}

function withoutColours(text: string): string {
    return text.replaceAll("\r\n", "\n").replace(COLOURS, "");
}
