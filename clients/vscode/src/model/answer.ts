// One answer, written into somebody else's chat as it comes. Knows of that chat only what it needs.

import { CupolaError, type InvokeEvent, type Line } from "cupola-client";
import { Markdown, markdown } from "./harmless";
import { decision, describe } from "./questions";
import { afterEvent, afterFailure, afterResponse, newTurn } from "./turn";

/** Where the answer goes: a part of VS Code's `ChatResponseStream`. */
export interface AnswerStream {
    markdown(text: string): void;
    progress(text: string): void;
    button(command: { command: string; title: string; arguments: unknown[] }): void;
}

/** Answers a question that was shown in somebody else's chat: the question, and whether it is allowed. */
export const DECIDE = "cupola.decide";

/** Why there is no whole answer, as VS Code's chat takes it. */
export interface AnswerResult {
    errorDetails?: { message: string };
}

export async function answer(
    line: Line,
    question: string,
    stream: AnswerStream,
    signal: AbortSignal,
): Promise<AnswerResult> {
    let turn = newTurn(0, question);
    const shown = new Markdown();
    const onEvent = (event: InvokeEvent) => {
        turn = afterEvent(turn, event);
        if (event.type === "textDelta") {
            stream.markdown(shown.push(event.delta));
        } else if (event.type === "notice") {
            stream.progress(markdown(event.message));
        }
    };
    try {
        turn = afterResponse(
            turn,
            await line.request("invoke", { input: question, textOnly: true }, { signal, onEvent }),
        );
    } catch (error) {
        turn = afterFailure(turn, CupolaError.from(error));
    }
    const rest = shown.end();
    if (rest !== "") {
        stream.markdown(rest);
    }
    for (const question of turn.questions) {
        stream.markdown(`\n\n${markdown(describe(question))}\n\n`);
        for (const detail of [question.arguments, question.url]) {
            if (detail !== undefined) {
                stream.markdown(`${markdown(detail)}\n\n`);
            }
        }
        if (question.kind === "approval") {
            for (const approve of [true, false]) {
                stream.button({ command: DECIDE, title: decision(question, approve), arguments: [question, approve] });
            }
        }
    }
    const { problem } = turn;
    return problem === undefined
        ? {}
        : {
              errorDetails: {
                  message: markdown([problem.message, problem.hint, `(${problem.kind})`].filter(Boolean).join(" ")),
              },
          };
}
