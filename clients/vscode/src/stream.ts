// The daemon's socket as a stream of messages, in LSP's framing.

import { connect, type Socket } from "node:net";
import { SocketMessageReader, SocketMessageWriter } from "vscode-jsonrpc/node";
import { Failure } from "./failure";

/** Messages in both directions. */
export interface Stream {
    reader: SocketMessageReader;
    writer: SocketMessageWriter;
    /** Ends it, whatever is under way. */
    destroy(): void;
}

/** Connects to a Unix socket, or to a named pipe on Windows. */
export async function openStream(path: string): Promise<Stream> {
    const socket = await reach(path);
    return {
        reader: new SocketMessageReader(socket),
        writer: new SocketMessageWriter(socket),
        destroy: () => socket.destroy(),
    };
}

function reach(path: string): Promise<Socket> {
    return new Promise((resolve, reject) => {
        const socket = connect(path);
        const fail = (error: Error) =>
            reject(
                new Failure("daemonUnavailable", `nobody answers at the daemon's socket: ${error.message}`, {
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
