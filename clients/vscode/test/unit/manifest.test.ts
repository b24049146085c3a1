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
    const sources = readdirSync(join(EXTENSION, "src"), { recursive: true, encoding: "utf8" }).filter((name) =>
        name.endsWith(".ts"),
    );
    const registered = sources.flatMap((name) =>
        [...text("src", name).matchAll(/problems\.command\(\s*"([^"]+)"/g)].map((match) => match[1]),
    );
    assert.deepEqual(registered.toSorted(), commands.map(({ command }) => command).toSorted());
});

test("no workspace names the program, and only a trusted one names the target", () => {
    assert.equal(configuration.properties["cupola.path"]?.scope, "machine");
    assert.deepEqual(manifest.capabilities.untrustedWorkspaces.restrictedConfigurations, ["cupola.target"]);
});

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
