// An agent's Markdown as the chat panel shows it, and what never becomes of it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { aside } from "../../src/model/asides";
import { markdown, type Node } from "../../src/model/markdown";

/** The tree as text, so that a table can name it: `p(a strong(b))`. */
function shown(nodes: readonly Node[]): string {
    return nodes.map((node) => (typeof node === "string" ? node : `${node.tag}(${shown(node.children)})`)).join("");
}

test("what agents write is laid out", () => {
    for (const [text, tree] of [
        ["echo: hello", "p(echo: hello)"],
        ["a\nb", "p(abr()b)"],
        ["# Title\n\n**bold** and `code`", "h3(Title)p(strong(bold) and code(code))"],
        ["- one\n- two\n  - three", "ul(li(one)li(twoul(li(three))))"],
        ["3. three\n4. four", "ol(li(3. three)li(4. four))"],
        ["```sh\nls -l\n```", "pre(ls -l)"],
        ["| a | b |\n|---|---|\n| 1 | 2 |", "table(tr(th(a)th(b))tr(td(1)td(2)))"],
        ["> said", "blockquote(p(said))"],
        ["2 < 3 & 4", "p(2 < 3 & 4)"],
    ] as const) {
        assert.equal(shown(markdown(text)), tree, text);
    }
});

test("an answer that is not complete yet is shown, too", () => {
    for (const [text, tree] of [
        ["```py\nprint(", "pre(print()"],
        ["**bo", "p(**bo)"],
        ["", ""],
    ] as const) {
        assert.equal(shown(markdown(text)), tree, text);
    }
});

test("no address is hidden, and nothing is an element that acts", () => {
    for (const [text, tree] of [
        ["[click](https://evil.example)", "p(click (https://evil.example))"],
        ["[x](command:workbench.action.quit)", "p(x (command:workbench.action.quit))"],
        ["https://plain.example", "p(https://plain.example)"],
        ["![cat](https://evil.example/cat.png)", "p(cat (https://evil.example/cat.png))"],
        ["<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"],
        ["a <b>bold</b>", "p(a <b>bold</b>)"],
        ["[a][1]\n\n[1]: javascript:alert(1)", "p(a (javascript:alert(1)))"],
    ] as const) {
        assert.equal(shown(markdown(text)), tree, text);
    }
});

test("what is too long or too deep is shown as it is", () => {
    const long = "*a* ".repeat(50_000);
    assert.deepEqual(markdown(long), [{ tag: "pre", children: [long] }]);
    assert.match(shown(markdown("> ".repeat(200) + "deep")), /deep/);
});

test("reasoning and tool calls are told apart from the answer", () => {
    const done = "response.output_item.done";
    for (const [name, data, expected] of [
        ["response.reasoning_summary_text.done", { text: "step one" }, { title: "Reasoning", text: "step one" }],
        [
            done,
            { item: { type: "function_call", name: "get_time", arguments: "{}" } },
            { title: "Tool: get_time", text: "{}" },
        ],
        [done, { item: { type: "function_call_output", output: "12:00" } }, { title: "Tool result", text: "12:00" }],
        [
            done,
            { item: { type: "mcp_call", name: "find", arguments: "{}", output: ["two"] } },
            { title: "Tool: find", text: '{}\n["two"]' },
        ],
        [done, { item: { type: "message" } }, undefined],
        ["response.created", { text: "no" }, undefined],
        [done, undefined, undefined],
    ] as const) {
        assert.deepEqual(aside(name, data), expected);
    }
});
