// docs/node.md is what really happens: its parts are run as one script, with the package as its users install it.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { VERSION } from "../src/version.js";
import { ROOT } from "./root.js";
import { type Home, inHome, PROGRAM } from "./support.js";

const PACKAGE = join(ROOT, "clients", "node");
/** Far more than the page takes; a script that does not end by itself has failed. */
const LIMIT_MS = 60_000;
/** Stands between the outputs of two parts. */
const NEXT = "\u001e";

interface Part {
    code: string;
    output: string;
}

function parts(page: string): Part[] {
    const found: Part[] = [];
    for (const [, language, body = ""] of page.matchAll(/^```(js|text)\n(.*?)^```$/gms)) {
        const last = found.at(-1);
        if (language === "js") {
            found.push({ code: body, output: "" });
        } else if (last !== undefined) {
            last.output = body;
        }
    }
    return found;
}

/** Imports may stand in any part, as in a script; each part says when it is over. */
function script(all: readonly Part[]): string {
    return all.map(({ code }) => `${code}process.stdout.write(${JSON.stringify(NEXT)});\n`).join("");
}

/** A project that has the packed package, and the connection's library beside it as npm would install it. */
function install(home: Home): string {
    const project = join(home.path, "project");
    mkdirSync(project);
    writeFileSync(join(project, "package.json"), '{ "private": true, "type": "module" }\n');
    const run = (program: string, args: string[], cwd: string) =>
        execFileSync(program, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
    run("npm", ["pack", "--silent", "--pack-destination", home.path], PACKAGE);
    const packed = join(home.path, `cupola-client-${VERSION}.tgz`);
    // Both are files, so nothing is asked of a registry.
    const library = join(PACKAGE, "node_modules", "vscode-jsonrpc");
    const options = ["--offline", "--no-audit", "--no-fund", "--install-links"];
    run("npm", ["install", ...options, library, packed], project);
    return project;
}

test("the page is what really happens, with the package as it is installed", () =>
    inHome(async (home) => {
        const page = parts(readFileSync(join(ROOT, "docs", "node.md"), "utf8"));
        assert.ok(page.length > 5, "the parts were not found");
        const project = install(home);
        const installed = readdirSync(join(project, "node_modules", "cupola-client"));
        assert.deepEqual(installed.toSorted(), ["README.md", "dist", "package.json"]);
        writeFileSync(join(project, "page.js"), script(page));
        const printed = execFileSync(process.execPath, ["page.js"], {
            cwd: project,
            encoding: "utf8",
            env: { ...home.environment, CUPOLA_BINARY: PROGRAM },
            timeout: LIMIT_MS,
        });
        const outputs = printed.split(NEXT);
        for (const [index, { code, output }] of page.entries()) {
            assert.equal(outputs[index], output, code);
        }
    }));

/** A program that uses the types; each line that must not compile says so. */
const TYPED = `
import { connect, CupolaError, emulator, type InvokeResponse, type Session } from "cupola-client";
const client = await connect({ target: emulator("notes"), isolation: { userKey: "acme" } });
for await (const event of client.invoke("hello", { newSession: true, signal: AbortSignal.timeout(1000) })) {
    if (event.type === "textDelta") {
        const delta: string = event.delta;
        // @ts-expect-error: only other events have it
        event.name;
    }
}
const response: InvokeResponse = await client.invoke([{ type: "message" }]).result();
const session: Session = await client.sessions.create({ sessionId: "session-1" });
const status = await client.call("daemon/status", {});
const runs: number = status.runs;
// @ts-expect-error: the client adds its own isolation
client.invoke("hello", { isolation: {} });
// @ts-expect-error: there is no such method
client.call("daemon/none", {});
// @ts-expect-error: a session is named by a string
client.sessions.use(1);
// @ts-expect-error: there is no such option
connect({ agent: "notes" });
export function kind(error: unknown): string | undefined {
    return error instanceof CupolaError ? error.kind : undefined;
}
export { response, runs, session };
`;

test("a program in TypeScript is checked against the package's types", () =>
    inHome(async (home) => {
        const project = install(home);
        writeFileSync(join(project, "typed.ts"), TYPED);
        const tsc = join(PACKAGE, "node_modules", "typescript", "bin", "tsc");
        const types = ["--typeRoots", join(PACKAGE, "node_modules", "@types"), "--types", "node"];
        const options = ["--strict", "--noEmit", "--target", "es2022", "--module", "nodenext", ...types];
        const checked = spawnSync(process.execPath, [tsc, ...options, "typed.ts"], { cwd: project, encoding: "utf8" });
        assert.equal(checked.stdout, "");
        assert.equal(checked.status, 0);
    }));

test("the version that the client tells the daemon is the package's", () => {
    const { version } = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8")) as { version: string };
    assert.equal(VERSION, version);
});
