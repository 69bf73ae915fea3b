// Passes on and passes off: the same values and the same choices, on every example and on random models, phase by
// phase.
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, it } from "vitest";
import { check } from "../../../src/language/check/check.js";
import { formatDiagnostics } from "../../../src/language/diagnostics/format.js";
import { isOp, nodesOf, type Graph } from "../../../src/compiler/ir/graph.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import { optimize } from "../../../src/compiler/passes/index.js";
import {
  randomInput,
  randomLengths,
  randomTokens,
  reference,
  type Case,
  type Weights,
} from "../../end-to-end/model.js";
import { randomModel } from "../../random-models.js";
import { random } from "../../random.js";
import { cases, patience, seedOf } from "../../soak.js";

type Phase = "infer" | "train" | "generate";

function lowered(text: string, phase: Phase, set: Readonly<Record<string, string>> = {}): Graph {
  const { model, diagnostics, sources } = check({ file: "m.mod", text }, { phase, set, read: () => null });
  if (!model) throw new Error(formatDiagnostics(diagnostics, { sources }));
  return lower(model);
}

/** Every weight of a graph random, matrices small enough for a few layers to stay near 1. */
function weightsOf(graph: Graph, seed: number): Weights {
  const rng = random(seed);
  const found = new Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>();
  for (const node of nodesOf(graph)) {
    if (!isOp(node, "weight") || found.has(node.attrs.path)) continue;
    const { path, shape } = node.attrs;
    const scale = 0.5 / Math.sqrt(shape.at(-1) ?? 1);
    const value = shape.length < 2 ? () => 1 + 0.2 * rng.normal() : () => rng.normal() * scale;
    found.set(path, { shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, value) });
  }
  return found;
}

/**
 * In 64 bits not a digit differs: each element is the same terms in the same order. Only zeros may change their sign.
 */
function expectSame(before: Graph, given: Case, seed: number): void {
  const after = optimize(before, { verify: true });
  const weights = weightsOf(before, seed);
  const wanted = reference(before, weights, given);
  const found = reference(after, weights, given);
  expect([...found.routes.keys()].sort()).toEqual([...wanted.routes.keys()].sort());
  for (const [axis, { chosen }] of wanted.routes) {
    expect(found.routes.get(axis)!.chosen.index.data, axis).toEqual(chosen.index.data);
    expect(found.routes.get(axis)!.chosen.starts.data, axis).toEqual(chosen.starts.data);
  }
  for (const [name, { data }] of wanted.outputs) {
    const other = found.outputs.get(name)!.data;
    const at = data.findIndex((v, i) => v !== other[i] && !(Number.isNaN(v) && Number.isNaN(other[i]!)));
    expect(at, `${name}: ${data[at]} became ${other[at]}`).toBe(-1);
  }
}

const EXAMPLES: readonly {
  readonly name: string;
  readonly set: Readonly<Record<string, string>>;
  readonly vocab: number | null;
  readonly dim: number;
}[] = [
  { name: "golden", set: {}, vocab: null, dim: 1 },
  { name: "moby", set: { dim: "32", depth: "4" }, vocab: 256, dim: 32 },
  {
    name: "llama",
    set: { depth: "2", vocab: "64", dim: "32", heads: "4", kv_heads: "2", hidden: "48" },
    vocab: 64,
    dim: 32,
  },
  {
    name: "smollm-mod",
    set: { depth: "2", vocab: "64", dim: "32", heads: "4", kv_heads: "2", hidden: "48" },
    vocab: 64,
    dim: 32,
  },
  {
    name: "mor",
    set: { vocab: "64", dim: "32", heads: "4", kv_heads: "2", hidden: "48", layers: "2", recursions: "3" },
    vocab: 64,
    dim: 32,
  },
  { name: "p-mod", set: { dim: "32", heads: "4", hidden: "48" }, vocab: null, dim: 32 },
];

it.each(EXAMPLES)("the example $name", { tags: "long", timeout: 60_000 }, ({ name, set, vocab, dim }) => {
  const text = readFileSync(new URL(`../../../examples/${name}.mod`, import.meta.url), "utf8");
  const graph = lowered(text, "infer", set);
  for (const lengths of [undefined, randomLengths(3, 23, 5)]) {
    const input = vocab === null ? { x: randomInput([3, 23, dim], 4) } : { tokens: randomTokens([3, 23], vocab, 4) };
    expectSame(graph, { inputs: input, ...(lengths ? { lengths } : {}) }, 9);
  }
});

it("random models", { tags: "long", timeout: patience(120_000) }, () => {
  fc.assert(
    fc.property(
      randomModel,
      fc.constantFrom<Phase>("infer", "generate", "train"),
      fc.integer({ min: 1, max: 1e6 }),
      (model, wanted, seed) => {
        const graph = lowered(model.source, wanted === "generate" && !model.causal ? "infer" : wanted);
        const rng = random(seed);
        const [B, T] = [3, Math.min(9, model.context)];
        const names = new Set(graph.inputs.map((i) => i.name));
        const inputs: Record<string, Case["inputs"][string]> = {};
        for (const i of model.inputs.filter((m) => names.has(m.name))) {
          const shape = i.shape.map((s) => (s === "B" ? B : s === "T" ? T : Number(s)));
          inputs[i.name] =
            i.dtype === "u32"
              ? randomTokens(shape, i.below ?? 1000, rng.below(1e6))
              : randomInput(shape, rng.below(1e6));
        }
        expectSame(
          graph,
          {
            inputs,
            seed,
            lengths: randomLengths(B, T, seed),
            live: Object.fromEntries(model.live.map((l) => [l.name, l.value])),
          },
          seed,
        );
      },
    ),
    { numRuns: cases(120), seed: seedOf(77), endOnFailure: true },
  );
});
