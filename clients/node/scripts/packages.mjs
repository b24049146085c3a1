// Installs what package-lock.json says, when it is not what is there.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The package's directory. */
export const root = fileURLToPath(new URL("..", import.meta.url));

/** Installs the packages of this directory. */
export function installPackages(directory = root) {
    const wanted = readFileSync(join(directory, "package-lock.json"), "utf8");
    const marker = join(directory, "node_modules", ".installed");
    if (existsSync(marker) && readFileSync(marker, "utf8") === wanted) {
        return;
    }
    // No package's script is run: nothing here needs one.
    execFileSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
        cwd: directory,
        stdio: ["ignore", "inherit", "inherit"],
    });
    writeFileSync(marker, wanted);
}
