// A real VS Code with the extension in it, in a browser: how to start it, and how a person would work it.

import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { type Browser, chromium, type FrameLocator, type Locator, type Page } from "playwright-core";
import { eventually, Home, PROGRAM } from "../../../node/test/support";

/** The first start of a busy machine's browser; everything later is far faster. */
const START_MS = 120_000;
/** Any one thing that a person waits for. */
const STEP_MS = 60_000;
/** One try of what may have to be tried again. */
const TRY_MS = 3_000;
/** The window: small enough to be read in a page. */
const SIZE = { width: 1240, height: 760 };

const CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/** Nothing of VS Code's own that moves, asks or calls anybody. */
const SETTINGS = {
    "chat.disableAIFeatures": true,
    "editor.autoClosingBrackets": "never",
    "editor.autoClosingQuotes": "never",
    "editor.autoSurround": "never",
    "editor.minimap.enabled": false,
    "extensions.ignoreRecommendations": true,
    "files.exclude": { "**/.vscode": true },
    "files.simpleDialog.enable": true,
    "telemetry.telemetryLevel": "off",
    "update.mode": "none",
    "window.commandCenter": false,
    "workbench.colorTheme": "Default Dark Modern",
    "workbench.layoutControl.enabled": false,
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "workbench.startupEditor": "none",
    "workbench.tips.enabled": false,
};

/** What `scripts/test.mjs` has installed. */
interface Tools {
    node: string;
    entry: string;
    browser: string;
    screenshots: string | undefined;
}

export class Workbench {
    readonly home = new Home();
    readonly workspace = join(this.home.path, "workspace");
    readonly #tools = JSON.parse(process.env["CUPOLA_BROWSER_TOOLS"] ?? assert.fail("run scripts/test.mjs")) as Tools;
    /** The titles of the commands that were run from the palette. */
    readonly commandsRun = new Set<string>();
    /** What VS Code's server had to complain about. */
    #said = "";
    #server: ChildProcess | undefined;
    #browser: Browser | undefined;
    #page: Page | undefined;

    get page(): Page {
        return this.#page ?? assert.fail("not started");
    }

    /** Puts a file into the home. */
    write(name: string, text: string): void {
        const path = join(this.home.path, name);
        mkdirSync(join(path, ".."), { recursive: true });
        writeFileSync(path, text);
    }

    async start(files: Record<string, string>): Promise<void> {
        for (const [name, text] of Object.entries(files)) {
            this.write(join("workspace", name), text);
        }
        this.write("data/User/settings.json", JSON.stringify(SETTINGS));
        this.#install();
        this.#addProgram();
        const port = await freePort();
        this.#server = spawn(
            this.#tools.node,
            this.#words(["--auth", "none", "--bind-addr", `127.0.0.1:${port}`, this.workspace]),
            {
                env: this.#environment(),
                stdio: ["ignore", "ignore", "pipe"],
            },
        );
        this.#server.stderr?.on("data", (text: Buffer) => (this.#said += text.toString()));
        const url = `http://127.0.0.1:${port}/`;
        await this.#answers(`${url}healthz`);
        this.#browser = await chromium.launch({ executablePath: this.#tools.browser, args: CHROMIUM });
        this.#page = await this.#browser.newPage({ viewport: SIZE });
        this.page.setDefaultTimeout(STEP_MS);
        await this.page.goto(`${url}?folder=${this.workspace}`);
        await this.page.locator(".monaco-workbench .statusbar").waitFor({ timeout: START_MS });
        await this.statusBar.waitFor({ timeout: START_MS });
    }

    async close(): Promise<void> {
        await this.#browser?.close();
        // What still runs would write into the home while it is being removed.
        const server = this.#server;
        if (server?.kill() === true) {
            await once(server, "exit");
        }
        await this.home.close();
    }

    /** The extension's item in the status bar. */
    get statusBar(): Locator {
        return this.page.locator('[id="cupola.cupola.cupola.scope"]');
    }

    /** Runs a command as from the palette. */
    async command(title: string): Promise<void> {
        this.commandsRun.add(title);
        const row = this.page.locator(".quick-input-list .monaco-list-row").filter({ hasText: title }).first();
        await persist(async () => {
            // Something that took the focus closes the palette; it opens again.
            await this.page.keyboard.press("F1");
            await this.#field.fill(`>${title}`, { timeout: TRY_MS });
            // Not Enter, which takes the first row: a longer title may stand there.
            await row.click({ timeout: TRY_MS });
        });
    }

    /** Answers the input box that is open now, whose title this is. */
    async answer(title: string, text: string): Promise<void> {
        await this.#titled(title).waitFor();
        await this.#field.fill(text);
        await this.#field.press("Enter");
    }

    /** Chooses a row of the quick pick whose title this is. */
    async pick(title: string, row: string): Promise<void> {
        await this.#titled(title).waitFor();
        await this.page.locator(".quick-input-list .monaco-list-row").filter({ hasText: row }).first().click();
    }

    /** Opens a file dialog and names a file in it. */
    async chooseFile(open: () => Promise<void>, path: string): Promise<void> {
        const rows = this.page
            .locator(".quick-input-widget .quick-input-list .monaco-list-row")
            .filter({ hasText: ".." });
        await persist(async () => {
            // Something that took the focus closes the dialog; and what is typed before it has looked around is lost.
            if (!(await rows.first().isVisible())) {
                await open();
                await rows.first().waitFor({ timeout: TRY_MS });
            }
            await this.#field.fill(path, { timeout: TRY_MS });
            await this.#field.press("Enter", { timeout: TRY_MS });
            await this.#field.waitFor({ state: "hidden", timeout: TRY_MS });
        });
    }

    /** Opens a folder dialog and chooses a folder in it, one that has a folder in it. */
    async chooseFolder(open: () => Promise<void>, path: string): Promise<void> {
        const rows = this.page.locator(".quick-input-widget .quick-input-list .monaco-list-row");
        const inside = rows.filter({ hasText: folderIn(path) }).first();
        const button = this.page.locator(".quick-input-widget .quick-input-action .monaco-button").first();
        await persist(async () => {
            if (!(await button.isVisible())) {
                await open();
                await rows.filter({ hasText: ".." }).first().waitFor({ timeout: TRY_MS });
            }
            await this.#field.fill(`${path}/`, { timeout: TRY_MS });
            // The dialog looks there before it takes it.
            await inside.waitFor({ timeout: TRY_MS });
            await button.click({ timeout: TRY_MS });
            await this.#field.waitFor({ state: "hidden", timeout: TRY_MS });
        });
    }

    /** Shows a view container of the activity bar, when it is not shown. */
    async activity(name: string): Promise<void> {
        const item = this.page
            .locator(".activitybar .action-item")
            .filter({ has: this.page.locator(`[aria-label^="${name}"]`) });
        if (!/\bchecked\b/.test((await item.getAttribute("class")) ?? "")) {
            await item.click();
        }
    }

    /** A row of a view in the side bar. */
    row(view: string, text: string | RegExp): Locator {
        return this.page
            .locator(`.pane:has(.pane-header[aria-label^="${view}"]) .monaco-list-row`)
            .filter({ hasText: text });
    }

    /** A button that appears in a row under the mouse. */
    async rowButton(row: Locator, label: string): Promise<void> {
        await row.hover();
        await row.locator(`.action-label[aria-label^="${label}"]`).click();
    }

    /** Chooses from the context menu of something. */
    async menu(where: Locator, item: string): Promise<void> {
        await where.click({ button: "right" });
        const entry = this.page.locator(".monaco-menu .action-menu-item").filter({ hasText: item }).first();
        // A menu that has just opened takes no click yet, so that a double click chooses nothing.
        await persist(async () => {
            await entry.click({ timeout: TRY_MS });
            await entry.waitFor({ state: "detached", timeout: TRY_MS });
        });
    }

    /** Answers a modal question. */
    async confirm(button: string): Promise<void> {
        await this.page.locator(".monaco-dialog-box .monaco-button").filter({ hasText: button }).click();
    }

    /** Waits until the output channel that is shown has this text. */
    async output(text: string | RegExp): Promise<void> {
        // The text is there before its lines have a height.
        await this.page.locator(".panel .view-lines").filter({ hasText: text }).waitFor({ state: "attached" });
    }

    /** The page of the chat panel. */
    get chat(): FrameLocator {
        return this.page.frameLocator("iframe.webview.ready").frameLocator("#active-frame");
    }

    /** The last answer in the chat panel. */
    get lastTurn(): Locator {
        return this.chat.locator("article").last();
    }

    /** One test; when it fails, a picture of the window stays beside the bundled tests. */
    async step(name: string, run: () => Promise<void>): Promise<void> {
        try {
            await run();
        } catch (error) {
            await this.#page?.screenshot({ path: join(__dirname, `${name.replaceAll(/\W+/g, "-")}.png`) });
            // What is still open would be in the way of the next test.
            await this.#page?.keyboard.press("Escape");
            throw error;
        }
    }

    /** Keeps a picture for the documentation, when that was asked for. */
    async picture(name: string): Promise<void> {
        if (this.#tools.screenshots !== undefined) {
            await this.page.mouse.move(SIZE.width / 2, SIZE.height - 2);
            await this.page.locator(".workbench-hover-container").first().waitFor({ state: "hidden" });
            await this.page.screenshot({
                path: join(this.#tools.screenshots, `vscode-${name}.png`),
                animations: "disabled",
                caret: "hide",
            });
        }
    }

    /** The field of the input box, quick pick or palette that is open now. */
    get #field(): Locator {
        return this.page.locator(".quick-input-widget .quick-input-box input");
    }

    #titled(title: string): Locator {
        return this.page.locator(".quick-input-widget .quick-input-title").filter({ hasText: title });
    }

    #environment(): NodeJS.ProcessEnv {
        return { ...this.home.environment, SHELL: "/bin/sh" };
    }

    #words(words: string[]): string[] {
        const data = [
            "--user-data-dir",
            join(this.home.path, "data"),
            "--extensions-dir",
            join(this.home.path, "extensions"),
        ];
        return [
            this.#tools.entry,
            ...data,
            "--disable-telemetry",
            "--disable-update-check",
            "--disable-workspace-trust",
            ...words,
        ];
    }

    /** As docs/vscode.md says it is done; `code` is the one under test. */
    #install(): void {
        const root = join(__dirname, "../../../../..");
        const page = readFileSync(join(root, "docs/vscode.md"), "utf8");
        const script = /```sh\n([^]*?)```/.exec(page)?.[1] ?? assert.fail("docs/vscode.md does not say how to install");
        const code = [this.#tools.node, ...this.#words([])].map((word) => `'${word}'`).join(" ");
        const shell = `set -e\ncode() { ${code} "$@"; }\n${script}`;
        execFileSync("bash", ["-c", shell], {
            cwd: root,
            env: { ...this.#environment(), PATH: process.env["PATH"] },
            stdio: ["ignore", "ignore", "inherit"],
        });
    }

    /** Puts the program where the package for one platform has it. Nothing else says where it is. */
    #addProgram(): void {
        const extensions = join(this.home.path, "extensions");
        const name = readdirSync(extensions).find((each) => each.startsWith("cupola.")) ?? assert.fail("not installed");
        mkdirSync(join(extensions, name, "bin"));
        symlinkSync(resolve(PROGRAM), join(extensions, name, "bin", "cupola"));
    }

    async #answers(url: string): Promise<void> {
        const ask = () =>
            fetch(url).then(
                (response) => response.ok || undefined,
                () => undefined,
            );
        await eventually(() => `VS Code's server answers; it said: ${this.#said}`, ask, START_MS);
    }
}

/** Does it until it works. */
async function persist(run: () => Promise<void>): Promise<void> {
    for (const deadline = Date.now() + STEP_MS; ;) {
        try {
            return await run();
        } catch (error) {
            if (Date.now() > deadline) {
                throw error;
            }
        }
    }
}

async function freePort(): Promise<number> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    await new Promise((resolve) => server.close(resolve));
    return typeof address === "object" && address !== null ? address.port : assert.fail("no port");
}

/** The name of a folder in a folder: a folder dialog shows no files. */
function folderIn(path: string): string {
    const found = readdirSync(path, { withFileTypes: true }).find((entry) => entry.isDirectory());
    return found?.name ?? assert.fail(`no folder is in ${path}`);
}
