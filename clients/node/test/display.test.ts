// Hostile text, as the client makes it harmless.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import { harmless, harmlessLine } from "../src/display.js";
import { CupolaError } from "../src/error.js";
import { ROOT } from "./root.js";

/** The table that all clients share. */
const CASES = JSON.parse(readFileSync(join(ROOT, "tests", "fixtures", "display.json"), "utf8")) as {
    name: string;
    given: string;
    text: string;
    line: string;
}[];

test("each hostile text is made harmless as the shared table says", () => {
    assert.ok(CASES.length > 10);
    for (const { name, given, text, line } of CASES) {
        assert.equal(harmless(given), text, name);
        assert.equal(harmlessLine(given), line, name);
    }
});

test("nothing of an error acts on the terminal that prints it", () => {
    const error = new CupolaError("agentFailed", "red \u001b[31m and \u001b[2J cleared", {
        hint: "\u001b]0;title\u0007",
    });
    for (const shown of [error.message, String(error), error.stack ?? "", error.summary, error.hint ?? ""]) {
        assert.ok(!shown.includes("\u001b"), JSON.stringify(shown));
    }
    assert.ok(!inspect(error).includes("\u001b"));
});
