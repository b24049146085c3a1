#!/usr/bin/env node
// Runs the program of the package for this platform, as if it had been called directly.

const { spawn } = require("node:child_process");

/** Signals that a terminal or a supervisor sends. The program decides what each one means. */
const PASSED_ON = ["SIGINT", "SIGTERM", "SIGHUP"];

const name = `@cupola/cli-${process.platform}-${process.arch}`;
const file = process.platform === "win32" ? "cupola.exe" : "cupola";

let program;
try {
    program = require.resolve(`${name}/bin/${file}`);
} catch {
    console.error(`error: the package ${name}, which contains the program for this platform, is not installed`);
    console.error("hint: install @cupola/cli again without --omit=optional; if there is no such package, build Cupola with cargo");
    process.exit(1);
}

const child = spawn(program, process.argv.slice(2), { stdio: "inherit" });
// A terminal sends Ctrl-C to both processes, so only what was sent to this one alone is passed on.
for (const signal of PASSED_ON) {
    process.on(signal, () => signal === "SIGINT" || child.kill(signal));
}
child.on("error", (error) => {
    console.error(`error: ${program} does not start: ${error.message}`);
    process.exit(1);
});
child.on("exit", (code, signal) => {
    if (signal !== null) {
        PASSED_ON.forEach((each) => process.removeAllListeners(each));
        process.kill(process.pid, signal);
    } else {
        process.exit(code);
    }
});
