// `files/*`: the files of a session's home, which outlive its sandbox. `read` and `write` are about bytes in memory; for
// `upload` and `download` the daemon reads and writes files of this machine.

import { basename, resolve } from "node:path";
import { Calls, type Options } from "../calls.js";
import { readFile, writeFile } from "../pieces.js";
import type {
    FileEntry,
    FileEvent,
    FileListResponse,
    FilePathResponse,
    FileTransferResponse,
    FileWriteResponse,
} from "../protocol.js";

/** How far a transfer is: the bytes so far, and all of them if known. */
export interface Progress {
    /** Called as bytes are transferred. */
    onProgress?: ((bytes: number, totalBytes: number | undefined) => void) | undefined;
}

type Transfer = "files/upload" | "files/download";
type SessionOptions = Options<"files/stat", "path" | "debug">;

/** Paths are below the session's home. Without `sessionId`, the isolation's current session is used. */
export class Files extends Calls {
    /** All bytes of a file, and all of one version of it. */
    read(path: string, { signal, ...session }: SessionOptions = {}): Promise<Uint8Array> {
        return readFile(this.line, { path, ...session }, signal);
    }

    /** Writes a file. An existing one is replaced when all bytes have arrived, and unchanged until then. */
    write(
        path: string,
        content: Uint8Array | string,
        { signal, ...session }: SessionOptions = {},
    ): Promise<FileWriteResponse> {
        const bytes = typeof content === "string" ? Buffer.from(content) : content;
        return writeFile(this.line, { path, ...session }, bytes, signal);
    }

    /**
     * Copies a local file into the home, under its own name unless `path` is given. With `recursive` it may be a directory:
     * the result's `tree` says what was copied and what failed.
     */
    upload(
        localPath: string,
        options: Options<"files/upload", "localPath"> & Progress = {},
    ): Promise<FileTransferResponse> {
        return this.#transfer("files/upload", { localPath: resolve(localPath), ...options });
    }

    /**
     * Copies a file of the home to this machine: under the same name in the working directory, unless `localPath` is given.
     * An existing file is replaced when the last byte has arrived. With `recursive` it may be a directory.
     */
    download(
        path: string,
        { localPath, ...options }: Partial<Options<"files/download", "path">> & Progress = {},
    ): Promise<FileTransferResponse> {
        return this.#transfer("files/download", { path, localPath: resolve(localPath ?? basename(path)), ...options });
    }

    /** What is directly in a directory: the home, unless `path` is given. */
    list(options: Options<"files/list"> = {}): Promise<FileListResponse> {
        return this.scoped("files/list", options);
    }

    /** One file or directory. */
    stat(path: string, options: Options<"files/stat", "path"> = {}): Promise<FileEntry> {
        return this.scoped("files/stat", { path, ...options });
    }

    /** Creates a directory and its parents. Not every service offers it: then the error is `notOffered`. */
    mkdir(path: string, options: Options<"files/mkdir", "path"> = {}): Promise<FilePathResponse> {
        return this.scoped("files/mkdir", { path, ...options });
    }

    /** Deletes a file or an empty directory; with `recursive`, a directory and everything in it. */
    delete(path: string, options: Options<"files/delete", "path"> = {}): Promise<FilePathResponse> {
        return this.scoped("files/delete", { path, ...options });
    }

    #transfer<M extends Transfer>(method: M, options: Options<M> & Progress): Promise<FileTransferResponse> {
        const { signal, onProgress, ...params } = options;
        const onEvent = (event: FileEvent) => {
            if (event.type === "progress") {
                onProgress?.(event.bytes, event.totalBytes);
            }
        };
        const call = { signal, ...(onProgress && { onEvent }) };
        return this.line.request<Transfer>(method, params as unknown as Options<Transfer>, call);
    }
}
