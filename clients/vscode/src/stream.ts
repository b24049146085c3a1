// The daemon's socket as a stream of messages, in LSP's framing.

import { connect, type Socket } from "node:net";
import { type Message, StreamMessageReader, SocketMessageWriter } from "vscode-jsonrpc/node";
import { Failure } from "./failure";

/** The longest message in both directions: the protocol's own limit. */
export const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

/** Messages in both directions. */
export interface Stream {
    reader: StreamMessageReader;
    writer: SocketMessageWriter;
    /** Ends it, whatever is under way. */
    destroy(): void;
}

/** Connects to a Unix socket, or to a named pipe on Windows. */
export async function openStream(path: string): Promise<Stream> {
    const socket = await reach(path);
    return {
        reader: new StreamMessageReader(socket, { contentTypeDecoder: decoder }),
        writer: new SocketMessageWriter(socket),
        destroy: () => socket.destroy(),
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
                new Failure("daemonUnavailable", `nothing answers at the daemon's socket: ${error.message}`, {
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
