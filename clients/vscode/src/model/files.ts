// The files of a session's home as rows of a tree. Pure: from what the daemon says to what is shown.

import type { FileEntry } from "cupola-client";
import { ACTING } from "cupola-client/display";

/** The home itself, as the service calls it. */
export const HOME = ".";

/** One row. */
export interface FileRow {
    name: string;
    /** Its path in the home. */
    path: string;
    isDirectory: boolean;
    /** Its size, in words; nothing for a directory. */
    description: string;
    /** Bytes. */
    size: number;
    /** ms since 1970. */
    modified: number | undefined;
}

const UNITS = ["bytes", "KB", "MB", "GB"];

/** Directories first, each group by name. Names that could climb out of their directory are left out: the agent chose them. */
export function fileRows(entries: readonly FileEntry[], directory: string): FileRow[] {
    const rows = entries.filter((entry) => isPlainName(entry.name)).map((entry) => fileRow(entry, directory));
    return rows.sort((a, b) => Number(b.isDirectory) - Number(a.isDirectory) || a.name.localeCompare(b.name));
}

/** One entry of a directory. */
export function fileRow(entry: FileEntry, directory: string): FileRow {
    return {
        name: entry.name,
        path: join(directory, entry.name),
        isDirectory: entry.is_directory,
        description: entry.is_directory ? "" : size(entry.size),
        size: entry.size,
        modified: entry.modified_time == null ? undefined : entry.modified_time * 1000,
    };
}

/** The path of a name in a directory of the home. */
export function join(directory: string, name: string): string {
    return directory === HOME ? name : `${directory}/${name}`;
}

/** The directory that a path is in. */
export function parent(path: string): string {
    const slash = path.lastIndexOf("/");
    return slash < 0 ? HOME : path.slice(0, slash);
}

/** The last part of a path. */
export function baseName(path: string): string {
    return path.slice(path.lastIndexOf("/") + 1);
}

/** Can it be the name of one file in a directory, here and at the service? */
export function isPlainName(name: string): boolean {
    return name !== "" && name !== "." && name !== ".." && !/[/\\\p{Cc}]/u.test(name);
}

/** What a name may not have in a document's address: VS Code shows the name as it is, in messages where it may be a link. */
const UNSAFE = new RegExp(String.raw`%(?=[0-9A-F]{2})|${ACTING}|(?<=[\]$])\(`, "gu");

/** A name as a part of a document's address: what would act there is percent-encoded. */
export function toSegment(name: string): string {
    return name.replace(UNSAFE, (unsafe) => (unsafe === "(" ? "%28" : encodeURIComponent(unsafe)));
}

/** The name that `toSegment` was given. */
export function fromSegment(segment: string): string {
    try {
        return segment.replace(/(?:%[0-9A-F]{2})+/g, decodeURIComponent);
    } catch {
        // Somebody else's address.
        return segment;
    }
}

/** `1 byte`, `1.5 KB`, `48 MB`. */
export function size(bytes: number): string {
    let amount = bytes;
    let unit = 0;
    while (amount >= 1024 && unit < UNITS.length - 1) {
        amount /= 1024;
        unit += 1;
    }
    const digits = unit > 0 && amount < 10 ? 1 : 0;
    return bytes === 1 ? "1 byte" : `${amount.toFixed(digits)} ${UNITS[unit] ?? ""}`;
}
