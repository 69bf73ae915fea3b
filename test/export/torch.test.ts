// Exported folders in PyTorch against the reference: results, losses, gradients and routes of the examples. Skipped,
// and saying so, where Python has no torch.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { Model } from "../../src/check/model.js";
import { existing, type Answer } from "./answers.js";
import { exported } from "./versions.js";
import { saveTensors } from "../../src/runtime/node.js";
import { furthest, randomInput, randomTokens, randomWeights, reference, type Case } from "../end-to-end/model.js";
import { optimized } from "../optimized.js";
import { askTorch, hasTorch, torchNote } from "../pytorch.js";

const SCRIPT = new URL("exported.py", import.meta.url);
/** Both sides compute in 64 bits, of weights in 32. */
const TOLERANCE = 1e-7;
const [BATCH, TOKENS] = [3, 21];
const LENGTHS = [TOKENS, 13, 0];

interface Example {
  readonly name: string;
  readonly set: Readonly<Record<string, string>>;
}

const small = { dim: "24", heads: "3", kv_heads: "1", hidden: "40", vocab: "64" };
const EXAMPLES: readonly Example[] = [
  { name: "golden", set: {} },
  { name: "moby", set: { depth: "4", dim: "32", vocab: "64" } },
  { name: "llama", set: { ...small, depth: "2" } },
  { name: "smollm-mod", set: { ...small, depth: "4" } },
  { name: "p-mod", set: { dim: "24", heads: "3", hidden: "40" } },
  { name: "lora", set: { dim: "32", depth: "2", vocab: "64", rank: "2" } },
];

interface Call {
  readonly phase: "infer" | "generate" | "train";
  readonly entry: "forward" | "objective";
  readonly lengths: readonly number[] | null;
}

const root = mkdtempSync(join(tmpdir(), "modc-export-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const sourceOf = (name: string): string => readFileSync(new URL(`../../examples/${name}.mod`, import.meta.url), "utf8");

/** Those of `golden` are whole numbers, so that many scores are equal. */
function inputsOf(model: Model): Case["inputs"] {
  const whole = ({ shape, data }: Case["inputs"][string]): Case["inputs"][string] => ({
    shape,
    data: model.name === "Golden" ? data.map(Math.round) : data,
  });
  return Object.fromEntries(
    model.inputs.map(({ name, type }, i) => {
      const shape = type.shape.map((size, dim) => (typeof size === "number" ? size : dim === 0 ? BATCH : TOKENS));
      return [name, type.dtype === "f32" ? whole(randomInput(shape, 5 + i)) : randomTokens(shape, 64, 5 + i)];
    }),
  );
}

describe.skipIf(!hasTorch)(`PyTorch${torchNote}`, { timeout: 240_000 }, () => {
  it.each(EXAMPLES)("$name has the results, losses, gradients and routes of the reference", async ({ name, set }) => {
    const source = sourceOf(name);
    const { models, files } = exported(source, { set });
    const weights = randomWeights(models[0], 3);
    const folder = mkdtempSync(join(root, `${name}-`));
    for (const [file, text] of files) writeFileSync(join(folder, file), text);
    const stored = models[0].weights.map(({ path, keys, shape }) => ({
      key: keys[0] ?? path,
      dtype: "F32",
      shape,
      read: async () => new Uint8Array(weights.get(path)!.data.buffer),
    }));
    await saveTensors(join(folder, "model.safetensors"), stored);
    const calls = models.flatMap(({ phase, entry }): readonly Call[] =>
      [null, LENGTHS].map((lengths) => ({ phase, entry, lengths })),
    );
    const inputs = calls.map((call) => inputsOf(models.find((m) => m.phase === call.phase && m.entry === call.entry)!));
    const [answer] = await askTorch<Answer>(SCRIPT, [
      {
        folder,
        calls: calls.map(({ phase, entry, lengths }, i) => ({
          inputs: Object.fromEntries(
            Object.entries(inputs[i]!).map(([n, { shape, data }]) => [
              n,
              { shape, data: Array.from(data), float: data instanceof Float32Array },
            ]),
          ),
          lengths,
          causal: phase === "generate",
          objective: entry === "objective",
          training: phase === "train",
        })),
      },
    ]);
    calls.forEach(({ phase, entry, lengths }, i) => {
      const { graph } = optimized(source, { set, phase, entry, gradients: phase === "train" });
      const given = { inputs: inputs[i]!, ...(lengths ? { lengths: Uint32Array.from(lengths) } : {}) };
      const { outputs } = reference(graph, weights, given);
      const { results, gradients, routes, stepped } = answer!.calls[i]!;
      const where = `${name} ${phase} ${entry} ${lengths ? "with lengths" : ""}`;
      const close = (actual: readonly number[], wanted: ArrayLike<number>, what: string): void => {
        const expected = existing(wanted, lengths, [BATCH, TOKENS]);
        const largest = expected.reduce((m, v) => Math.max(m, Math.abs(v)), 1);
        const { ratio, text } = furthest(existing(actual, lengths, [BATCH, TOKENS]), expected, TOLERANCE * largest, 0);
        expect(ratio, `${where} ${what} ${text}`).toBeLessThan(1);
      };
      for (const [result, values] of Object.entries(results))
        close(values, outputs.get(entry === "objective" ? `loss.${result}` : result)!.data, result);
      for (const [path, values] of Object.entries(gradients)) close(values, outputs.get(`grad.${path}`)!.data, path);
      for (const [path, rows] of Object.entries(routes)) {
        const [index, count] = [outputs.get(`${path}.index`)!, outputs.get(`${path}.count`)!];
        const wanted = rows.map((_, b) => Array.from(index.data.slice(b * index.shape[1]!)).slice(0, count.data[b]));
        expect(rows, `${where} ${path}`).toEqual(wanted);
      }
      expect(stepped !== null, where).toBe(phase === "generate" && entry === "forward");
      if (stepped) {
        close(stepped.output, outputs.get("output")!.data, "step by step");
        // A cache of each layer: the tokens that took its route, of dense layers all.
        const routed = Object.values(routes).map((rows) => rows.map((row) => row.length));
        const dense = lengths ?? Array.from({ length: BATCH }, () => TOKENS);
        const counts = new Set([...routed, dense].map(String));
        expect(new Set(stepped.counts.map(String)), where).toEqual(counts);
      }
      const made = [...outputs.keys()].filter((key) => /^(output|loss\.|grad\.)|\.index$/.test(key)).length;
      expect(Object.keys({ ...results, ...gradients, ...routes }).length, where).toBe(made);
    });
  });
});
