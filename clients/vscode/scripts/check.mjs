// Checks the types of the extension, of its tests, and of the chat panel's page.

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { installPackages, root } from "./packages.mjs";

installPackages();
const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
for (const project of [".", "src/webview", "test"]) {
    execFileSync(process.execPath, [tsc, "--project", project], { cwd: root, stdio: "inherit" });
}
