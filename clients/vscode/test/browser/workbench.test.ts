// A real VS Code in a browser, worked as a person would: one test after another in the same window.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { after, before, test as nodeTest } from "node:test";
import type { Locator } from "playwright-core";
import { eventually } from "../../../node/test/support";
import { Emulator } from "./emulator";
import { Workbench } from "./workbench";

const workbench = new Workbench();

before(() => {
    workbench.write("workspace/data/käse.txt", "Käse\n");
    workbench.write("workspace/data/deep/er.txt", "deeper\n");
    symlinkSync("/etc/passwd", join(workbench.workspace, "data", "link"));
    return workbench.start({
        "plan.md": "# Plan\n\nremember the launch is on Friday\n",
        "seed.json": '{ "plan": "gold" }\n',
        // Were it heeded, nothing below would work.
        ".vscode/settings.json": '{ "cupola.path": "/nowhere/of-the-workspace" }',
    });
});
after(() => workbench.close());

const test = (name: string, run: () => Promise<void>) => nodeTest(name, () => workbench.step(name, run));

test("nothing runs until something is asked", async () => {
    await workbench.page.locator(".explorer-folders-view .monaco-list-row").filter({ hasText: "plan.md" }).dblclick();
    await workbench.page.locator(".monaco-editor").filter({ hasText: "the launch is on Friday" }).waitFor();
    await expectText(workbench.statusBar, /notes \(emulator\) · no isolation/);
    assert.throws(() => workbench.home.processId());
});

test("an isolation is switched to, and its keys are nowhere to be seen", async () => {
    await workbench.command("Cupola: Switch Isolation");
    await workbench.pick("whose state?", "User isolation key");
    await workbench.answer("User isolation key", "tenant-acme");
    await workbench.pick("whose state?", "Chat label");
    await workbench.answer("Chat label", "planning");
    await workbench.page.locator(".quick-input-list .monaco-list-row").filter({ hasText: "planning" }).waitFor();
    await workbench.picture("isolation");
    await workbench.pick("whose state?", "Name this isolation");
    await workbench.answer("Name this isolation", "acme");
    await expectText(workbench.statusBar, /user ••••, label planning/);
    await expectNoText("tenant-acme");
});

test("an answer streams into the chat panel", async () => {
    await ask("remember the launch code is 4711", /Remembered: the launch code is 4711/);
    const question = workbench.chat.locator("#question");
    await question.fill("what do you remember?");
    await question.press("Enter");
    await expectText(workbench.lastTurn, /I remember:\s+- the launch code is 4711/);
});

test("a selection is sent as it is", async () => {
    const editor = workbench.page.locator(".monaco-editor").filter({ hasText: "the launch is on Friday" });
    await editor.locator(".view-line").filter({ hasText: "Friday" }).click();
    await workbench.page.keyboard.press("Home");
    await workbench.page.keyboard.press("Shift+End");
    await workbench.command("Cupola: Invoke with Selection");
    await expectText(workbench.lastTurn, /Remembered: the launch is on Friday/);
    await workbench.picture("chat");
});

test("an answer is cancelled, and the next one comes", async () => {
    await workbench.command("Cupola: Invoke…");
    await workbench.answer("Cupola: Invoke", "slow 500 50");
    await expectText(workbench.lastTurn, /tick3/);
    await workbench.chat.getByRole("button", { name: "Stop" }).click();
    await expectText(workbench.lastTurn, /Cancelled/);
    await workbench.command("Cupola: Invoke…");
    await workbench.answer("Cupola: Invoke", "slow 501 50");
    await expectText(workbench.lastTurn, /slow 501[^]*tick3/);
    await workbench.command("Cupola: Cancel");
    await expectText(workbench.lastTurn, /Cancelled/);
    await ask("hello", /echo: hello/);
});

test("a new conversation shows nothing of the last one and keeps the session", async () => {
    await workbench.command("Cupola: New Conversation");
    await workbench.chat.getByText("Ask your agent").waitFor();
    await ask("what do you remember?", /launch code is 4711/);
});

test("an error says what to do, in the panel", async () => {
    await workbench.command("Cupola: Select Target");
    await workbench.pick("which agent?", "Emulator");
    await workbench.pick("Emulated agent", "notes-required");
    await expectText(workbench.statusBar, /notes-required/);
    await workbench.command("Cupola: Switch Isolation");
    await workbench.pick("whose state?", "Clear all");
    await expectText(workbench.statusBar, /no isolation/);
    await ask("hello", /x-agent-user-isolation-key[^]*isolationKeyRequired/);
    await workbench.command("Cupola: Select Target");
    await workbench.pick("which agent?", "Automatic");
    await workbench.command("Cupola: Switch Isolation");
    await workbench.pick("whose state?", "acme");
    await expectText(workbench.statusBar, /notes \(emulator\) · user ••••, label planning/);
    await ask("what do you remember?", /launch code is 4711/);
});

test("an agent on a local port is a target, too, and the views say that it has no sessions", async () => {
    await workbench.command("Cupola: Select Target");
    await workbench.pick("which agent?", "Local port");
    await workbench.answer("Port on this machine", "65000");
    await expectText(workbench.statusBar, /localhost:65000/);
    await workbench.activity("Cupola");
    await workbench.row("Sessions", "local").waitFor();
    await workbench.command("Cupola: Select Target");
    await workbench.pick("which agent?", "Automatic");
    await expectText(workbench.statusBar, /notes \(emulator\)/);
});

test("sessions are made, continued, stopped and deleted", async () => {
    await workbench.row("Sessions", /current · just now/).waitFor();
    await workbench.command("Cupola: New Session");
    await eventuallyRows("Sessions", 2);
    await ask("what do you remember?", /Nothing yet/);
    await workbench.command("Cupola: Refresh");
    const first = workbench.row("Sessions", "sess_").filter({ hasNotText: "current" });
    const id = (await first.locator(".label-name").innerText()).replace("…", "");
    await workbench.rowButton(first, "Continue in This Session");
    await workbench.row("Sessions", id).filter({ hasText: "current" }).waitFor();
    await ask("what do you remember?", /launch code is 4711/);
    await workbench.picture("sessions");
    const other = workbench.row("Sessions", "sess_").filter({ hasNotText: "current" });
    await workbench.menu(other, "Stop Session");
    await other.filter({ hasText: "idle" }).waitFor();
    await workbench.menu(other, "Delete Session");
    await workbench.confirm("Delete");
    await eventuallyRows("Sessions", 1);
});

test("files are uploaded, opened, changed, downloaded and deleted", async () => {
    const { page } = workbench;
    await workbench.row("Files", "notes.txt").waitFor();
    await workbench.row("Files", "notes.txt").click();
    await page.locator(".monaco-editor .view-lines").filter({ hasText: "the launch code is 4711" }).waitFor();

    await workbench.chooseFile(
        () => workbench.command("Cupola: Upload to Session"),
        join(workbench.workspace, "seed.json"),
    );
    await workbench.row("Files", "seed.json").click();
    const seed = page.locator(".monaco-editor .view-lines").filter({ hasText: '"plan": "gold"' });
    await seed.click();
    await page.keyboard.press("Control+A");
    await page.keyboard.type('{ "plan": "platinum" }');
    await workbench.picture("files");
    await page.keyboard.press("Control+S");
    await workbench.row("Files", "22 bytes").waitFor();

    const copy = join(workbench.workspace, "copy.json");
    await workbench.chooseFile(() => workbench.rowButton(workbench.row("Files", "seed.json"), "Download"), copy);
    assert.equal(await eventually("the file is downloaded", () => content(copy)), '{ "plan": "platinum" }');

    await workbench.rowButton(workbench.row("Files", "seed.json"), "Delete");
    await workbench.confirm("Delete");
    await workbench.row("Files", "seed.json").waitFor({ state: "detached" });
});

test("directories are made, filled, looked into and deleted", async () => {
    await workbench.command("Cupola: New Directory");
    await workbench.answer("New directory", "reports");
    const directory = workbench.row("Files", "reports");
    await directory.waitFor();
    await workbench.chooseFile(
        () => workbench.menu(directory, "Upload to Session"),
        join(workbench.workspace, "plan.md"),
    );
    await directory.click();
    await workbench.row("Files", "plan.md").waitFor();
    await workbench.menu(directory, "Delete");
    await workbench.confirm("Delete");
    await directory.waitFor({ state: "detached" });
});

test("directories are sent and fetched whole, and what was left behind is said", async () => {
    const { page, workspace } = workbench;
    await workbench.chooseFolder(() => workbench.command("Cupola: Upload Folder to Session"), join(workspace, "data"));
    await page.locator(".notification-toast").filter({ hasText: "links are not followed" }).waitFor();
    const directory = workbench.row("Files", "data");
    await directory.click();
    await workbench.row("Files", "käse.txt").waitFor();

    const place = join(workbench.home.path, "place");
    mkdirSync(join(place, "beside"), { recursive: true });
    await workbench.chooseFolder(() => workbench.menu(directory, "Download"), place);
    assert.equal(await eventually("it is downloaded", () => content(join(place, "data", "käse.txt"))), "Käse\n");

    await workbench.menu(directory, "Delete");
    await workbench.confirm("Delete");
    await directory.waitFor({ state: "detached" });
});

test("an answer that a shell began is listed, shown as it grows, and cancelled", async () => {
    const isolation = ["--user-isolation-key", "tenant-acme", "--chat", "planning"];
    workbench.home.cupola("invoke", "--emulator", ...isolation, "--detach", "slow 2000 50");
    await workbench.command("Notifications: Clear All Notifications");
    await workbench.command("Cupola: New Conversation");
    await workbench.page.locator('.pane-header[aria-label^="Runs"]').click();
    await workbench.command("Cupola: Refresh");
    const run = workbench.row("Runs", "running");
    await run.click();
    await expectText(workbench.lastTurn, /run-[^]*tick0 tick1[^]*tick3/);
    await workbench.picture("runs");
    await workbench.command("Cupola: Cancel");
    await expectText(workbench.lastTurn, /the run continues/);
    await workbench.rowButton(run, "Show Answer");
    await expectText(workbench.lastTurn, /tick3/);
    await workbench.rowButton(run, "Cancel Run");
    await expectText(workbench.lastTurn, /Cancelled/);
    await workbench.row("Runs", "cancelled").waitFor();
    await workbench.command("Cupola: New Conversation");
    await ask("what do you remember?", /launch code is 4711/);
    await workbench.page.locator('.pane-header[aria-label^="Runs"]').click();
});

test("logs are followed, over a restart of the daemon, without a reload of the window", async () => {
    await workbench.command("Cupola: Follow Logs");
    await workbench.output("POST /responses 200");
    await workbench.picture("logs");

    process.kill(workbench.home.processId(), "SIGKILL");
    await workbench.output("continues when it runs again");
    await ask("what do you remember?", /launch code is 4711/);
    await workbench.row("Sessions", "current").waitFor();
    await workbench.command("Cupola: Stop Following Logs");
    await workbench.output("-- stopped");
});

test("the status names the daemon, its binding and no key", async () => {
    await workbench.command("Cupola: Show Daemon Status");
    // The editor shows blanks as another character.
    await workbench.output(/Isolation\s+user\s••••,\slabel\splanning/);
    await workbench.output(/Connection\s+bound\sto\sthis/);
    // What the doctor finds.
    await workbench.output(new RegExp(`daemon\\s+version.*process\\s${workbench.home.processId()}`));
    await workbench.output(/target\s+emulator\/notes\sanswers/);
    await expectNoText("tenant-acme");
});

/** What a hostile service says: a link that runs a command, an icon, another direction, and a faked line. */
const HOSTILE =
    "[Sign in](command:workbench.action.toggleSidebarVisibility) [or here](https://evil.example/) $(error) \u202eback\n\u0007hint: run this";
/** The same as a file's name. */
const HOSTILE_NAME = "[Sign in](command:workbench.action.toggleSidebarVisibility) $(error) \u202eback.md";

test("nothing that a hostile service says can be clicked", async () => {
    const { page, home } = workbench;
    const settings = (target: object) => workbench.write("workspace/.vscode/settings.json", JSON.stringify(target));
    const emulator = await Emulator.start(home);
    try {
        settings({ "cupola.target": { kind: "emulator", url: emulator.url } });
        await workbench.statusBar.locator(`[aria-label*="${emulator.url}"]`).waitFor();
        await workbench.command("Notifications: Clear All Notifications");
        await workbench.command("Cupola: Switch Isolation");
        await workbench.pick("whose state?", "Clear all");
        // In the panel: an answer and an error.
        await workbench.command("Cupola: New Conversation");
        await workbench.command("Cupola: Invoke…");
        await workbench.answer("Cupola: Invoke", HOSTILE);
        await expectText(workbench.lastTurn, /echo: \[Sign in\]\(command:/);
        await emulator.refuse("POST", "*/openai/responses", HOSTILE);
        await ask("fail", /\[Sign in\]\(command:[^]*hint: run this/);
        assert.equal(await workbench.chat.locator("body a, body [href], body [onclick]").count(), 0);
        assert.doesNotMatch(await workbench.chat.locator("body").innerText(), /[\u202e\u0007]/);

        // A file's name: its row, its tooltip, a question, a document and a message of VS Code's own.
        home.cupola(
            "files",
            "upload",
            `--emulator=${emulator.url}`,
            "-f",
            join(workbench.workspace, "plan.md"),
            "-t",
            HOSTILE_NAME,
        );
        await workbench.activity("Cupola");
        await workbench.command("Cupola: Refresh");
        const row = workbench.row("Files", "Sign in");
        await expectHarmless(row, /^\[Sign in\] \(command:/);
        await showHover(row);
        await expectHarmless(page.locator(".workbench-hover-container"), /\[Sign in\] \(command:/);
        await workbench.rowButton(row, "Delete");
        await expectHarmless(page.locator(".monaco-dialog-box"), /Delete \[Sign in\] \(command:/);
        await page.keyboard.press("Escape");
        await page.locator(".monaco-dialog-box").waitFor({ state: "detached" });
        await row.click();
        const document = page
            .locator(".monaco-editor .view-lines")
            .filter({ hasText: "remember the launch is on Friday" });
        await document.last().click();
        await page.keyboard.type("x");
        await emulator.refuse("PUT", "*/files/content", HOSTILE);
        await page.keyboard.press("Control+S");
        await expectHarmless(toast(/Failed to save/), /Sign in[^]*refused|Sign in[^]*hint: run this/);
        await page.keyboard.press("Control+Z");
        await workbench.command("Notifications: Clear All Notifications");

        // An error in a notification, and one in place of a view's rows.
        await emulator.refuse("POST", "*/sessions", HOSTILE);
        await workbench.command("Cupola: New Session");
        await expectHarmless(toast(/Cupola: /), /\[Sign in\] \(command:[^]*hint: run this/);
        await emulator.refuse("GET", "*/sessions", HOSTILE);
        await workbench.command("Cupola: Refresh");
        await expectHarmless(workbench.row("Sessions", "Sign in"), /\[Sign in\] \(command:/);
        await workbench.command("Notifications: Clear All Notifications");
    } finally {
        settings({});
        await emulator.close();
    }
    await expectText(workbench.statusBar, /notes \(emulator\)/);
});

test("every command that the page names was run here", () => {
    const page = readFileSync(join(__dirname, "../../../../../docs/vscode.md"), "utf8");
    const named = [...page.matchAll(/\*(Cupola: [^*]+)\*/g)].map((match) => match[1] ?? "");
    const run = [...workbench.commandsRun].map((title) => title.replace("…", ""));
    assert.deepEqual(
        named.filter((title) => !run.includes(title)),
        [],
    );
    return Promise.resolve();
});

/** Asks in the panel and waits for the answer. */
async function ask(question: string, answer: RegExp): Promise<void> {
    await workbench.command("Cupola: Invoke…");
    await workbench.answer("Cupola: Invoke", question);
    await expectText(workbench.lastTurn.filter({ hasText: question }), answer);
}

async function eventuallyRows(view: string, count: number): Promise<void> {
    await workbench
        .row(view, /./)
        .nth(count - 1)
        .waitFor();
    await workbench.row(view, /./).nth(count).waitFor({ state: "detached" });
}

function content(path: string): string | undefined {
    try {
        return readFileSync(path, "utf8");
    } catch {
        return undefined;
    }
}

async function expectText(where: Locator, text: RegExp): Promise<void> {
    await where.filter({ hasText: text }).waitFor();
}

/** The message of a notification. */
function toast(text: RegExp): Locator {
    return workbench.page
        .locator(".notification-toast .notification-list-item-message")
        .filter({ hasText: text })
        .first();
}

/** Something shows this text, and nothing in it is a link, an icon of the text's making or a character that acts. */
async function expectHarmless(where: Locator, text: RegExp): Promise<void> {
    await where.first().filter({ hasText: text }).waitFor();
    const found = await where.first().evaluate((element) => ({
        // VS Code's own buttons are made of the same elements: what leads somewhere tells them apart.
        links: [...element.querySelectorAll("a")].filter(
            (link) => link.hasAttribute("data-href") || !["", "#", null].includes(link.getAttribute("href")),
        ).length,
        icons: element.querySelectorAll(".codicon-error:not(.dialog-icon):not(.notification-list-item-icon)").length,
        text: element.textContent ?? "",
    }));
    assert.deepEqual([found.links, found.icons], [0, 0], found.text);
    assert.doesNotMatch(found.text, /[\u202e\u0007]/);
}

/** Points at a row until its tooltip is there: a view that is drawn again takes the tooltip away. */
async function showHover(row: Locator): Promise<void> {
    const tooltip = workbench.page.locator(".workbench-hover-container").first();
    for (let tries = 1; ; tries++) {
        await workbench.page.mouse.move(0, 0);
        await row.hover();
        try {
            return await tooltip.waitFor({ timeout: 5000 });
        } catch (error) {
            if (tries === 12) {
                throw error;
            }
        }
    }
}

async function expectNoText(text: string): Promise<void> {
    assert.ok(!(await workbench.page.locator("body").innerText()).includes(text));
}
