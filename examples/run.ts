// The public API in one page: compile a model, put it on a device, run it on text. From the checkout:
// npx tsx examples/run.ts "Call me"
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { compile, formatDiagnostics } from "modc";
import { load, openDevice } from "modc/runtime";

const folder = import.meta.dirname;
const file = "moby.mod";

// The compiler reads no files: it is given the source, and asks for what the source imports.
const read = (path: string): string | null =>
  existsSync(join(folder, path)) ? readFileSync(join(folder, path), "utf8") : null;
const { program, diagnostics, sources } = compile(readFileSync(join(folder, file), "utf8"), {
  phase: "infer",
  file,
  read,
  set: { context: 128 }, // a parameter of the model; others than the context and the capacity change its weights
});
if (diagnostics.length > 0) console.error(formatDiagnostics(diagnostics, { sources }));
if (!program) process.exit(1);

const device = await openDevice(); // Dawn in Node; in a page navigator.gpu
console.error(`running on ${device.info.name}`);

// Weights: the path of a safetensors file, or its bytes; or undefined and a `seed`: untrained values.
const session = await load(program, device, join(folder, "moby.safetensors"), { max: { B: 1, T: 64 } });

const text = new TextEncoder().encode(process.argv[2] ?? "Call me").subarray(0, 64);
const results = await session.run(
  { tokens: { data: text, shape: [1, text.length] } },
  { observe: ["layers.1.chosen"] },
);

const { data, shape } = results["output"]!; // logits, f32[1, T, 256]
const vocab = shape[2]!;
const last = Array.from(data.subarray((text.length - 1) * vocab));
const next = last.indexOf(Math.max(...last));
console.log("most likely next byte:", next, JSON.stringify(String.fromCharCode(next)));
console.log("tokens that took layer 1:", results["layers.1.chosen.index"]!.toArray());

session.dispose();
device.destroy();
