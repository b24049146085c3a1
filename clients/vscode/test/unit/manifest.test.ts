// What package.json promises VS Code, against the sources and the pages that describe it.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

/** This file runs from dist/test/unit. */
const EXTENSION = join(__dirname, "../../..");
const text = (...path: string[]) => readFileSync(join(EXTENSION, ...path), "utf8");

interface Manifest {
    activationEvents: string[];
    capabilities: { untrustedWorkspaces: { restrictedConfigurations: string[] } };
    contributes: {
        commands: { command: string; title: string }[];
        configuration: { properties: Record<string, { scope: string }> };
    };
}

const manifest = JSON.parse(text("package.json")) as Manifest;
const { commands, configuration } = manifest.contributes;

test("every command there is a title for exists, and has one", () => {
    const registered = sources().flatMap((name) =>
        [...text("src", name).matchAll(/problems\.command\(\s*"([^"]+)"/g)].map((match) => match[1]),
    );
    assert.deepEqual(registered.toSorted(), commands.map(({ command }) => command).toSorted());
});

/** Settings that decide neither where data goes nor whose state is used, and why. */
const HARMLESS_SETTINGS: Record<string, string> = {
    "cupola.logKind": "which of two logs of the same session is shown",
    "cupola.logTail": "how many of its last lines are shown",
};

test("a workspace that is not trusted decides nothing about where data goes or whose state is used", () => {
    const restricted = manifest.capabilities.untrustedWorkspaces.restrictedConfigurations;
    for (const name of Object.keys(configuration.properties)) {
        const isHarmless = name in HARMLESS_SETTINGS;
        assert.notEqual(
            restricted.includes(name),
            isHarmless,
            `${name} is not restricted, or restricted for no reason`,
        );
    }
    const all = [...restricted, ...Object.keys(HARMLESS_SETTINGS)];
    assert.deepEqual(all.toSorted(), Object.keys(configuration.properties).toSorted());
    // Not even a trusted one names the program.
    assert.equal(configuration.properties["cupola.path"]?.scope, "machine");
});

/** VS Code's functions that show text, and the files that may call them. */
const SHOWING: [pattern: RegExp, files: string[]][] = [
    [/\.show(Error|Warning|Information)Message\(/, ["show.ts"]],
    [/\.(setStatusBarMessage|withProgress|showQuickPick|showInputBox|createOutputChannel)\(/, ["show.ts"]],
    [/\bnew (vscode\.)?TreeItem\(/, ["show.ts"]],
    [/\bMarkdownString\(/, ["views/statusBar.ts"]],
    [/\.createStatusBarItem\(/, ["views/statusBar.ts"]],
    [/\.createQuickPick\b/, ["commands/isolation.ts"]],
    [/\.createWebviewPanel\(/, ["views/chat.ts"]],
    [/\b(innerHTML|outerHTML|insertAdjacentHTML|srcdoc)\b|document\.write|\.href\b/, []],
    [/\.textContent =/, ["webview/chat.ts"]],
    [/\bFileSystemError\.(Unavailable|NoPermissions)\((?!\s*label\()/, []],
    [/\.appendMarkdown\(/, ["views/statusBar.ts"]],
    [/supportHtml|baseUri|isTrusted = true/, []],
];

test("text is shown by the module that makes it harmless, and nowhere else", () => {
    for (const name of sources()) {
        const source = text("src", name);
        for (const [pattern, files] of SHOWING) {
            assert.ok(
                files.includes(name) || !pattern.test(source),
                `src/${name} shows text itself: ${pattern.source}`,
            );
        }
    }
    // Every listed exception must still apply.
    for (const [pattern, files] of SHOWING) {
        for (const name of files) {
            assert.match(text("src", name), pattern);
        }
    }
});

test("the page of the chat panel takes text as text, and nothing in it loads or runs but its own script", () => {
    const page = text("src", "webview", "chat.ts");
    for (const [assignment] of page.matchAll(/\.(textContent|title) = .*/g)) {
        assert.match(assignment, / = text\(/);
    }
    assert.match(
        text("src", "views", "chat.ts"),
        /default-src 'none'; style-src \$\{webview\.cspSource\}; script-src 'nonce-/,
    );
});

function sources(): string[] {
    return readdirSync(join(EXTENSION, "src"), { recursive: true, encoding: "utf8" }).filter((name) =>
        name.endsWith(".ts"),
    );
}

test("the pages speak of commands and settings that exist", () => {
    const titles = commands.map(({ title }) => `Cupola: ${title.replace("…", "")}`);
    for (const page of [text("README.md"), text("..", "..", "docs", "vscode.md")]) {
        for (const [, title] of page.matchAll(/\*(Cupola: [^*]+)\*/g)) {
            assert.ok(titles.includes(title ?? ""), `there is no command ${title}`);
        }
        for (const [, setting] of page.matchAll(/`(cupola\.[A-Za-z]+)`/g)) {
            assert.ok(setting !== undefined && setting in configuration.properties, `there is no setting ${setting}`);
        }
        for (const setting of Object.keys(configuration.properties)) {
            assert.ok(page.includes(`\`${setting}\``), `${setting} is not described`);
        }
    }
});
