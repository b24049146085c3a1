// Makes dist/cupola.vsix: the bundled extension, ready for `code --install-extension`.

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { installPackages, root } from "./packages.mjs";

/** Builds and packs; gives the path of the `.vsix`. */
export function packageExtension() {
    installPackages();
    execFileSync(process.execPath, [join(root, "scripts", "build.mjs")], { cwd: root, stdio: "inherit" });
    const vsix = join(root, "dist", "cupola.vsix");
    const vsce = join(root, "node_modules", "@vscode", "vsce", "vsce");
    // The licence is the project's, and everything the extension needs is in its bundle.
    const options = ["package", "--no-dependencies", "--skip-license", "--allow-missing-repository", "--out", vsix];
    execFileSync(process.execPath, [vsce, ...options], { cwd: root, stdio: "inherit" });
    return vsix;
}

if (process.argv[1] === import.meta.filename) {
    packageExtension();
}
