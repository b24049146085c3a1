// `cupola acp` with the TypeScript SDK of the Agent Client Protocol, which checks every message against the protocol's schema.
//
//     node sdk.mjs BINARY WORK ENDLESS RECALL FLAG...
//
// Takes one session through a daemon's restart and an editor's, and prints what was seen as JSON.

import { spawn } from "node:child_process";
import { Readable, Writable } from "node:stream";
import { client, methods, ndJsonStream, PROTOCOL_VERSION } from "@agentclientprotocol/sdk";

const [binary, cwd, endless, recall, ...flags] = process.argv.slice(2);

/** Starts the agent, greets it, and does something with it. */
async function editor(work) {
  const child = spawn(binary, ["acp", ...flags], { stdio: ["pipe", "pipe", "inherit"] });
  const updates = [];
  let came = () => {};
  const app = client({ name: "proof" }).onNotification(methods.client.session.update, ({ params }) => {
    updates.push(params.update);
    came();
  });
  const stream = ndJsonStream(Writable.toWeb(child.stdin), Readable.toWeb(child.stdout));
  const done = await app.connectWith(stream, async (agent) => {
    const greeted = await agent.request(methods.agent.initialize, {
      protocolVersion: PROTOCOL_VERSION,
      clientCapabilities: {},
    });
    if (greeted.protocolVersion !== PROTOCOL_VERSION || !greeted.agentCapabilities.loadSession) {
      throw new Error(`an unexpected greeting: ${JSON.stringify(greeted)}`);
    }
    return work({
      agent,
      updates,
      prompt: (sessionId, text) =>
        agent.request(methods.agent.session.prompt, { sessionId, prompt: [{ type: "text", text }] }),
      until: async (kind) => {
        while (!updates.some((update) => update.sessionUpdate === kind)) {
          await new Promise((resolve) => (came = resolve));
        }
      },
      said: (kind = "agent_message_chunk") => {
        const texts = {};
        for (const update of updates.splice(0)) {
          if (update.sessionUpdate === kind) {
            texts[update.messageId] = (texts[update.messageId] ?? "") + update.content.text;
          }
        }
        return texts;
      },
    });
  });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  child.stdin.end();
  await ended;
  return done;
}

/** The error's code and kind. */
async function refusal(call) {
  try {
    await call;
    return null;
  } catch (error) {
    return { code: error.code, kind: error.data?.kind, turn: error.data?.turn };
  }
}

function restartDaemon() {
  const stop = spawn(binary, ["stop", "--force"], { stdio: "ignore" });
  return new Promise((resolve) => stop.on("exit", resolve));
}

const seen = {};
const { sessionId, first, second } = await editor(async ({ agent, prompt, said }) => {
  const { sessionId } = await agent.request(methods.agent.session.new, { cwd, mcpServers: [] });
  seen.ended = (await prompt(sessionId, "remember the milk")).stopReason;
  const first = said();
  await restartDaemon();
  await prompt(sessionId, "remember the bread");
  return { sessionId, first, second: said() };
});
await editor(async ({ agent, prompt, said, until, updates }) => {
  const listed = await agent.request(methods.agent.session.list, { cwd });
  seen.titles = listed.sessions.filter((each) => each.sessionId === sessionId).map((each) => each.title);
  await agent.request(methods.agent.session.load, { sessionId, cwd, mcpServers: [] });
  seen.isReplayed = JSON.stringify(said()) === JSON.stringify({ ...first, ...second });
  await prompt(sessionId, recall);
  seen.recalled = Object.values(said()).join("");
  const turn = prompt(sessionId, endless);
  await until("agent_message_chunk");
  await agent.notify(methods.agent.session.cancel, { sessionId });
  seen.cancelled = (await turn).stopReason;
  updates.length = 0;
  seen.failed = await refusal(prompt(sessionId, "fail"));
  seen.elsewhere = await refusal(
    agent.request(methods.agent.session.load, { sessionId, cwd: `${cwd}/elsewhere`, mcpServers: [] }),
  );
  await agent.request(methods.agent.session.delete, { sessionId });
  seen.gone = await refusal(agent.request(methods.agent.session.load, { sessionId, cwd, mcpServers: [] }));
});
console.log(JSON.stringify(seen));
