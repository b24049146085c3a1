// Installs what the extension is built and tested with, and what the package `cupola-client` in it needs.

import { fileURLToPath } from "node:url";
import * as client from "../../node/scripts/packages.mjs";

/** The extension's directory. */
export const root = fileURLToPath(new URL("..", import.meta.url));

/** Installs the packages of the extension and of `clients/node`, when they are not what their lock files say. */
export function installPackages() {
    client.installPackages();
    client.installPackages(root);
}
