// Makes dist/cupola.vsix: the bundled extension, ready for `code --install-extension`.
//
//     node scripts/package.mjs [--target PLATFORM --binary FILE] [--out FILE]
//
// With a binary, the package contains it and the `cupola-daemon` beside it, and is for one platform, which VS Code names like `linux-x64`.

import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, rmSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { installPackages, root } from "./packages.mjs";

/** Where the extension looks for its own program: src/settings.ts. */
const programs = join(root, "bin");

/** Builds and packs; gives the path of the `.vsix`. */
export function packageExtension({ target, binary, out = join(root, "dist", "cupola.vsix") } = {}) {
    installPackages();
    execFileSync(process.execPath, [join(root, "scripts", "build.mjs")], { cwd: root, stdio: "inherit" });
    const vsce = join(root, "node_modules", "@vscode", "vsce", "vsce");
    // The licence is the project's, and everything the extension needs is in its bundle.
    const options = [
        "package",
        "--no-dependencies",
        "--skip-license",
        "--allow-missing-repository",
        "--out",
        resolve(out),
    ];
    try {
        if (binary !== undefined) {
            const ending = target.startsWith("win32") ? ".exe" : "";
            mkdirSync(programs, { recursive: true });
            for (const name of [`cupola${ending}`, `cupola-daemon${ending}`]) {
                const program = join(programs, name);
                copyFileSync(join(dirname(resolve(binary)), name), program);
                chmodSync(program, 0o755);
            }
            options.push("--target", target);
        }
        execFileSync(process.execPath, [vsce, ...options], { cwd: root, stdio: "inherit" });
    } finally {
        // The next package may be without a program.
        rmSync(programs, { recursive: true, force: true });
    }
    return out;
}

if (process.argv[1] === import.meta.filename) {
    const text = { type: "string" };
    const { values } = parseArgs({ options: { target: text, binary: text, out: text } });
    if ((values.target === undefined) !== (values.binary === undefined)) {
        console.error(
            `usage: node scripts/${basename(import.meta.filename)} [--target PLATFORM --binary FILE] [--out FILE]`,
        );
        process.exit(2);
    }
    packageExtension(values);
}
