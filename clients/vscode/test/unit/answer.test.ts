// Answers in VS Code's own chat and in the panel's conversation, from a real daemon.

import assert from "node:assert/strict";
import { test } from "node:test";
import { CupolaError, Line, type Target } from "cupola-client";
import { answer } from "../../src/model/answer";
import { Conversation } from "../../src/model/conversation";
import { runRows } from "../../src/model/runs";
import { eventually, type Home, inHome, nextDaemon, withEmulator } from "../../../node/test/support";

function line(home: Home, target: Target = { kind: "emulator" }): Line {
    const isolation = target.kind === "emulator" && target.agent === undefined ? { userKey: "tenant-acme" } : {};
    return new Line(target, isolation, home.connection({ target, isolation }));
}

test("an answer is written into another chat as it comes", () =>
    inHome(async (home) => {
        const pieces: string[] = [];
        const stream = {
            markdown: (text: string) => void pieces.push(text),
            progress: () => undefined,
            button: () => undefined,
        };
        const never = new AbortController().signal;
        assert.deepEqual(await answer(line(home), "stream red green", stream, never), {});
        assert.deepEqual(pieces, ["red", " green"]);
        const refused = await answer(line(home, { kind: "emulator", agent: "notes-required" }), "hello", stream, never);
        assert.match(refused.errorDetails?.message ?? "", /x-agent-user-isolation-key.*\(isolationKeyRequired\)/s);
        assert.deepEqual(await answer(line(home), "hello", stream, AbortSignal.abort()), {});
    }));

test("a conversation shows each turn as it grows, and can start fresh", () =>
    inHome(async (home) => {
        const conversation = new Conversation();
        const texts: string[] = [];
        conversation.onChange((turn) => texts.push(turn?.text ?? "all"));
        const to = Promise.resolve(line(home));
        const first = await conversation.ask(to, "stream red green");
        assert.equal(first.status, "completed");
        assert.deepEqual([...new Set(texts)], ["", "red", "red green"]);
        assert.equal((await conversation.ask(to, "hello")).conversationId, first.conversationId);
        conversation.startAnew();
        assert.equal(conversation.turns.length, 0);
        const fresh = await conversation.ask(to, "hello");
        assert.notEqual(fresh.conversationId, first.conversationId);
        assert.equal(fresh.sessionId, first.sessionId);
        assert.equal((await conversation.ask(to, "hello")).conversationId, fresh.conversationId);
    }));

test("a run that outlives its daemon is followed on the next one", () =>
    inHome((home) =>
        withEmulator(home, async (url) => {
            const target: Target = { kind: "emulator", url };
            const to = line(home, target);
            const client = await home.client({ target, isolation: to.isolation });
            const begun = client.invoke("slow 30 40", { detach: true });
            const runId = await begun.started();
            const conversation = new Conversation();
            let isKilled = false;
            conversation.onChange((turn) => {
                if (!isKilled && turn?.text !== "") {
                    isKilled = true;
                    nextDaemon(home);
                }
            });
            await conversation.attach(Promise.resolve(to), runId);
            const [turn] = conversation.turns;
            const whole = Array.from({ length: 30 }, (_, number) => `tick${number}`).join(" ");
            assert.deepEqual([isKilled, turn?.status, turn?.text], [true, "completed", whole]);
            await begun.result();
        }),
    ));

test("what the agent asks is answered once, with a button", () =>
    inHome(async (home) => {
        const conversation = new Conversation();
        const to = Promise.resolve(line(home));
        const asked = await conversation.ask(to, 'ask delete_file {"path":"notes.txt"}');
        const [question] = asked.questions;
        assert.deepEqual([question?.tool, question?.arguments], ["delete_file", '{"path":"notes.txt"}']);
        const id = question?.id ?? "";
        const allowed = await conversation.answer(to, asked.id, id, true);
        assert.deepEqual([allowed?.question, allowed?.text], ["Allow delete_file once", "Called: delete_file"]);
        assert.equal(conversation.turns[0]?.questions.length, 0, "it is not offered again");
        assert.equal(await conversation.answer(to, asked.id, id, false), undefined);

        const consent = await conversation.ask(to, "consent");
        const link = conversation.link(consent.id, consent.questions[0]?.id ?? "");
        assert.equal(link, "https://consent.example/authorize?server=notes");
        const titles: string[] = [];
        const texts: string[] = [];
        const stream = {
            markdown: (text: string) => void texts.push(text),
            progress: () => undefined,
            button: ({ title }: { title: string }) => void titles.push(title),
        };
        const never = new AbortController().signal;
        await answer(line(home), 'ask pay {"to":"*~~a~~<b>"}', stream, never);
        assert.deepEqual(titles, ["Allow pay once", "Refuse pay once"]);
        assert.ok(texts.includes('```text\n{"to":"*~~a~~<b>"}\n```\n\n'), texts.join(""));
        await answer(line(home), "ask $(check)", stream, never);
        assert.equal(titles.at(-1), "Refuse $ (check) once");
    }));

test("a question is offered again if its answer was not sent", () =>
    inHome(async (home) => {
        const conversation = new Conversation();
        const to = Promise.resolve(line(home));
        const asked = await conversation.ask(to, "ask delete_file");
        const id = asked.questions[0]?.id ?? "";
        const refuse = (kind: string, turn: "notRun" | "mayHaveRun") =>
            conversation.answer(Promise.reject(new CupolaError(kind, "no", { turn })), asked.id, id, true);
        assert.equal((await refuse("authenticationFailed", "notRun"))?.status, "failed");
        assert.deepEqual(conversation.turns[0]?.questions, asked.questions);
        assert.equal((await conversation.answer(to, asked.id, id, true))?.text, "Called: delete_file");
        assert.equal(conversation.turns[0]?.questions.length, 0);

        // The daemon answers this when somebody else was faster: nobody can answer any more.
        for (const [kind, turn] of [
            ["conflict", "notRun"],
            ["connectionLost", "mayHaveRun"],
        ] as const) {
            const open = await conversation.ask(to, "ask delete_file");
            const question = open.questions[0]?.id ?? "";
            const refused = Promise.reject(new CupolaError(kind, "no", { turn }));
            await conversation.answer(refused, open.id, question, true);
            assert.equal(conversation.turns.find((known) => known.id === open.id)?.questions.length, 0, kind);
        }
    }));

test("a run that somebody began is shown from its beginning, left without harm, and seen to its end", () =>
    inHome(async (home) => {
        const runId = home
            .cupola("invoke", "--emulator", ...["--user-isolation-key", "tenant-acme"], ...["--detach", "slow 2000 20"])
            .trim();
        const to = Promise.resolve(line(home));
        const conversation = new Conversation();
        const left = conversation.attach(to, runId);
        await eventually("words", () => conversation.turns[0]?.text.startsWith("tick0 tick1") || undefined);
        await conversation.attach(to, runId);
        assert.equal(conversation.turns.length, 1, "it is shown once");
        conversation.cancel();
        await left;
        assert.equal(conversation.turns[0]?.status, "left");
        const { connection } = await to;
        assert.equal((await connection.request("runs/show", { runId })).status, "running");
        const followed = conversation.attach(to, runId);
        await connection.request("runs/cancel", { runId });
        await followed;
        assert.equal(conversation.turns[1]?.status, "cancelled");
        const [row] = runRows((await (await to).request("runs/list", {})).runs, Date.now());
        assert.deepEqual([row?.id, row?.isRunning, row?.icon], [runId, false, "circle-slash"]);
    }));

test("a conversation is cancelled, and a turn fails when the connection cannot be made", () =>
    inHome(async (home) => {
        const conversation = new Conversation();
        const asked = conversation.ask(Promise.resolve(line(home)), "slow 2000 20");
        await eventually("the answer begins", () => conversation.turns[0]?.text || undefined);
        assert.ok(conversation.isRunning);
        conversation.cancel();
        assert.equal((await asked).status, "cancelled");
        assert.ok(!conversation.isRunning);
        const none = await conversation.ask(Promise.reject(new Error("the keys cannot be read")), "hello");
        assert.deepEqual([none.status, none.problem?.message], ["failed", "the keys cannot be read"]);
    }));
