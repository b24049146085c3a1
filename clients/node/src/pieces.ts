// A session's file as bytes: read and written in pieces on the connection, so that no file of this machine is involved.

import { CupolaError } from "./error.js";
import type { AnyLine } from "./line.js";
import type { FileWriteResponse } from "./protocol.js";

/** The bytes of one piece; the daemon takes no more. */
export const PIECE_BYTES = 1024 * 1024;

/** Which file of which session: the isolation's current one, unless one is named. */
export interface SessionFile {
    sessionId?: string;
    path: string;
    allowSharedSession?: boolean;
}

/** Is there such a file or directory? Throws when that cannot be found out. */
export async function exists(line: AnyLine, file: SessionFile): Promise<boolean> {
    try {
        await line.request("files/stat", { ...file });
        return true;
    } catch (error) {
        const failure = CupolaError.from(error);
        if (failure.kind === "notFound") {
            return false;
        }
        throw failure;
    }
}

/** Reads a whole file, all of it from one version. */
export async function readFile(line: AnyLine, file: SessionFile, signal?: AbortSignal): Promise<Uint8Array> {
    const pieces: Buffer[] = [];
    let { sessionId } = file;
    let readId: string | undefined;
    do {
        const more = { ...(sessionId !== undefined && { sessionId }), ...(readId !== undefined && { readId }) };
        const piece = await line.request("files/read", { ...file, keepOpen: true, ...more }, { signal });
        pieces.push(Buffer.from(piece.content, "base64"));
        if (!piece.isLast && piece.readId == null) {
            throw new CupolaError("internalError", "the daemon did not keep the file open");
        }
        readId = piece.readId ?? undefined;
        // Another call may make another session the current one meanwhile.
        sessionId = piece.sessionId;
    } while (readId !== undefined);
    return Buffer.concat(pieces);
}

/** Writes a whole file. The service gets it when the last piece is there, and nothing of it before. */
export async function writeFile(
    line: AnyLine,
    file: SessionFile,
    content: Uint8Array,
    signal?: AbortSignal,
): Promise<FileWriteResponse> {
    const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
    let { sessionId } = file;
    let writeId: string | undefined;
    for (let offset = 0; ; offset += PIECE_BYTES) {
        const end = offset + PIECE_BYTES;
        const isLast = end >= bytes.length;
        const more = { ...(sessionId !== undefined && { sessionId }), ...(writeId !== undefined && { writeId }) };
        const piece = { content: bytes.subarray(offset, end).toString("base64"), isLast, offset };
        const answer = await line.request("files/write", { ...file, ...piece, ...more }, { signal });
        if (isLast) {
            return answer;
        }
        writeId = answer.writeId ?? undefined;
        sessionId = answer.sessionId;
    }
}
