// Bundles the extension and its chat panel into dist/. `--watch` repeats it after each change.

import * as esbuild from "esbuild";

const shared = { bundle: true, minify: true, sourcemap: "linked", legalComments: "eof", logLevel: "warning" };

/** The extension runs in VS Code's own Node; `vscode` is given to it there. */
const extension = {
    ...shared,
    entryPoints: ["src/extension.ts"],
    outfile: "dist/extension.js",
    platform: "node",
    format: "cjs",
    target: "node20",
    external: ["vscode"],
};

/** The chat panel runs in a separate web page. */
const chat = {
    ...shared,
    entryPoints: ["src/webview/chat.ts"],
    outfile: "dist/chat.js",
    platform: "browser",
    format: "iife",
    target: "es2022",
};

if (process.argv.includes("--watch")) {
    for (const options of [extension, chat]) {
        await (await esbuild.context(options)).watch();
    }
} else {
    await Promise.all([esbuild.build(extension), esbuild.build(chat)]);
}
