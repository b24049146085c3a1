// Checks the types of the package and of its tests, and how all of it is formatted. `--fix` formats it.

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { installPackages, root } from "./packages.mjs";

installPackages();
const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
for (const project of [".", "test"]) {
    execFileSync(process.execPath, [tsc, "--noEmit", "--project", project], { cwd: root, stdio: "inherit" });
}
const prettier = join(root, "node_modules", "prettier", "bin", "prettier.cjs");
const how = process.argv.includes("--fix") ? "--write" : "--check";
const files = ["{src,test}/**/*.ts", "scripts/*.mjs", "!src/protocol.ts"];
execFileSync(process.execPath, [prettier, how, "--log-level", "warn", ...files], { cwd: root, stdio: "inherit" });
