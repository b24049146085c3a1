// Installs a real VS Code that runs in a browser (code-server) into the user's cache, once for all copies of the project.
// `--check` only says what is missing on this machine, if anything.
//
// It takes two minutes the first time: parts of it are compiled. It needs a newer Node than this project's, so that is
// installed beside it.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const CODE_SERVER = "4.139.1";
const NODE = "24.21.0";
/** Where Debian and its kin have the browser. */
const BROWSERS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
/** What the compiled parts are made from, and the Debian package each is in. */
const HEADERS = { "gssapi/gssapi.h": "libkrb5-dev", "libsecret-1/libsecret/secret.h": "libsecret-1-dev" };

const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "cupola");
const directory = join(cache, `code-server-${CODE_SERVER}`);
const node = join(directory, "node", "node_modules", "node", "bin", "node");
const entry = join(directory, "server", "node_modules", "code-server");
const marker = join(directory, "installed");

/** The browser's program. */
export const browser = BROWSERS.find(existsSync);

/** What this machine lacks, in words; nothing when the browser's suite can run. */
export function missing() {
    const packages = Object.entries(HEADERS).filter(([header]) => !existsSync(join("/usr/include", header)));
    const names = [
        browser === undefined ? "chromium" : "",
        ...(existsSync(marker) ? [] : packages.map(([, name]) => name)),
    ].filter(Boolean);
    return names.length === 0 ? undefined : `${names.join(", ")} missing (Debian: apt install ${names.join(" ")})`;
}

/** Gives the program and its first arguments; installs it first when it is not there. */
export function codeServer() {
    if (!existsSync(marker)) {
        install();
    }
    return { node, entry };
}

function install() {
    mkdirSync(cache, { recursive: true });
    // Moved into place when all of it is there: two installations at once do not meet.
    const fresh = join(cache, `new-${process.pid}`);
    const [nodeHome, server] = ["node", "server"].map((name) => join(fresh, name));
    npm(nodeHome, `node@${NODE}`);
    npm(server, `code-server@${CODE_SERVER}`, "--ignore-scripts", "--force");
    const path = `${join(nodeHome, "node_modules", "node", "bin")}:${process.env.PATH}`;
    const agent = `npm/11.0.0 node/v${NODE} ${process.platform} ${process.arch}`;
    execFileSync("sh", ["./postinstall.sh"], {
        cwd: join(server, "node_modules", "code-server"),
        env: { ...process.env, PATH: path, npm_config_unsafe_perm: "true", npm_config_user_agent: agent },
        stdio: ["ignore", "ignore", "inherit"],
    });
    writeFileSync(join(fresh, "installed"), "");
    rmSync(directory, { recursive: true, force: true });
    renameSync(fresh, directory);
}

function npm(home, ...words) {
    mkdirSync(home, { recursive: true });
    writeFileSync(join(home, "package.json"), '{ "private": true }\n');
    execFileSync("npm", ["install", "--no-audit", "--no-fund", ...words], {
        cwd: home,
        stdio: ["ignore", "ignore", "inherit"],
    });
}

if (process.argv[1] === import.meta.filename) {
    const lacks = missing();
    if (lacks !== undefined) {
        console.log(lacks);
        process.exitCode = 1;
    } else if (!process.argv.includes("--check")) {
        console.log(codeServer().entry);
    }
}
