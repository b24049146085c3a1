// Runs the tests, and ends with one line: `N passed, M failed`. CUPOLA_BINARY names the `cupola` to test with. The
// package is built, because a test installs it as its users do.

import { execFileSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { installPackages, root } from "./packages.mjs";
import { runSuite } from "./suite.mjs";

/** Far more than the tests take; one that hangs shall not hang the build. */
const LIMIT_MS = 300_000;

if (process.env.CUPOLA_BINARY === undefined) {
    console.error("usage: CUPOLA_BINARY=PATH node scripts/test.mjs [FILE]...");
    process.exit(2);
}

installPackages();
const compiled = join(root, "build");
rmSync(compiled, { recursive: true, force: true });
const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
execFileSync(process.execPath, [tsc, "--project", "test"], { cwd: root, stdio: "inherit" });

const wanted = process.argv.slice(2);
const files = readdirSync(join(compiled, "test"))
    .filter((name) => name.endsWith(".test.js"))
    .filter((name) => wanted.length === 0 || wanted.includes(name.replace(/\.test\.js$/, "")))
    .map((name) => join(compiled, "test", name));
runSuite({ files, concurrency: true, timeout: LIMIT_MS });
