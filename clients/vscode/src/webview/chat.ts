// The script of the chat panel's page: shows turns, sends questions. All text goes in as text, never as HTML.

import type { Question } from "cupola-client";
import { text } from "../model/harmless";
import { consentLink, describe } from "../model/questions";
import { shortId } from "../model/sessions";
import type { Turn, TurnStatus } from "../model/turn";
import type { FromPage, PageCommand, ToPage, Where } from "../views/messages";

declare function acquireVsCodeApi(): { postMessage(message: FromPage): void };

const vscode = acquireVsCodeApi();
const turns = element("turns", HTMLElement);
const form = element("form", HTMLFormElement);
const question = element("question", HTMLTextAreaElement);
const send = element("send", HTMLButtonElement);
const stop = element("stop", HTMLButtonElement);
const BUTTONS: Record<string, PageCommand> = {
    agent: "cupola.selectTarget",
    isolation: "cupola.switchIsolation",
    "new-conversation": "cupola.newConversation",
    "new-session": "cupola.newSession",
    stop: "cupola.cancel",
};
/** So close to the end, in pixels, the view follows what is added. */
const NEAR_END = 40;

const STATUSES: Record<TurnStatus, string> = {
    running: "Answering…",
    completed: "",
    failed: "Failed",
    incomplete: "Incomplete",
    cancelled: "Cancelled",
    truncated: "Cut off",
    left: "No longer followed; the run continues",
};

window.addEventListener("message", ({ data }: MessageEvent<ToPage>) => {
    switch (data.type) {
        case "all":
            turns.replaceChildren(...(data.turns.length === 0 ? [welcome()] : data.turns.map(render)));
            showWhere(data.where);
            showRunning(data.running);
            turns.scrollTop = turns.scrollHeight;
            break;
        case "turn":
            showTurn(data.turn);
            showRunning(data.running);
            break;
        case "where":
            showWhere(data.where);
    }
});

for (const [id, command] of Object.entries(BUTTONS)) {
    element(id, HTMLButtonElement).addEventListener("click", () => vscode.postMessage({ type: "run", command }));
}

form.addEventListener("submit", (event) => {
    event.preventDefault();
    const typed = question.value.trim();
    if (typed !== "" && !send.hidden) {
        vscode.postMessage({ type: "ask", question: typed });
        question.value = "";
        grow();
    }
});

question.addEventListener("input", grow);
question.addEventListener("keydown", (event) => {
    // While an input method composes a word, Enter belongs to it.
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        form.requestSubmit();
    }
});

// Who opens the panel wants to ask; who keeps on typing in the editor is left alone.
if (document.hasFocus()) {
    question.focus();
}
vscode.postMessage({ type: "ready" });

/** As many rows as there are lines, up to the limit in the style. */
function grow(): void {
    question.rows = question.value.split("\n").length;
}

function showWhere(where: Where): void {
    element("agent", HTMLButtonElement).textContent = text(where.agent);
    element("isolation", HTMLButtonElement).textContent = text(where.isolation);
}

function showRunning(running: boolean): void {
    send.hidden = running;
    stop.hidden = !running;
}

function showTurn(turn: Turn): void {
    const follows = turns.scrollHeight - turns.scrollTop - turns.clientHeight < NEAR_END;
    const shown = document.getElementById(turnId(turn));
    if (shown === null) {
        turns.querySelector(".welcome")?.remove();
        turns.append(render(turn));
    } else {
        shown.replaceWith(render(turn));
    }
    if (follows || shown === null) {
        turns.scrollTop = turns.scrollHeight;
    }
}

function turnId(turn: Turn): string {
    return `turn-${turn.id}`;
}

function render(turn: Turn): HTMLElement {
    const article = tag("article", `turn ${turn.status}`);
    article.id = turnId(turn);
    article.setAttribute("aria-busy", String(turn.status === "running"));
    article.append(tag("div", "question", turn.question));
    article.append(...turn.notices.map((notice) => tag("div", "notice", notice)));
    if (turn.text !== "" || turn.status === "running") {
        article.append(tag("div", "answer", turn.text));
    }
    article.append(...turn.questions.map((asked) => asks(turn, asked)));
    if (turn.problem !== undefined) {
        article.append(problem(turn.problem));
    }
    const footer = tag("footer", "", remarks(turn).join(" · "));
    footer.title = text([turn.sessionId, turn.conversationId].filter((id) => id !== undefined).join("\n"));
    article.append(footer);
    return article;
}

/** What the agent asks, whole, and the buttons that answer it. */
function asks(turn: Turn, asked: Question): HTMLElement {
    const box = tag("div", "asks");
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", "The agent asks");
    box.append(tag("div", "", describe(asked)));
    if (asked.arguments !== undefined) {
        box.append(tag("pre", "", asked.arguments));
    }
    const of = { turn: turn.id, id: asked.id };
    if (asked.kind === "approval") {
        box.append(
            button("Allow once", () => vscode.postMessage({ type: "answer", ...of, approve: true })),
            button("Refuse", () => vscode.postMessage({ type: "answer", ...of, approve: false })),
        );
    }
    if (consentLink(asked) !== undefined) {
        box.append(
            tag("pre", "", asked.url),
            button("Open the link…", () => vscode.postMessage({ type: "open", ...of })),
        );
    }
    return box;
}

function button(label: string, act: () => void): HTMLElement {
    const made = tag("button", "", label);
    made.addEventListener("click", act);
    return made;
}

function problem({ message, hint, kind }: NonNullable<Turn["problem"]>): HTMLElement {
    const box = tag("div", "problem");
    box.setAttribute("role", "alert");
    box.append(
        tag("div", "", message),
        ...(hint === undefined ? [] : [tag("div", "hint", hint)]),
        tag("code", "", kind),
    );
    return box;
}

function remarks(turn: Turn): string[] {
    return [STATUSES[turn.status], turn.sessionId === undefined ? "" : shortId(turn.sessionId), took(turn)].filter(
        (remark) => remark !== "",
    );
}

function took({ durationMs }: Turn): string {
    if (durationMs === undefined) {
        return "";
    }
    return durationMs < 1000 ? `${durationMs} ms` : `${(durationMs / 1000).toFixed(1)} s`;
}

function welcome(): HTMLElement {
    const box = tag("div", "welcome");
    box.append(
        tag("h1", "", "Ask your agent"),
        tag(
            "p",
            "",
            "Answers stream in here. Each question continues the session and conversation of the last; each isolation has its own.",
        ),
    );
    return box;
}

function tag(name: string, className: string, content = ""): HTMLElement {
    const made = document.createElement(name);
    made.className = className;
    made.textContent = text(content);
    return made;
}

function element<T extends HTMLElement>(id: string, type: new () => T): T {
    const found = document.getElementById(id);
    if (!(found instanceof type)) {
        throw new Error(`the page has no ${id}`);
    }
    return found;
}
