// Whose state: the fields an isolation has, what may be typed for each, and how it is shown without showing a key.

import type { Isolation } from "cupola-client";

/** A field that a person fills in. */
export interface Field {
    name: "userKey" | "chatKey" | "userIdentity" | "chat" | "ownershipKey";
    /** As people call it. */
    label: string;
    /** In the status bar. */
    short: string;
    /** What it does. */
    about: string;
    /** A codicon's name. */
    icon: string;
    /** Is its value kept off the screen? */
    secret: boolean;
    /** What is wrong with a value. */
    problem(value: string): string | undefined;
}

/** The service states no limit; Cupola's is 1 KiB. */
const MAX_KEY_BYTES = 1024;
const MAX_LABEL = 128;
/** Shown in place of a value; says nothing of its length. */
export const MASK = "••••";

const hasControl = (value: string) => /\p{Cc}/u.test(value);

function problemWithKey(value: string): string | undefined {
    const fits = new TextEncoder().encode(value).length <= MAX_KEY_BYTES;
    return fits && value.trim() === value && !hasControl(value)
        ? undefined
        : "At most 1024 bytes, without control characters and without blanks at either end";
}

export const FIELDS: readonly Field[] = [
    {
        name: "userKey",
        label: "User isolation key",
        short: "user",
        about: "Separates users: x-agent-user-isolation-key",
        icon: "person",
        secret: true,
        problem: problemWithKey,
    },
    {
        name: "chatKey",
        label: "Chat isolation key",
        short: "chat",
        about: "Separates one user's chats: x-agent-chat-isolation-key",
        icon: "comment-discussion",
        secret: true,
        problem: problemWithKey,
    },
    {
        name: "userIdentity",
        label: "User identity",
        short: "identity",
        about: "On whose behalf, for agents of container protocol 2.0.0: x-ms-user-identity",
        icon: "account",
        secret: true,
        problem: (value) =>
            /^[A-Za-z0-9._:@-]{1,256}$/.test(value) ? undefined : "1 to 256 characters of A-Z a-z 0-9 . _ : - @",
    },
    {
        name: "chat",
        label: "Chat label",
        short: "label",
        about: "Separates saved sessions and conversations on this machine only; never sent",
        icon: "tag",
        secret: false,
        problem: (value) =>
            [...value].length <= MAX_LABEL && !hasControl(value)
                ? undefined
                : "At most 128 characters, without control characters",
    },
    {
        name: "ownershipKey",
        label: "Session ownership key",
        short: "owner",
        about: "Who may delete a session: x-session-isolation-key, when one is created or deleted",
        icon: "key",
        secret: true,
        problem: problemWithKey,
    },
];

/** A field's value as it may be shown. */
export function shown(field: Field, isolation: Isolation): string | undefined {
    const value = isolation[field.name];
    return value === undefined ? undefined : field.secret ? MASK : value;
}

/** `user ••••, label review`, or that there is none. */
export function describe(isolation: Isolation): string {
    const parts = FIELDS.flatMap((field) => {
        const value = shown(field, isolation);
        return value === undefined ? [] : [`${field.short} ${value}`];
    });
    return parts.length === 0 ? "no isolation" : parts.join(", ");
}

/** The same isolation with one field set, or taken away by an empty value. */
export function withField(isolation: Isolation, name: Field["name"], value: string): Isolation {
    const { [name]: _, ...rest } = isolation;
    return value === "" ? rest : { ...rest, [name]: value };
}
