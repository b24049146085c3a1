// Where the project is, for tests that read its files. They run from build/test.

import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../../..", import.meta.url));
