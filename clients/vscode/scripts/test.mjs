// Runs a suite, `unit` or `browser`, and ends with one line: `N passed, M failed`. CUPOLA_BINARY names the `cupola` to
// test with. What is needed is installed first when it is not there. `browser --screenshots` also takes the pictures of
// docs/images again.

import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runSuite } from "../../node/scripts/suite.mjs";
import { browser, codeServer } from "./code-server.mjs";
import { installPackages, root } from "./packages.mjs";

/** Far more than a suite takes; a test that hangs shall not hang the build. */
const LIMIT_MS = { unit: 300_000, browser: 900_000 };

const suite = process.argv[2];
if (!(suite in LIMIT_MS) || process.env.CUPOLA_BINARY === undefined) {
    console.error("usage: CUPOLA_BINARY=PATH node scripts/test.mjs unit|browser [--screenshots]");
    process.exit(2);
}

installPackages();
if (suite === "browser") {
    const screenshots = process.argv.includes("--screenshots") ? join(root, "..", "..", "docs", "images") : undefined;
    process.env.CUPOLA_BROWSER_TOOLS = JSON.stringify({ ...codeServer(), browser, screenshots });
}
const files = await bundle(suite);
runSuite({ files, concurrency: suite === "unit", timeout: LIMIT_MS[suite] });

/** The suite's files, each with all it imports. */
async function bundle(suite) {
    const esbuild = await import("esbuild");
    const outdir = join(root, "dist", "test", suite);
    rmSync(outdir, { recursive: true, force: true });
    mkdirSync(outdir, { recursive: true });
    const entryPoints = readdirSync(join(root, "test", suite))
        .filter((name) => name.endsWith(".test.ts"))
        .map((name) => join(root, "test", suite, name));
    await esbuild.build({
        entryPoints,
        outdir,
        bundle: true,
        platform: "node",
        format: "cjs",
        target: "node20",
        sourcemap: "inline",
        external: ["playwright-core"],
        logLevel: "warning",
    });
    return readdirSync(outdir).map((name) => join(outdir, name));
}
