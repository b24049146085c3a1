// Files and directories on their way between this machine and a session: how far they are, how to end them, what was left
// behind.

import type { FileEvent, Line, Params } from "cupola-client";
import { size } from "../model/files";
import type { Problems } from "../problem";
import type { Transfer } from "../scope";
import { progress } from "../show";

/** What is over so soon needs no notification, which would only flash. */
const SOON_MS = 400;

/** Transfers one file or directory under a title such as `Uploading plan.md`. */
export async function transfer<M extends Transfer>(
    problems: Problems,
    line: Line,
    method: M,
    params: Params<M>,
    title: string,
): Promise<void> {
    const cancel = new AbortController();
    let message = "";
    let show = () => {};
    const onEvent = (event: FileEvent) => {
        if (event.type === "progress") {
            message = far(event.bytes, event.totalBytes);
            show();
        }
    };
    const transferring = line.request<Transfer>(method, params, { signal: cancel.signal, onEvent });
    if (!(await isOverWithin(SOON_MS, transferring))) {
        await progress(
            title,
            () => cancel.abort(),
            (report) => {
                show = () => report(message);
                show();
                return transferring;
            },
        );
    }
    const { tree } = await transferring;
    const failed = (tree?.failures ?? []).map(({ path, message }) => `${path}: ${message}`);
    const behind = [...failed, ...(tree?.skipped ?? [])];
    if (tree !== undefined && behind.length > 0) {
        const what = behind.length === 1 ? behind[0] : `${behind.length} others were not`;
        problems.warn(
            `${title}: ${tree.files === 1 ? "1 file is" : `${tree.files} files are`} there. Not so ${what}`,
            behind,
        );
    }
}

function far(bytes: number, all: number | undefined): string {
    return all === undefined ? size(bytes) : `${size(bytes)} of ${size(all)}`;
}

function isOverWithin(milliseconds: number, work: Promise<unknown>): Promise<boolean> {
    return new Promise((resolve) => {
        const timer = setTimeout(() => resolve(false), milliseconds);
        const over = () => {
            clearTimeout(timer);
            resolve(true);
        };
        work.then(over, over);
    });
}
