// Exported graphs in ONNX against the reference: results, choices, losses, and generation with caches. Skipped, and
// saying so, where Python has no onnx.
// @module-tag long
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import type { Model } from "../../../src/language/check/model/model.js";
import { randomInput, randomTokens, randomWeights, reference, type Case } from "../../end-to-end/model.js";
import { optimized } from "../../optimized.js";
import { NAMES, setOf, WHOLE, WITHOUT_STEPS } from "../../semantics/variant-sources.js";
import { askOnnx, hasOnnx, hasOnnxNode, nodePackages, onnxNodeNote, onnxNote } from "../../onnxruntime.js";
import { byTurns, soaking } from "../../soak.js";
import { onnxFile, type OnnxFile } from "../../../src/tools/export/onnx/file.js";
import { onnxGraph } from "../../../src/tools/export/onnx/onnx.js";
import { causal, likeliest, mobyModel, mobyWeights } from "./moby-causal.js";
import { givenTo, modelOf, written, type Exporting } from "./onnx-files.js";
import { expectClose, expectSame, type Ran } from "./onnx-same.js";
import { expectSteps } from "./onnx-steps.js";
import { sequenceAxes } from "../../../src/ground/size/axes.js";

const SCRIPT = new URL("onnx_run.py", import.meta.url);
const NODE_SCRIPT = fileURLToPath(new URL("onnx-node.mjs", import.meta.url));
const SIZES = [
  [1, 149],
  [3, 57],
  [2, 256],
  [1, 1],
] as const;
const FEW = [
  [3, 21],
  [1, 1],
] as const;

interface Answer {
  readonly domains: readonly string[];
  readonly opsets: readonly (readonly [string, number])[];
  readonly nodes: number;
  readonly runs: readonly Readonly<Record<string, Ran>>[];
  readonly tried: readonly { readonly refused?: string }[];
  readonly generated: {
    readonly logits: readonly (readonly number[])[];
    readonly tokens: readonly (readonly number[])[];
    readonly rows: Readonly<Record<string, readonly number[]>>;
    readonly length: readonly number[];
  };
}

const root = mkdtempSync(join(tmpdir(), "modc-onnx-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const sourceOf = (name: string): string =>
  readFileSync(new URL(`../../../examples/${name}.mod`, import.meta.url), "utf8");

async function answerOf(job: object): Promise<Answer> {
  const [answer] = await askOnnx<Answer>(SCRIPT, [job]);
  expect(answer!.domains).toEqual([""]);
  expect(answer!.opsets).toEqual([["", 18]]);
  return answer!;
}

const inputsOf = (model: Model, [batch, tokens]: readonly [number, number], seed = 5): Case["inputs"] =>
  Object.fromEntries(
    model.inputs.map(({ name, type }, i) => {
      const shape = type.shape.map((size, dim) => (typeof size === "number" ? size : dim === 0 ? batch : tokens));
      const below = type.dtype === "bool" ? 2 : 64;
      return [name, type.dtype === "f32" ? randomInput(shape, seed + i) : randomTokens(shape, below, seed + i)];
    }),
  );

const small = { dim: "24", heads: "3", kv_heads: "1", hidden: "40", vocab: "64" };
const EXAMPLES: readonly (readonly [name: string, set: Readonly<Record<string, string>>])[] = [
  ["golden", {}],
  ["moby", { depth: "4", dim: "32", vocab: "64" }],
  ["llama", { ...small, depth: "2" }],
  ["smollm-mod", { ...small, depth: "4" }],
  ["p-mod", { dim: "12", heads: "2", hidden: "16" }],
  ["lora", { dim: "32", depth: "2", vocab: "64", rank: "2" }],
  ["moe", { dim: "32", vocab: "64", hidden: "24", depth: "2" }],
  ["mode", { dim: "32", vocab: "64", hidden: "24", depth: "2" }],
  ["mode", { staged: "false", dim: "32", vocab: "64", hidden: "24", depth: "2" }],
  ["mor", { ...small, layers: "2", recursions: "3" }],
  ["mor", { ...small, layers: "2", recursions: "3", share_kv: "true" }],
];
/** Only the soak tries all variants. */
const VARIANTS = NAMES.filter((name) => !WITHOUT_STEPS.has(name)).map((name) => {
  const set = setOf(name);
  return [`variants/${name}`, "vocab" in set ? { ...set, vocab: "64" } : set] as const;
});
/** They choose by the whole sequence alone, or have no tokens. */
const WITHOUT_CAUSAL = new Set(["golden", "p-mod", ...Array.from(WHOLE, (name) => `variants/${name}`)]);
/** In the short run by one rule each, without the one with 32 layers. */
const TRIED = [...EXAMPLES, ...(soaking ? VARIANTS : [])].flatMap(([name, set], i) =>
  (["infer", "generate"] as const).flatMap((phase, j) => {
    const left = (name === "p-mod" || i % 2 === j) && !soaking && name !== "golden";
    return left || (phase === "generate" && WITHOUT_CAUSAL.has(name)) ? [] : [[name, set, phase] as const];
  }),
);

/** The same in onnxruntime-node, with that of `bench/`. */
function nodeRuns(path: string, runs: readonly unknown[]): Answer["runs"] {
  const { stdout, stderr, status } = spawnSync(process.execPath, [NODE_SCRIPT], {
    input: JSON.stringify({ path, packages: nodePackages, runs }),
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout) as Answer["runs"]; // the script's own form
}

describe.skipIf(!hasOnnx)(`ONNX${onnxNote}${onnxNodeNote}`, { timeout: 240_000 }, () => {
  it.each(TRIED)("%s %o has the results and choices of the reference, by %s", async (name, set, phase) => {
    const text = sourceOf(name);
    const model = modelOf(text, { set, phase });
    const weights = randomWeights(model, 3);
    const path = join(root, "example.onnx");
    written(path, model, weights, { observe: true });
    const inNode = name === "moby" && hasOnnxNode;
    const runs = (soaking || name === "moby" ? SIZES : FEW).flatMap((size) =>
      name === "golden" && size[1] > 64 ? [] : [inputsOf(model, size)],
    );
    const given = runs.map((inputs) => givenTo(inputs));
    const [{ runs: ran }, ranInNode] = [await answerOf({ path, runs: given }), inNode ? nodeRuns(path, given) : null];
    const { graph } = optimized(text, { set, phase, verify: false });
    runs.forEach((inputs, i) => {
      const wanted = reference(graph, weights, { inputs });
      expectSame(ran[i]!, wanted, `${name} ${phase} run ${i}`);
      if (ranInNode) expectSame(ranInNode[i]!, wanted, `${name} ${phase} run ${i} in Node`);
    });
  });

  it("generates 60 tokens with caches as the causal rule does without, and keeps the rows that it took", async () => {
    const weights = await mobyWeights();
    const path = join(root, "generation.onnx");
    written(path, mobyModel, weights, { caches: true });
    const prompt = Array.from(new TextEncoder().encode("The whale rose in the night"));
    const steps = [prompt.length, ...Array.from({ length: 60 }, () => 1)];
    const generate = { batch: 1, tokens: prompt, steps, input: "tokens", output: "output" };
    const { generated } = await answerOf({ path, generate });
    const [tokens] = generated.tokens;
    expect(tokens!.length).toBe(prompt.length + 60);
    const { logits, outputs } = causal(tokens!, weights);
    generated.logits.forEach((own, i) => {
      const wanted = logits(prompt.length - 1 + i);
      expectClose(own, wanted, `token ${i}`);
      const next = tokens![prompt.length + i];
      if (next !== undefined) expect(next, `token ${i}`).toBe(likeliest(wanted));
    });
    const counted = [...outputs].flatMap(([name, { data }]) =>
      name.endsWith(".chosen.count") ? [[`past.${name.replace(".chosen.count", "")}.positions`, Array.from(data)]] : [],
    );
    expect(generated.rows).toEqual({ "past.positions": [tokens!.length], ...Object.fromEntries(counted) });
    expect(counted.length).toBe(3);
  });

  it.each(
    byTurns(
      [...EXAMPLES, ...(soaking ? VARIANTS : [])].filter(([name]) => !WITHOUT_CAUSAL.has(name)),
      3,
    ),
  )("%s %o goes on from prompts of several lengths", async (name, set) => {
    const lengths = [[9, 4], [1, 1], [3, 0], [1, 1], [1, 1]]; // prettier-ignore
    await expectSteps(root, name, { text: sourceOf(name), set, lengths });
  });

  it("takes lengths beyond the input as all of it, negative ones as none, and refuses those of other sequences", async () => {
    const set = { depth: "2", dim: "32", vocab: "64" };
    const model = modelOf(sourceOf("moby"), { set });
    const path = join(root, "lengths.onnx");
    written(path, model, randomWeights(model, 3), { observe: true, lengths: true });
    const inputs = inputsOf(model, [3, 24]);
    const given = [[40, 17, -5], [24, 17, 0]].map((lengths) => givenTo(inputs, lengths)); // prettier-ignore
    const tries = [givenTo(inputs, [5]), givenTo(inputs, [5, 5, 5, 5])];
    const { runs, tried } = await answerOf({ path, runs: given, tries });
    expect(runs[0]).toEqual(runs[1]);
    expect(runs[0]!["layers.1.chosen.count"]!.data).toEqual([3, 3, 0]);
    expect(tried.map(({ refused }) => refused)).toEqual([
      expect.stringMatching(/Reshape/),
      expect.stringMatching(/Reshape/),
    ]);
  });

  it.each(["u32", "i32"])(
    "refuses tokens and %s targets beyond the vocabulary, but where they do not exist",
    async (dtype) => {
      const set = { depth: "2", dim: "32", vocab: "64" };
      const text = sourceOf("moby").replaceAll("targets: u32", `targets: ${dtype}`);
      const model = modelOf(text, { set, entry: "objective" });
      const path = join(root, "beyond.onnx");
      const weights = randomWeights(model, 3);
      written(path, model, weights, { lengths: true });
      const inputs = inputsOf(model, [2, 9]);
      /** With a number in place of the one at a place. */
      const given = (name: string, at: number, value: number): object => {
        const { shape, data } = inputs[name]!;
        return givenTo({ ...inputs, [name]: { shape, data: Int32Array.from(data).with(at, value) } }, [9, 5]);
      };
      const beyond = [["tokens", 64], ["tokens", -1], ["targets", 64]] as const; // prettier-ignore
      const tries = [...beyond, ["targets", -1] as const].map(([name, value]) => given(name, 3, value));
      const padding = beyond.map(([name, value]) => given(name, 17, value));
      const { runs, tried } = await answerOf({ path, runs: [givenTo(inputs, [9, 5]), ...padding], tries });
      expect(tried.map(({ refused }) => refused !== undefined)).toEqual([true, true, true, dtype === "u32"]);
      for (const own of runs) expect(own).toEqual(runs[0]);
      const { graph } = optimized(text, { set, entry: "objective" });
      expectSame(runs[0]!, reference(graph, weights, { inputs, lengths: Uint32Array.of(9, 5) }), "losses");
    },
  );

  it("breaks ties as the reference does, and takes NaN last", async () => {
    const text = `model Ties() {
  forward(x: f32[B, T, 1], score: f32[B, T]) -> f32[B, T, 1] {
    chosen = top(score, ceil(1/3 * T))
    observe chosen
    put(x, chosen, take(x, chosen))
  }
}`;
    const model = modelOf(text);
    const path = join(root, "ties.onnx");
    written(path, model, new Map(), { observe: true });
    const hard = [NaN, -Infinity, 1, NaN, -Infinity, -0, 0, 0, -0, Infinity, NaN, Infinity];
    const scores = Array.from({ length: 40 }, (_, i) =>
      Float32Array.from(randomTokens([257], 4, i).data, (v) => (i % 2 === 0 ? v : hard[(v * 5 + i) % hard.length]!)),
    );
    // More are taken than have a number: -inf and NaN among them.
    scores.push(Float32Array.from({ length: 30 }, (_, i) => (i % 3 === 0 ? NaN : i % 3 === 1 ? -Infinity : NaN)));
    const runs = scores.map((data) => ({
      x: randomInput([1, data.length, 1], 3),
      score: { shape: [1, data.length], data },
    }));
    const { runs: ran } = await answerOf({ path, runs: runs.map((inputs) => givenTo(inputs)) });
    const { graph } = optimized(text);
    runs.forEach((inputs, i) => expectSame(ran[i]!, reference(graph, new Map(), { inputs }), `scores ${i}`));
  });

  it("stores weights in two bytes, or beside the graph", async () => {
    const text = sourceOf("moby");
    const set = { depth: "2", dim: "32", vocab: "64" };
    const model = modelOf(text, { set });
    // Values that f16 and bf16 hold alike.
    const weights = new Map(
      [...randomWeights(model, 3)].map(([path, w]) => [
        path,
        { shape: w.shape, data: w.data.map((v) => Math.round(v * 64) / 64) },
      ]),
    );
    const inputs = inputsOf(model, [2, 17]);
    const { graph } = optimized(text, { set });
    const wanted = reference(graph, weights, { inputs });
    const files = (["f32", "f16", "bf16"] as const).flatMap((floats) =>
      [false, true].map((external) => ({ floats, external })),
    );
    const bytes: number[] = [];
    for (const { floats, external } of files) {
      const path = join(root, `stored-${floats}-${external}.onnx`);
      written(path, model, weights, { floats, external });
      bytes.push(readFileSync(external ? `${path}.data` : path).length);
      const { runs } = await answerOf({ path, runs: [givenTo(inputs)] });
      expectSame(runs[0]!, wanted, `${floats} ${external}`);
    }
    expect(bytes[2]! / bytes[0]!).toBeLessThan(0.8); // the graph itself stays
    expect(bytes[2]).toBeLessThan(bytes[0]!);
  });

  it.each(["dpo", "reward", "distill", "embed", "grpo", "classify", "masked"])(
    "objectives/%s has the losses of the reference, also of texts with lengths and of a single one",
    async (name) => {
      const sizes = { depth: "2", dim: "24", heads: "3", vocab: "64", capacity: "25%" };
      const set = name === "classify" ? { ...sizes, classes: "64" } : sizes;
      const text = sourceOf(`objectives/${name}`);
      const model = modelOf(text, { set, entry: "objective" });
      const weights = randomWeights(model, 3);
      const path = join(root, "objective.onnx");
      written(path, model, weights, { lengths: true });
      const [several, single] = [inputsOf(model, [3, 21]), inputsOf(model, [1, 8])];
      /** The first axis gets the lengths. On the second axis each sequence gets the length of the next sequence. */
      const along = (...lengths: number[]): Readonly<Record<string, readonly number[]>> =>
        Object.fromEntries(
          sequenceAxes(model.axes).map((axis, i) => [axis, lengths.map((_, b) => lengths[(b + i) % lengths.length]!)]),
        );
      const given = (inputs: Case["inputs"], ...lengths: number[]): ReturnType<typeof givenTo> => {
        const all = Object.entries(along(...lengths));
        const named = all.map(([axis, own]) => [all.length > 1 ? `lengths.${axis}` : "lengths", own] as const);
        const tensors = named.map(([input, own]) => [input, { shape: [own.length], data: own }] as const);
        return { ...givenTo(inputs), ...Object.fromEntries(tensors) };
      };
      const { runs } = await answerOf({ path, runs: [given(several, 21, 13, 5), given(single, 8)] });
      const { graph } = optimized(text, { set, entry: "objective" });
      const wanted = (inputs: Case["inputs"], ...lengths: number[]): ReturnType<typeof reference> =>
        reference(graph, weights, { inputs, byAxis: along(...lengths) });
      expectSame(runs[0]!, wanted(several, 21, 13, 5), name);
      expectSame(runs[1]!, wanted(single, 8), `${name}, a single text`);
      expect(Object.keys(runs[0]!).length).toBe(model.losses.length);
    },
  );

  it("takes live parameters as a quotient, and gives losses", async () => {
    const text = `import { Linear } from "std"
model Live(live share: ratio = 50%) {
  router: Linear(4, 1)
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] {
    chosen = top(router(x)[..., 0], ceil(share * T))
    observe chosen
    loss balance = bce(router(x)[..., 0], chosen.mask)
    put(x, chosen, take(x, chosen) * share)
  }
  objective(x: f32[B, T, 4], targets: i32[B, T]) {
    loss next = cross_entropy(forward(x), targets)
  }
}`;
    const model = modelOf(text, { entry: "objective", phase: "train" });
    const weights = randomWeights(model, 3);
    const path = join(root, "live.onnx");
    written(path, model, weights, { observe: true });
    const x = randomInput([2, 11, 4], 3);
    const targets = { shape: [2, 11], data: Int32Array.from({ length: 22 }, (_, i) => (i % 5) - 1) };
    const inputs = { x, targets };
    const share = { shape: [2], data: [1, 3] };
    const { runs } = await answerOf({ path, runs: [givenTo(inputs), { ...givenTo(inputs), share }] });
    const { graph } = optimized(text, { entry: "objective", phase: "train" });
    expectSame(runs[0]!, reference(graph, weights, { inputs }), "share 1/2");
    expectSame(runs[1]!, reference(graph, weights, { inputs, live: { share: "1/3" } }), "share 1/3");
    expect(Object.keys(runs[0]!)).toEqual(["loss.balance", "loss.next", "chosen.index", "chosen.count"]);
  });
});

describe("a file of ONNX", () => {
  it("has weights beside it where protocol buffers could not hold them, at pages", () => {
    const text = `model Large(n: int = 20000) {
  weight a: f32[n, n]
  weight b: f32[3]
  weight c: f32[n, n]
  forward(x: f32[B, T, n], z: f32[B, T, 3]) -> y: f32[B, T, n] { x @ a @ c + sum(z * b, axis: -1, keep: true) }
}`;
    const options = { producer: "modc", version: "0", name: "Large", doc: null, metadata: [] };
    const fileOf = (floats: "f32" | "f16", n: string): OnnxFile =>
      onnxFile(onnxGraph(modelOf(text, { set: { n } }), { floats }).graph, {
        ...options,
        beside: { name: "large.onnx.data", always: false },
      });
    expect(fileOf("f16", "20000").beside).toBeNull(); // 1.6 GB
    const { beside, bytes } = fileOf("f32", "20000");
    expect(bytes).toBeLessThan(2000);
    expect(beside!.weights.map(({ name, offset, bytes }) => [name, offset, bytes])).toEqual([
      ["a", 0, 1_600_000_000],
      ["c", 1_600_000_000, 1_600_000_000],
      ["b", 3_200_000_000, 12],
    ]);
    expect(beside!.weights.every(({ offset }) => offset % 4096 === 0)).toBe(true);
  });
});

describe("what has no form in ONNX", () => {
  const refused = (body: string, options: Exporting = {}): (() => unknown) => {
    const text = `model M() { forward(x: f32[B, T, 4]) -> y: f32[B, T, 4] { ${body} } }`;
    return () => written(join(root, "refused.onnx"), modelOf(text, options), new Map(), options);
  };

  it("is refused by name", () => {
    expect(refused("x + random_normal(like: x)")).toThrow("a random value has no form in ONNX yet");
    expect(refused("x + 1.0", { phase: "generate" })).not.toThrow();
    const named = "model M() { forward(x: f32[B, T]) -> x: f32[B, T] { x } }";
    expect(() => written(join(root, "refused.onnx"), modelOf(named), new Map())).toThrow(
      "a result with the name of an input, x, has no form in ONNX yet",
    );
    const live = "model M(live z: ratio = 50%) { forward(z: f32[B, T]) -> y: f32[B, T] { z + 1.0 } }";
    expect(() => written(join(root, "refused.onnx"), modelOf(live), new Map())).toThrow(
      "a live parameter with the name of an input, z, has no form in ONNX yet",
    );
  });
});
