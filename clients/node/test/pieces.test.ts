// Whole files in pieces, over a bound connection to a real daemon.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Line } from "../src/line.js";
import { exists, PIECE_BYTES, readFile, writeFile } from "../src/pieces.js";
import type { Isolation, Target } from "../src/protocol.js";
import { failure, inHome } from "./support.js";

const target: Target = { kind: "emulator" };
const isolation: Isolation = { userKey: "tenant-acme" };

test("files of every size are written and read whole", async () => {
    await inHome(async (home) => {
        const line = new Line(target, isolation, home.connection({ target, isolation }));
        const { sessionId } = await line.request("invoke", { input: "hello" });
        assert.ok(sessionId);
        const file = { sessionId, path: "data/a.bin" };
        for (const length of [0, 5, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES]) {
            // A view into something larger, as an editor hands it over.
            const content = new Uint8Array(length + 7).map((_, index) => index % 251).subarray(3, 3 + length);
            await writeFile(line, file, content);
            assert.ok(Buffer.from(content).equals(await readFile(line, file)), `${length} bytes came back changed`);
        }
        assert.equal((await failure(readFile(line, { sessionId, path: "none" }))).kind, "notFound");
    });
});

test("only the service's word that a file is not there counts as that", async () => {
    await inHome(async (home) => {
        const client = home.connection({ target, isolation });
        const line = new Line(target, isolation, client);
        const { sessionId } = await line.request("invoke", { input: "remember the milk" });
        assert.ok(sessionId);
        assert.equal(await exists(line, { sessionId, path: "notes.txt" }), true);
        assert.equal(await exists(line, { sessionId, path: "none" }), false);
        const refusing = new Line(target, { userKey: "tenant-contoso" }, client);
        assert.equal((await failure(exists(refusing, { sessionId, path: "none" }))).kind, "outOfBounds");
        client.close();
        assert.equal((await failure(exists(line, { sessionId, path: "none" }))).kind, "closed");
    });
});

test("a bound line transfers local files below its directory alone", async () => {
    await inHome(async (home) => {
        const root = join(home.path, "root");
        mkdirSync(root);
        writeFileSync(join(root, "inside"), "text");
        writeFileSync(join(home.path, "outside"), "text");
        const usual = new Line(target, isolation, home.connection({ target, isolation }));
        const { sessionId } = await usual.request("invoke", { input: "remember the milk" });
        assert.ok(sessionId);
        const upload = (line: Line, name: string) =>
            line.request("files/upload", { sessionId, localPath: join(home.path, name), path: "a" });
        assert.equal((await failure(upload(usual, "root/inside"))).kind, "outOfBounds");
        const methods = ["files/upload", "files/download"];
        const line = new Line(target, isolation, home.connection({ target, isolation, methods, files: root }));
        assert.equal((await upload(line, "root/inside")).bytes, 4);
        assert.equal((await failure(upload(line, "outside"))).kind, "outOfBounds");
        const localPath = join(root, "notes.txt");
        await line.request("files/download", { sessionId, path: "notes.txt", localPath });
        assert.equal(readFileSync(localPath, "utf8"), "the milk\n");
    });
});
