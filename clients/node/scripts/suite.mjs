// Runs files of tests, and ends with one line: `N passed, M failed`. The extension's tests run with it, too.

import { run } from "node:test";
import { spec } from "node:test/reporters";

/** A suite without a test that passed has failed. */
export function runSuite(options) {
    let passed = 0;
    let failed = 0;
    const tests = run(options);
    tests.on("test:pass", (test) => (passed += test.details.type === "suite" ? 0 : 1));
    tests.on("test:fail", (test) => (failed += test.details.type === "suite" ? 0 : 1));
    tests.compose(spec).pipe(process.stdout);
    process.once("exit", () => {
        process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
        console.log(`${passed} passed, ${failed} failed`);
    });
}
