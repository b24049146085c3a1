// A session's file as bytes: read and written in pieces on the connection, so that no file of this machine is involved.
// Knows nothing of VS Code.

import { Failure } from "./failure";
import type { Line } from "./line";

/** The bytes of one piece; the daemon takes no more. */
export const PIECE_BYTES = 1024 * 1024;

/** Which file of which session. */
export interface SessionFile {
    sessionId: string;
    path: string;
}

/** Is there such a file or directory? Throws when that cannot be found out. */
export async function exists(line: Line, file: SessionFile): Promise<boolean> {
    try {
        await line.request("files/stat", { ...file });
        return true;
    } catch (error) {
        const failure = Failure.from(error);
        if (failure.kind === "notFound") {
            return false;
        }
        throw failure;
    }
}

/** Reads a whole file, all of it from one version. */
export async function readFile(line: Line, file: SessionFile): Promise<Uint8Array> {
    const pieces: Buffer[] = [];
    let readId: string | undefined;
    do {
        const more = readId === undefined ? {} : { readId };
        const piece = await line.request("files/read", { ...file, keepOpen: true, ...more });
        pieces.push(Buffer.from(piece.content, "base64"));
        if (!piece.isLast && piece.readId == null) {
            throw new Error("the daemon did not keep the file open");
        }
        readId = piece.readId ?? undefined;
    } while (readId !== undefined);
    return Buffer.concat(pieces);
}

/** Writes a whole file. The service gets it when the last piece is there, and nothing of it before. */
export async function writeFile(line: Line, file: SessionFile, content: Uint8Array): Promise<void> {
    const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
    let writeId: string | undefined;
    for (let offset = 0, isLast = false; !isLast; offset += PIECE_BYTES) {
        const end = offset + PIECE_BYTES;
        isLast = end >= bytes.length;
        const more = writeId === undefined ? {} : { writeId };
        const piece = bytes.subarray(offset, end).toString("base64");
        const answer = await line.request("files/write", { ...file, content: piece, isLast, offset, ...more });
        writeId = answer.writeId ?? undefined;
    }
}
