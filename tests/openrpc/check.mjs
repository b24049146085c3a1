// Checks protocol/schema/openrpc.json against the meta-schemas that the authors of OpenRPC and JSON Schema publish.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { installPackages } from "../../clients/node/scripts/packages.mjs";

installPackages(fileURLToPath(new URL(".", import.meta.url)));
const { Ajv } = await import("ajv");
const { openrpcDocument } = await import("@open-rpc/meta-schema");
const { jsonSchema } = await import("@json-schema-tools/meta-schema");

// The schemas are checked as draft 7. They name their own meta-schema, which is the second one itself.
const ajv = new Ajv({ strict: false, validateSchema: false, validateFormats: false });
ajv.addSchema(jsonSchema, "https://meta.json-schema.tools");
const validate = ajv.compile(openrpcDocument);

const text = readFileSync(new URL("../../protocol/schema/openrpc.json", import.meta.url), "utf8");

/** Each change of the document, and whether the result is valid. The wrong ones show that the validator does say no. */
const cases = [
    ["the document", () => {}, true],
    ["a summary that is a number", (document) => (document.methods[0].summary = 7), false],
    ["a type that does not exist", (document) => (document.components.schemas.Id.type = "word"), false],
];

let failed = 0;
for (const [name, change, isValid] of cases) {
    const document = JSON.parse(text);
    change(document);
    if (validate(document) !== isValid) {
        failed += 1;
        const errors = isValid ? ajv.errorsText(validate.errors) : "it is taken for valid";
        console.log(`FAIL: ${name}\n${errors}`);
    }
}
console.log(`${cases.length - failed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
