// Updates of states in the graph of a training step: a step in parts gives what the whole gives, and nothing else of a
// step sees them.
import { describe, expect, it } from "vitest";
import {
  accumulateStep,
  GRADIENT_NORM,
  KEEP,
  RATES,
  SHARES,
  trainStep,
  type StepOptions,
} from "../../../src/compiler/autodiff/train-step.js";
import { withGradients } from "../../../src/compiler/autodiff/gradients.js";
import type { Graph } from "../../../src/compiler/ir/graph.js";
import { verify } from "../../../src/compiler/ir/verify.js";
import { printGraph } from "../../../src/compiler/ir/print.js";
import { parseGraph } from "../../../src/compiler/ir/parse.js";
import { ops } from "../../../src/compiler/ops/index.js";
import type { Tensor } from "../../../src/compiler/ops/define.js";
import { optimize } from "../../../src/compiler/passes/index.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { random } from "../../random.js";
import { lowered, type Lowered } from "./models.js";

/** Every reduction over the batch that an update may take, of rows, of routed rows and of whole sequences. */
const SOURCE = `
model M(live level: float = 0.5) {
  weight w: f32[3, 3]
  state load: f32[3]
  state middle: f32[3] = ones
  state peak: f32[]
  state low: f32[3]
  state whole: f32[]
  state spread: f32[]
  state error: f32[]
  state guess: f32[]
  state share: f32[]
  state routed: f32[3]
  state few: f32[]
  state most: f32[]
  state steps: f32[]
  state norm: f32[]

  forward(x: f32[B, T <= 16, 3]) -> f32[B, T, 3] {
    y = x @ w + load * 0.01
    on = y > 0.0
    count = sum(f32(on), axis: [0, 1])
    update load = load + 0.5 * (f32(count < mean(count)) - f32(count > mean(count)))
    update middle = 0.9 * middle + 0.1 * mean(y, axis: [0, 1])
    update peak = max(peak, max(y))
    update low = min(low, min(y, axis: [0, 1]))
    update whole = f32(sum(u32(on)))
    update spread = mean(y ^ 2) - mean(y) ^ 2
    update share = sum(mean(f32(on[..., 0]), axis: 1)) / B
    chosen = top(y[..., 0], ceil(T / 2))
    // @allow dead-router: the test looks at what is chosen
    wide = above(y[..., 1], level)
    update routed = mean(take(y, chosen), axis: [0, 1])
    update few = mean(take(y, wide)[..., 2])
    update most = max(take(y, wide)) + sum(f32(wide.count))
    update guess = bce(y[..., 0], wide.mask)
    update steps = steps + 1.0
    update norm = 0.5 * norm + sum(w ^ 2)
    y
  }

  objective(x: f32[B, T <= 16, 3], labels: u32[B, T]) {
    y = forward(x)
    update error = cross_entropy(y, labels)
    loss fit = cross_entropy(y, labels)
  }
}
`;

const { model, graph: objective } = lowered(SOURCE);
const sgd: StepOptions = {
  optimizer: { kind: "sgd", momentum: 0.9, nesterov: false },
  clip: 1,
  accumulated: false,
};
const STATES = model.weights.filter((w) => w.kind === "state").map((w) => w.path);

type Tensors = ReadonlyMap<string, Tensor>;
interface Part {
  readonly inputs: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float64Array }>;
  readonly lengths: Uint32Array;
}

const T = 7;
/** Sequences of different lengths; the last may be empty. */
function sequences(seed: number, lengths: readonly number[]): Part {
  const rng = random(seed);
  const B = lengths.length;
  return {
    inputs: new Map([
      ["x", { shape: [B, T, 3], data: Float64Array.from({ length: B * T * 3 }, () => rng.normal()) }],
      ["labels", { shape: [B, T], data: Float64Array.from({ length: B * T }, () => rng.below(3)) }],
    ]),
    lengths: Uint32Array.from(lengths),
  };
}

function joined(parts: readonly Part[]): Part {
  const names = [...parts[0]!.inputs.keys()];
  return {
    inputs: new Map(
      names.map((name) => {
        const all = parts.map((p) => p.inputs.get(name)!);
        const [, ...rest] = all[0]!.shape;
        const data = Float64Array.from(all.flatMap((t) => Array.from(t.data)));
        return [name, { shape: [all.reduce((n, t) => n + t.shape[0]!, 0), ...rest], data }];
      }),
    ),
    lengths: Uint32Array.from(parts.flatMap((p) => Array.from(p.lengths))),
  };
}

const f64 = (shape: readonly number[], data: readonly number[]): Tensor => ({
  dtype: "f32",
  shape,
  data: Float64Array.from(data),
});

function start(seed: number): Map<string, Tensor> {
  const rng = random(seed);
  return new Map(
    model.weights.map(({ path, shape }) => [
      path,
      {
        dtype: "f32",
        shape,
        data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => rng.normal()),
      },
    ]),
  );
}

const scalar = (value: number) => ({ shape: [], data: Float64Array.of(value) });
const RATE = { shape: [4], data: Float64Array.of(0.1, 0.01, 1, 1) };
/** The shares of a part if all parts weigh the same. */
const alike = (parts: number) => ({ shape: [2], data: Float64Array.of(1 / parts, 1 / parts) });

function run(graph: Graph, { inputs, lengths }: Part, more: Part["inputs"], states: Tensors) {
  const weights = new Map([...states].filter(([name]) => model.weights.some((w) => w.path === name)));
  return evaluate(graph, { inputs: new Map([...inputs, ...more]), lengths, weights, states });
}

/** The inputs of a part other than the last, and of the last. */
const partOf = (parts: readonly Part[], i: number): Part["inputs"] =>
  new Map([
    [KEEP, scalar(i === 0 ? 0 : 1)],
    [SHARES, alike(parts.length)],
  ]);
const lastOf = (parts: readonly Part[]): Part["inputs"] =>
  new Map([[RATES, RATE], ...(parts.length > 1 ? [[SHARES, alike(parts.length)] as const] : [])]);

/** The states after a step over the parts, and what it gave. */
function stepOver(parts: readonly Part[], begun: Tensors) {
  const accumulated = parts.length > 1;
  const step = optimize(trainStep(objective, model.weights, { ...sgd, accumulated }).graph, { verify: true });
  const add = optimize(accumulateStep(objective, model.weights, sgd), { verify: true });
  let states: Tensors = begun;
  for (const [i, part] of parts.slice(0, -1).entries()) {
    const { states: next } = run(add, part, partOf(parts, i), states);
    for (const { path } of model.weights) expect(next.get(path)!.data, path).toEqual(begun.get(path)!.data);
    states = new Map([...states, ...next]);
  }
  return run(step, parts.at(-1)!, lastOf(parts), states);
}

/** The states of another model after a step over the parts. */
function stepWith(
  { weights }: Pick<Lowered["model"], "weights">,
  graph: Graph,
  parts: readonly Part[],
  begun: Tensors,
): Tensors {
  const accumulated = parts.length > 1;
  const last = optimize(trainStep(graph, weights, { ...sgd, accumulated }).graph, { verify: true });
  const add = optimize(accumulateStep(graph, weights, sgd), { verify: true });
  let states: Tensors = begun;
  const next = (of: Graph, { inputs, lengths }: Part, more: Part["inputs"]): Tensors =>
    new Map([
      ...states,
      ...evaluate(of, { inputs: new Map([...inputs, ...more]), lengths, weights: begun, states }).states,
    ]);
  for (const [i, part] of parts.slice(0, -1).entries()) states = next(add, part, partOf(parts, i));
  return next(last, parts.at(-1)!, lastOf(parts));
}

const PARTS = [sequences(1, [7, 3]), sequences(2, [1, 6, 5]), sequences(3, [0, 2]), sequences(4, [4, 4])];

describe("updates of states", () => {
  it("of a step in parts are those of the whole, for every reduction", () => {
    const begun = start(5);
    const whole = stepOver([joined(PARTS)], begun);
    const inParts = stepOver(PARTS, begun);
    for (const path of STATES) {
      const [a, b] = [whole.states.get(path)!.data, inParts.states.get(path)!.data];
      a.forEach((v, i) => expect(b[i], `${path}[${i}]`).toBeCloseTo(v, 10));
      expect([...a], `${path} moves`).not.toEqual([...begun.get(path)!.data]);
    }
    // What parts would give by themselves is another thing: the test would see it.
    const last = stepOver([PARTS.at(-1)!], begun);
    for (const path of STATES.filter((p) => !["steps", "norm"].includes(p)))
      expect([...last.states.get(path)!.data], path).not.toEqual([...whole.states.get(path)!.data]);
  });

  it("see what mixtures of experts make of rows, in parts as in the whole", () => {
    const { model: deep, graph } = lowered(`import { GeluMLP, MoE } from "std"
model Deep() {
  layers: [for i in 0..3: MoE([for e in 0..4: GeluMLP(3, 4)], 3, 2, loss_free: true, rate: 0.25)]
  state level: f32[3]

  forward(x: f32[B, T <= 16, 3]) -> f32[B, T, 3] {
    for layer in layers { x = x + layer(x) }
    update level = 0.5 * level + mean(x, axis: [0, 1])
    x
  }
  objective(x: f32[B, T <= 16, 3], labels: u32[B, T]) { loss fit = cross_entropy(forward(x), labels) }
}`);
    const rng = random(12);
    const begun = new Map<string, Tensor>(
      deep.weights.map(({ path, shape, kind }) => [
        path,
        {
          dtype: "f32",
          shape,
          data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () =>
            kind === "state" ? 0 : rng.normal(),
          ),
        },
      ]),
    );
    const [whole, inParts] = [stepWith(deep, graph, [joined(PARTS)], begun), stepWith(deep, graph, PARTS, begun)];
    for (const { path } of deep.weights.filter((w) => w.kind === "state")) {
      const [a, b] = [whole.get(path)!.data, inParts.get(path)!.data];
      if (path === "level") a.forEach((v, i) => expect(b[i], path).toBeCloseTo(v, 10));
      else expect(b, path).toEqual(a);
      expect(
        a.some((v) => v !== 0),
        `${path} moves`,
      ).toBe(true);
    }
  });

  it.each([
    "mean(x[:, -1])",
    "max(x[:, 1:])",
    "mean(concat([x, x[:, 0:2]], axis: 1))",
    "mean(x[..., 0] / T)",
    "sum(x[..., 0]) / (2 * B)",
    "mean(softmax(x[..., 0], axis: 1) * x[..., 1])",
    "mean(attention(x, x, x, causal: true))",
    "max(received(x[:, None], x[:, None], causal: true))",
    "mean(attention(x, x, x, weight: sigmoid(x[..., 2])))",
    "mean(sum(f32(choice.mask), axis: 1))",
    "sum(f32(choice.count)) + sum(f32(choice.index))",
    "mean(take(x, choice)[..., 1])",
    "mean(put(x, choice, take(x, choice)))",
    "mean(max(take(x, some), axis: -1))",
    "sum(f32(some.count))",
    "mean(take(x, off))",
    "min(take(x, off)[..., 0]) - max(take(x, on)[..., 0])",
    "mean(take(take(x, on), top(take(x[..., 1], on), ceil(T / 3))))",
    "mean(min(take(x[..., 0], on), axis: 1))",
    "sum(f32(on.count)) / B + mean(f32(off.mask))",
    "mean(straight(on.mask, sigmoid(x[..., 0])))",
    "mean(zeros(like: x)) + mean(f32(argmax(x, axis: -1)))",
    "mean(f32(position(x)))",
    "mean(where(on.mask[..., None], x, 0.0)) * level",
    "sum(u32(x > 0.0)) * 0 + 1",
  ])("of %s are those of the whole", (e) => {
    const as = e.startsWith("sum(u32") ? `f32(${e})` : e;
    const { model: one, graph } = lowered(`model One() {
  weight w: f32[3]
  state level: f32[]
  objective(x: f32[B, T <= 16, 3], labels: u32[B, T]) {
    choice = top(x, 2, axis: -1)
    some   = above(x, 0.3)
    on     = those(x[..., 0] > 0.2)
    off    = those(not on.mask)
    update level = ${as}
    loss fit = cross_entropy(x * w, labels)
  }
}`);
    const begun = new Map<string, Tensor>([
      ["w", f64([3], [1, 2, 3])],
      ["level", f64([], [0.75])],
    ]);
    const [whole, inParts] = [stepWith(one, graph, [joined(PARTS)], begun), stepWith(one, graph, PARTS, begun)];
    expect(inParts.get("level")!.data[0]).toBeCloseTo(whole.get("level")!.data[0]!, 10);
  });

  it("forget the parts of the step before", () => {
    const begun = start(5);
    const first = new Map([...begun, ...stepOver(PARTS, begun).states]);
    const again = new Map([...first, ...model.weights.map(({ path }) => [path, begun.get(path)!] as const)]);
    const twice = stepOver(PARTS, again);
    for (const path of STATES) expect(twice.states.get(path)!.data).toEqual(first.get(path)!.data);
  });

  it("are the results of the objective, of the states and weights that a step begins with", () => {
    const begun = start(6);
    const part = PARTS[1]!;
    const { outputs } = run(optimize(objective), part, new Map(), begun);
    const { states } = stepOver([part], begun);
    for (const path of STATES) expect(states.get(path)!.data, path).toEqual(outputs.get(`state.${path}`)!.data);
    const w = begun.get("w")!.data;
    const norm = 0.5 * begun.get("norm")!.data[0]! + w.reduce((sum, v) => sum + v * v, 0);
    expect(states.get("norm")!.data[0]).toBeCloseTo(norm, 12);
  });

  it("are not made where the step is thrown away", () => {
    const begun = start(7);
    begun.get("w")!.data[2] = NaN;
    for (const parts of [[PARTS[0]!], PARTS]) {
      const { states } = stepOver(parts, begun);
      for (const { path } of model.weights)
        expect([...states.get(path)!.data], path).toEqual([...begun.get(path)!.data]);
    }
  });

  it("leave the gradient alone, and states have none", () => {
    const without = lowered(SOURCE.replaceAll(/^ *update .*$/gm, ""));
    const begun = start(8);
    const ofSource = (of: typeof without) =>
      run(optimize(withGradients(of.graph, of.model.weights)), PARTS[0]!, new Map(), begun).outputs;
    const [with_, plain] = [ofSource({ model, graph: objective }), ofSource(without)];
    expect([...with_.keys()].filter((name) => name.startsWith("grad."))).toEqual(["grad.w"]);
    expect(with_.get("grad.w")!.data).toEqual(plain.get("grad.w")!.data);
    const { outputs } = stepOver([PARTS[0]!], begun);
    expect(outputs.get(GRADIENT_NORM)!.data[0]).toBeCloseTo(
      Math.sqrt(plain.get("grad.w")!.data.reduce((sum, v) => sum + v * v, 0)),
      12,
    );
  });

  it("and the states themselves are no weights to train, whatever is selected", () => {
    const made = trainStep(objective, model.weights, { ...sgd, trained: () => true });
    expect(made.trained).toEqual(["w"]);
    expect(made.idle).toEqual([]);
    const none = trainStep(objective, model.weights, { ...sgd, trained: () => false });
    const { states } = run(optimize(none.graph), PARTS[0]!, new Map([[RATES, RATE]]), start(9));
    expect(states.get("w")!.data).toEqual(start(9).get("w")!.data);
    expect(states.get("middle")!.data).not.toEqual(start(9).get("middle")!.data);
  });

  it("stand in the text of a graph, and are read back", () => {
    expect(verify(objective, ops)).toEqual([]);
    const text = printGraph(objective);
    expect(text).toMatch(/^update "state\.load" = %\d+ \[3\]$/m);
    expect(printGraph(parseGraph(text, ops))).toBe(text);
  });
});
