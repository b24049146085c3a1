// Compiles src/ into dist/, which is what the package contains.

import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { installPackages, root } from "./packages.mjs";

installPackages();
// A file that was renamed shall not stay in the package under its old name.
rmSync(join(root, "dist"), { recursive: true, force: true });
execFileSync(process.execPath, [join(root, "node_modules", "typescript", "bin", "tsc")], {
    cwd: root,
    stdio: "inherit",
});
