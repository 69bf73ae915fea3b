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
import { NAMES, setOf } from "../semantics/variant-sources.js";
import { askTorch, hasTorch, torchNote } from "../pytorch.js";
import { byTurns } from "../soak.js";

const SCRIPT = new URL("exported.py", import.meta.url);
/** Both sides compute in 64 bits, of weights in 32. */
const TOLERANCE = 1e-7;
const [BATCH, TOKENS] = [3, 21];
const LENGTHS = [TOKENS, 13, 0];
/** Of a model whose function is not finite where there are no tokens. */
const SOME = [TOKENS, 13, 5];

interface Example {
  readonly name: string;
  readonly set: Readonly<Record<string, string>>;
  /** Whether skipped tokens are keys all the same. */
  readonly keysOfAll?: boolean;
}

const small = { dim: "24", heads: "3", kv_heads: "1", hidden: "40", vocab: "64" };
/** Variants in which they are. */
const KEYS_OF_ALL = new Set(["flexi-depth", "router-tuning", "gate-skip", "skip-gpt", "d-llm", "early-exit"]);
const EXAMPLES: readonly Example[] = [
  { name: "golden", set: {} },
  { name: "moby", set: { depth: "4", dim: "32", vocab: "64" } },
  { name: "llama", set: { ...small, depth: "2" } },
  { name: "smollm-mod", set: { ...small, depth: "4" } },
  { name: "p-mod", set: { dim: "24", heads: "3", hidden: "40" } },
  { name: "lora", set: { dim: "32", depth: "2", vocab: "64", rank: "2" } },
  { name: "moe", set: { dim: "32", vocab: "64", hidden: "24", depth: "2" } },
  { name: "mode", set: { dim: "32", vocab: "64", hidden: "24", depth: "2" } },
  { name: "mode", set: { staged: "false", dim: "32", vocab: "64", hidden: "24", depth: "2" } },
  { name: "mor", set: { ...small, layers: "2", recursions: "3" } },
  { name: "mor", set: { ...small, layers: "2", recursions: "3", share_kv: "true" }, keysOfAll: true },
  ...byTurns(NAMES, 4, 1).map((name) => {
    const set = setOf(name);
    const keysOfAll = KEYS_OF_ALL.has(name);
    // Their tokens and labels are below 64.
    const classes = "vocab" in set ? { vocab: "64" } : name === "a-mod" ? { classes: "64" } : {};
    return { name: `variants/${name}`, set: { ...set, ...classes }, keysOfAll };
  }),
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
      const below = type.dtype === "bool" ? 2 : 64;
      return [name, type.dtype === "f32" ? whole(randomInput(shape, 5 + i)) : randomTokens(shape, below, 5 + i)];
    }),
  );
}

describe.skipIf(!hasTorch)(`PyTorch${torchNote}`, { timeout: 240_000 }, () => {
  it.each(EXAMPLES)(
    "$name has the results, losses, gradients and routes of the reference",
    async ({ name, set, keysOfAll = false }) => {
      const source = sourceOf(name);
      const { models, files } = exported(source, { set });
      const weights = randomWeights(models[0], 3);
      const folder = mkdtempSync(join(root, "example-"));
      for (const [file, text] of files) writeFileSync(join(folder, file), text);
      const stored = models[0].weights.map(({ path, keys, shape }) => ({
        key: keys[0] ?? path,
        dtype: "F32",
        shape,
        read: async () => new Uint8Array(weights.get(path)!.data.buffer),
      }));
      await saveTensors(join(folder, "model.safetensors"), stored);
      // What is drawn at random differs.
      const drawn = /random_uniform|dropout/.test(source);
      const calls = models.flatMap(({ phase, entry }): readonly Call[] =>
        (phase === "train" && drawn ? [] : [null, name === "variants/colt5" ? SOME : LENGTHS]).map((lengths) => ({
          phase,
          entry,
          lengths,
        })),
      );
      const inputTypes = new Map(models.flatMap((m) => m.inputs.map((x) => [x.name, x.type.dtype] as const)));
      const inputs = calls.map((call) =>
        inputsOf(models.find((m) => m.phase === call.phase && m.entry === call.entry)!),
      );
      const [answer] = await askTorch<Answer>(SCRIPT, [
        {
          folder,
          calls: calls.map(({ phase, entry, lengths }, i) => ({
            inputs: Object.fromEntries(
              Object.entries(inputs[i]!).map(([n, { shape, data }]) => [
                n,
                { shape, data: Array.from(data), dtype: inputTypes.get(n)! },
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
        const { results, gradients, states, routes, choices, stepped } = answer!.calls[i]!;
        const where = `${name} ${phase} ${entry} ${lengths ? "with lengths" : ""}`;
        const close = (actual: readonly number[], wanted: ArrayLike<number>, what: string): void => {
          const expected = existing(wanted, lengths, [BATCH, TOKENS]);
          const largest = expected.reduce((m, v) => Math.max(m, Math.abs(v)), 1);
          const { ratio, text } = furthest(
            existing(actual, lengths, [BATCH, TOKENS]),
            expected,
            TOLERANCE * largest,
            0,
          );
          expect(ratio, `${where} ${what} ${text}`).toBeLessThan(1);
        };
        for (const [result, values] of Object.entries(results))
          close(values, outputs.get(entry === "objective" ? `loss.${result}` : result)!.data, result);
        for (const [path, values] of Object.entries(gradients)) close(values, outputs.get(`grad.${path}`)!.data, path);
        for (const [path, values] of Object.entries(states)) close(values, outputs.get(`state.${path}`)!.data, path);
        for (const [path, rows] of Object.entries(choices)) {
          const [index, count] = [outputs.get(`${path}.index`)!, outputs.get(`${path}.count`)!];
          const own = (lengths ?? rows.map(() => TOKENS)).map((length, b) => rows[b]!.slice(0, length));
          const width = index.shape[2]!;
          expect(new Set(own.flat(2)).size, `${where} ${path}`).toBeGreaterThan(1);
          const wanted = own.map((row, b) =>
            row.map((_, t) =>
              Array.from(index.data.slice((b * TOKENS + t) * width)).slice(0, count.data[b * TOKENS + t]),
            ),
          );
          const found = own.map((row, b) => row.map((ks, t) => ks.slice(0, wanted[b]![t]!.length)));
          expect(found, `${where} ${path}`).toEqual(wanted);
        }
        for (const [path, rows] of Object.entries(routes)) {
          const [index, count] = [outputs.get(`${path}.index`)!, outputs.get(`${path}.count`)!];
          const wanted = rows.map((_, b) => Array.from(index.data.slice(b * index.shape[1]!)).slice(0, count.data[b]));
          expect(rows, `${where} ${path}`).toEqual(wanted);
        }
        expect(stepped !== null, where).toBe(phase === "generate" && entry === "forward");
        if (stepped) {
          close(stepped.output, outputs.get("output")!.data, "step by step");
          // A cache of each attention: the tokens that took its route, of dense layers all.
          const routed = Object.values(routes).map((rows) => String(rows.map((row) => row.length)));
          const dense = String(lengths ?? Array.from({ length: BATCH }, () => TOKENS));
          const kept = new Set(stepped.counts.map(String));
          const due = new Set(keysOfAll ? [dense] : [dense, ...routed]);
          expect(kept, where).toEqual(due);
        }
        const made = [...outputs.keys()].filter((key) => /^(output|loss\.|grad\.|state\.)|\.index$/.test(key)).length;
        const found = { ...results, ...gradients, ...routes, ...choices, ...states };
        expect(Object.keys(found).length, where).toBe(made);
      });
    },
  );
});
