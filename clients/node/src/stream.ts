// The daemon's socket as a stream of messages, in LSP's framing.

import { connect, type Socket } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type Message, type MessageStrategy, SocketMessageWriter, StreamMessageReader } from "vscode-jsonrpc/node";
import { CupolaError } from "./error.js";

/** The longest message in both directions: the protocol's own limit. */
export const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

/**
 * The library decodes a message in one turn of the event loop and handles it in a later one. After this many turns without
 * either, no message waits.
 */
const QUIET_TURNS = 4;

/** Messages in both directions. */
export interface Stream {
    reader: StreamMessageReader;
    writer: SocketMessageWriter;
    /** What a connection on this stream must be given, so that `drained` knows what it has handled. */
    strategy: MessageStrategy;
    /** Waits until every message that has arrived was handled. */
    drained(): Promise<void>;
    /** Ends it, whatever is under way. */
    destroy(): void;
    /** Whether it keeps the process running. */
    hold(isHeld: boolean): void;
}

/** Connects to a Unix socket, or to a named pipe on Windows. */
export async function openStream(path: string): Promise<Stream> {
    const socket = await reach(path);
    let steps = 0;
    const counted = {
        ...decoder,
        decode: (bytes: Uint8Array) => {
            steps += 1;
            return decoder.decode(bytes);
        },
    };
    return {
        reader: new StreamMessageReader(socket, { contentTypeDecoder: counted }),
        writer: new SocketMessageWriter(socket),
        strategy: {
            handleMessage: (message, next) => {
                steps += 1;
                next(message);
            },
        },
        drained: async () => {
            for (let seen = steps, quiet = 0; quiet < QUIET_TURNS; seen = steps) {
                await nextTurn();
                quiet = steps === seen ? quiet + 1 : 0;
            }
        },
        destroy: () => socket.destroy(),
        hold: (isHeld) => (isHeld ? socket.ref() : socket.unref()),
    };
}

/** Reads a message; one that is too long ends the connection, as do bytes that are not a message. */
const decoder = {
    name: "application/json",
    decode: (bytes: Uint8Array): Promise<Message> => {
        if (bytes.length > MAX_MESSAGE_BYTES) {
            return Promise.reject(new Error(`the daemon sent a message of more than ${MAX_MESSAGE_BYTES} bytes`));
        }
        // What JSON cannot read is an error of the promise, too.
        return new Promise((resolve) => resolve(JSON.parse(new TextDecoder().decode(bytes)) as Message));
    },
};

function reach(path: string): Promise<Socket> {
    return new Promise((resolve, reject) => {
        const socket = connect(path);
        const fail = (error: Error) =>
            reject(
                new CupolaError("daemonUnavailable", `nothing answers at the daemon's socket: ${error.message}`, {
                    hint: "run `cupola serve` in a terminal to see what is wrong",
                    retryable: true,
                }),
            );
        socket.once("error", fail);
        socket.once("connect", () => {
            socket.off("error", fail);
            resolve(socket);
        });
    });
}
