// Checks the types of the extension, of its tests and of the chat panel's page, and how all of it is formatted. `--fix`
// formats it.

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { installPackages, root } from "./packages.mjs";

installPackages();
const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
for (const project of [".", "src/webview", "test"]) {
    execFileSync(process.execPath, [tsc, "--project", project], { cwd: root, stdio: "inherit" });
}
const prettier = join(root, "node_modules", "prettier", "bin", "prettier.cjs");
const how = process.argv.includes("--fix") ? "--write" : "--check";
const files = ["{src,test}/**/*.ts", "scripts/*.mjs", "media/*.css"];
execFileSync(process.execPath, [prettier, how, "--log-level", "warn", ...files], { cwd: root, stdio: "inherit" });
