// An agent's Markdown as a tree of a few harmless elements, for the chat panel's page. Pure: text in, tree out. Nothing of it becomes
// HTML, nothing can be clicked, and nothing is loaded: a link shows its address, and an image its address in place of the picture.

import { lexer, type Token, type Tokens } from "marked";

/** The elements there are. None of them acts or loads anything. */
export type Tag =
    | "blockquote"
    | "br"
    | "code"
    | "del"
    | "em"
    | "h3"
    | "hr"
    | "li"
    | "ol"
    | "p"
    | "pre"
    | "strong"
    | "table"
    | "td"
    | "th"
    | "tr"
    | "ul";

/** Text, or an element. */
export type Node = string | { tag: Tag; children: Node[] };

/** Longer answers are shown as they are: reading them again at each piece would take longer than a frame. In characters. */
const MOST_PARSED = 100_000;
/** Quotes and lists within each other, beyond which the text is shown as it is. */
const DEEPEST = 20;

/** What is shown of a text. */
export function markdown(text: string): Node[] {
    if (text.length > MOST_PARSED) {
        return [element("pre", [text])];
    }
    return nodes(lexer(text, { gfm: true, breaks: true }), 0);
}

function element(tag: Tag, children: Node[]): Node {
    return { tag, children };
}

function nodes(tokens: readonly Token[] | undefined, depth: number): Node[] {
    return (tokens ?? []).flatMap((token) => (depth > DEEPEST ? [token.raw] : node(token, depth + 1)));
}

function node(token: Token, depth: number): Node[] {
    const inner = () => nodes("tokens" in token ? token.tokens : undefined, depth);
    switch (token.type) {
        case "space":
        case "def":
            return [];
        case "heading":
            return [element("h3", inner())];
        case "paragraph":
            return [element("p", inner())];
        case "blockquote":
            return [element("blockquote", inner())];
        case "code":
            return [element("pre", [token.text])];
        case "codespan":
            return [element("code", [token.text])];
        case "strong":
        case "em":
        case "del":
            return [element(token.type, inner())];
        case "br":
        case "hr":
            return [element(token.type, [])];
        case "list":
            return [list(token as Tokens.List, depth)];
        case "table":
            return [table(token as Tokens.Table, depth)];
        case "link":
            return link(token as Tokens.Link, inner());
        case "image":
            return [image(token as Tokens.Image)];
        case "text":
            // In a list, the text of an item has tokens of its own.
            return "tokens" in token && token.tokens !== undefined ? inner() : [token.text];
        case "escape":
            return [token.text];
        default:
            // HTML, and whatever a newer version of the reader knows.
            return [token.raw];
    }
}

/** Its description and its address in place of the picture. */
function image({ text, href }: Tokens.Image): string {
    return `${text} (${href})`;
}

/** The words, and the address that they stand for, so that no address is hidden. */
function link({ text, href }: Tokens.Link, words: Node[]): Node[] {
    const isBare = text === href || `mailto:${text}` === href;
    return isBare ? [href.replace(/^mailto:/, "")] : [...words, ` (${href})`];
}

function list({ ordered, start, items }: Tokens.List, depth: number): Node {
    const first = typeof start === "number" ? start : 1;
    // The number is text: a list may begin anywhere.
    const number = (index: number): Node[] => (ordered ? [`${first + index}. `] : []);
    const task = ({ task, checked }: Tokens.ListItem): Node[] => (task ? [checked ? "☑ " : "☐ "] : []);
    return element(
        ordered ? "ol" : "ul",
        items.map((item, index) =>
            element("li", [
                ...number(index),
                ...task(item),
                ...nodes(
                    item.tokens.filter(({ type }) => (type as string) !== "checkbox"),
                    depth,
                ),
            ]),
        ),
    );
}

function table({ header, rows }: Tokens.Table, depth: number): Node {
    const row = (tag: Tag, cells: Tokens.TableCell[]) =>
        element(
            "tr",
            cells.map((cell) => element(tag, nodes(cell.tokens, depth))),
        );
    return element("table", [row("th", header), ...rows.map((cells) => row("td", cells))]);
}
