// `npm run conformance`: writes vectors/, from layer.mod by the reference evaluator, and words/vectors/. Inputs and weights are what 32-bit
// floats hold; results are in 64 bits.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compile } from "../src/compiler/compile.js";
import { formatDiagnostics } from "../src/language/diagnostics/format.js";
import { evaluate } from "../src/compiler/reference/evaluate.js";
import { CASES, drawn, type ConformanceCase, type Drawn } from "./cases.js";
import { fileOf, type Vector } from "./safetensors.js";
import { writeWords } from "./words/make.js";

const here = import.meta.dirname;
const HEADS = 2;
/** What layer.mod multiplies the predictor's loss by. */
const PREDICTOR = 0.01;

/** Names of the suite for paths of layer.mod. */
export const nameOf = (path: string): string =>
  path
    .replace(/^layer\.router\.weight$/, "router")
    .replace(/^layer\.inner\./, "inner.")
    .replace(/^layer\.guess\./, "predictor.");

/** The tensors of a case, by name. */
export function vectorsOf(given: ConformanceCase): ReadonlyMap<string, Vector> {
  const training = given.kind === "train";
  const { numerator, denominator } = given.capacity;
  const { program, graph, diagnostics, sources } = compile(readFileSync(join(here, "layer.mod"), "utf8"), {
    file: "layer.mod",
    phase: given.kind,
    set: { capacity: `${numerator}/${denominator}`, gate: JSON.stringify(given.gate) },
    ...(training && { entry: "objective", gradients: true }),
  });
  if (!program || !graph) throw new Error(formatDiagnostics(diagnostics, { sources }));
  const shapes = new Map(program.weights.map(({ path, shape }) => [path, shape]));
  const { x, probe, weights } = drawn(given, shapes);
  const { outputs } = evaluate(graph, {
    inputs: new Map<string, Drawn>([["x", x], ...(training ? [["probe", probe] as const] : [])]),
    weights,
    ...(given.lengths && { lengths: given.lengths }),
  });
  const found = new Map<string, Vector>([
    ["x", x],
    ["probe", probe],
  ]);
  for (const [path, weight] of weights) found.set(nameOf(path), weight);
  for (const [path, { shape, data }] of outputs) {
    const values = Float64Array.from(data);
    if (path === "output") found.set("y", { shape, data: values });
    else if (path === "loss.output") found.set("loss", { shape, data: values });
    else if (path === "loss.layer.predictor")
      found.set("predictor_loss", { shape, data: values.map((v) => v / PREDICTOR) });
    else if (path === "layer.chosen.index") {
      const indices = BigInt64Array.from(values, (v) => BigInt(v));
      const count = outputs.get("layer.chosen.count")!.data;
      const width = shape.at(-1)!;
      found.set("chosen", {
        shape,
        data: indices.map((v, i) => (i % width < count[Math.floor(i / width)]! ? v : -1n)),
      });
    } else if (path.startsWith("grad.")) found.set(`gradients.${nameOf(path.slice(5))}`, { shape, data: values });
  }
  // Of an x with NaN, losses and gradients are NaN: they tell nothing.
  if (x.data.some(Number.isNaN)) for (const name of found.keys()) if (/loss|^gradients/.test(name)) found.delete(name);
  // The objective gives no result of its own: that of the whole layer is another run.
  if (training) found.set("y", resultOf(given, x, weights));
  return found;
}

function resultOf(given: ConformanceCase, x: Drawn, weights: ReadonlyMap<string, Drawn>): Vector {
  const { numerator, denominator } = given.capacity;
  const { graph } = compile(readFileSync(join(here, "layer.mod"), "utf8"), {
    file: "layer.mod",
    set: { capacity: `${numerator}/${denominator}`, gate: JSON.stringify(given.gate) },
  });
  const { outputs } = evaluate(graph!, {
    inputs: new Map([["x", x]]),
    weights,
    ...(given.lengths && { lengths: given.lengths }),
  });
  const { shape, data } = outputs.get("output")!;
  return { shape, data: Float64Array.from(data) };
}

/** What cases.json says of each case. */
export const index = (): string => {
  const lines = CASES.map(({ name, laws, kind, lengths, capacity, gate }) =>
    JSON.stringify({
      name,
      laws,
      kind,
      lengths,
      capacity: [capacity.numerator, capacity.denominator],
      gate,
      heads: HEADS,
      theta: 10000,
      eps: 1e-5,
    }),
  );
  return `[\n  ${lines.join(",\n  ")}\n]\n`;
};

if (process.argv[1] === import.meta.filename) {
  mkdirSync(join(here, "vectors"), { recursive: true });
  writeFileSync(join(here, "vectors", "cases.json"), index());
  CASES.forEach((one) => writeFileSync(join(here, "vectors", `${one.name}.safetensors`), fileOf(vectorsOf(one))));
  const words = writeWords(join(here, "words", "vectors"));
  process.stdout.write(`${CASES.length} cases of layers, ${words} of words\n`);
}
