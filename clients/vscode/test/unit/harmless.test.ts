// Hostile text, in each way the extension shows text.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fromSegment, toSegment } from "../../src/model/files";
import { code, label, line, markdown, Markdown, text } from "../../src/model/harmless";

/** The table that all clients share. This file runs from dist/test/unit. */
const CASES = JSON.parse(readFileSync(join(__dirname, "../../../../../tests/fixtures/display.json"), "utf8")) as {
    name: string;
    given: string;
    text: string;
    line: string;
}[];

test("each hostile text is shown as the shared table says", () => {
    assert.ok(CASES.length > 10);
    for (const { name, given, text: expected, line: onOneLine } of CASES) {
        assert.equal(text(given), expected, name);
        assert.equal(line(given), onOneLine, name);
        assert.doesNotMatch(label(given), /[\n\t]/, name);
    }
});

/** Links as VS Code finds them in a notification (`linkedText.ts`), and icons. */
const CLICKABLE = /\[([^\]]+)\]\(((?:https?:\/\/|command:|file:)[^)\s]+)(?: (["'])(.+?)(\3))?\)|\$\([a-z0-9-~]+\)/i;

test("nothing in VS Code's interface can be clicked, and no icon pretends", () => {
    for (const [given, expected] of [
        ["[Sign in](command:workbench.action.openSettings)", "[Sign in] (command:workbench.action.openSettings)"],
        ["[a](https://evil.example) [b](file:///etc)", "[a] (https://evil.example) [b] (file:///etc)"],
        ['[a](command:x "title")', '[a] (command:x "title")'],
        ["[a]\u0000(command:x)", "[a]\ufffd(command:x)"],
        ["[a]\u001b[0m(command:x)", "[a] (command:x)"],
        ["[a]\n(command:x)", "[a] (command:x)"],
        ["$(check) done $\u001b[0m(error)", "$ (check) done $ (error)"],
        ["[[a](command:x)](command:y)", "[[a] (command:x)] (command:y)"],
        ["no\r\nhint: run this\n", "no hint: run this"],
        ["a[0] (b) $5", "a[0] (b) $5"],
    ] as const) {
        assert.equal(label(given), expected);
        assert.doesNotMatch(label(given), CLICKABLE);
    }
});

test("an address in a chat is not hidden behind words, wherever the text is cut", () => {
    for (const [given, expected] of [
        ["[Sign in](command:x) ![](https://evil/pixel)", "[Sign in] (command:x) ![] (https://evil/pixel)"],
        ["[Sign in][1]\n\n[1]: command:x", "[Sign in][1]\n\n[1] : command:x"],
        ["<command:x> <https://shown.example> Vec<String>", "< command:x> <https://shown.example> Vec<String>"],
        ["**bold** `code` a[0]\n```ts\nx\n```\r\n\u202eb\u001b[31mc", "**bold** `code` a[0]\n```ts\nx\n```\n\ufffdbc"],
        ["ends in ]", "ends in ]"],
        ["ends in <comm", "ends in <comm"],
    ] as const) {
        assert.equal(markdown(given), expected);
        for (let cut = 0; cut <= given.length; cut++) {
            const shown = new Markdown();
            assert.equal(shown.push(given.slice(0, cut)) + shown.push(given.slice(cut)) + shown.end(), expected);
        }
        const shown = new Markdown();
        assert.equal([...given].map((piece) => shown.push(piece)).join("") + shown.end(), expected);
    }
});

test("a text that is shown as code is shown whole, and cannot end the code", () => {
    for (const [given, expected] of [
        ["rm *.txt ~~a~~ <b> C:\\new", "```text\nrm *.txt ~~a~~ <b> C:\\new\n```"],
        ["a\n```\n**b**", "````text\na\n```\n**b**\n````"],
        ["`````", "``````text\n`````\n``````"],
        ["", "```text\n\n```"],
        ["\u202eb\u001b[31mc", "```text\n\ufffdbc\n```"],
    ] as const) {
        assert.equal(code(given), expected);
    }
    assert.equal(code("`a ".repeat(1_000_000)).slice(0, 8), "```text\n");
});

test("a file's name in a document's address is harmless, and is the same name again", () => {
    for (const name of [
        "plan.md",
        "50%.txt",
        "a%28b",
        "%",
        "%2",
        "%2(",
        "%25",
        "[Sign in](command:x)",
        "$(check)",
        "%](",
        "gpj.\u202eexe",
        "\u{e0041}%41\u2066",
        "käse (1).txt",
    ]) {
        const segment = toSegment(name);
        assert.equal(fromSegment(segment), name);
        assert.equal(label(segment), segment, name);
    }
    assert.equal(toSegment("käse (1) 50%.txt"), "käse (1) 50%.txt");
    assert.equal(fromSegment("%FF"), "%FF");
});
