// The package's version, which the client tells the daemon. A test compares it with package.json.

export const VERSION = "0.1.0";
