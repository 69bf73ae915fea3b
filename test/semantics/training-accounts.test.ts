// LayerSkip, A-MoD and CoLT5 against accounts in plain loops: results, losses and the gradient of every weight, by
// differences of the account's loss; what LayerSkip generates on a device. Mistakes planted in an account must show.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { once } from "../../src/ground/base/once.js";
import { compileGeneration } from "../../src/compiler/compile-generation.js";
import { createGenerator } from "../../src/generation/generate/index.js";
import { isOp, nodesOf, type Graph } from "../../src/compiler/ir/graph.js";
import type { Evaluation } from "../../src/compiler/reference/evaluate.js";
import { testDevice } from "../device.js";
import { randomInput, randomTokens, randomWeights, reference, type GivenInput } from "../end-to-end/model.js";
import { optimized } from "../optimized.js";
import { random } from "../random.js";
import { soaking } from "../soak.js";
import { range, softmax, sum, type Given } from "./account.js";
import { A_MOD, COLT5, COLT5_SIZES, LAYER_SKIP, type Accounted, type Answer, type Task } from "./training-accounts.js";

const T = 9;
const [DIM, VOCAB] = [16, 11];
const textOf = (name: string): string =>
  readFileSync(new URL(`../../examples/variants/${name}.mod`, import.meta.url), "utf8");
const shares = Object.fromEntries(Object.entries(COLT5_SIZES).map(([name, value]) => [name, `${value}`]));

interface Variant {
  readonly name: string;
  readonly account: Accounted;
  readonly heads: number;
  readonly depth: number;
  readonly set: Readonly<Record<string, string>>;
  readonly inputs: (seed: number) => Readonly<Record<string, GivenInput>>;
}

const tokens = (seed: number): GivenInput => randomTokens([1, T], VOCAB, seed);
const VARIANTS: readonly Variant[] = [
  {
    name: "layer-skip",
    account: LAYER_SKIP,
    heads: 2,
    depth: 3,
    set: { dim: `${DIM}`, heads: "2", depth: "3", vocab: `${VOCAB}`, exit: "2", dropped: "0.5" },
    inputs: (seed) => ({ tokens: tokens(seed), targets: tokens(seed + 50) }),
  },
  {
    name: "a-mod",
    account: A_MOD,
    heads: 2,
    depth: 4,
    set: { dim: `${DIM}`, heads: "2", depth: "4", classes: `${VOCAB}` },
    inputs: (seed) => ({ x: randomInput([1, T, DIM], seed), label: randomTokens([1], VOCAB, seed) }),
  },
  {
    name: "colt5",
    account: COLT5,
    heads: 4,
    depth: 1,
    set: { dim: `${DIM}`, heads: "4", depth: "1", vocab: `${VOCAB}`, hidden: "12", ...shares },
    inputs: (seed) => ({
      tokens: tokens(seed),
      targets: { shape: [1, T], data: Int32Array.from(tokens(seed + 50).data, (v, t) => (t % 4 === 1 ? -1 : v)) },
    }),
  },
];

interface Tried {
  readonly outputs: Evaluation["outputs"];
  /** The result of the model in one pass. */
  readonly result: ArrayLike<number>;
  readonly weights: Given["weights"];
  /** With choices and values that only give a slope as they are held, if they are. */
  readonly account: (mistake: string | null, weights?: Given["weights"], held?: Task["held"]) => Answer;
}

/** A variant compiled, as a function of a seed. */
function triedOf({ name, set, inputs, heads, depth, account }: Variant): (seed: number) => Tried {
  const training = optimized(textOf(name), { phase: "train", gradients: true, set });
  const inferring = optimized(textOf(name), { phase: "infer", set });
  return (seed) => {
    const weights = randomWeights(training.model, seed);
    const given = inputs(seed);
    const { outputs, routes } = reference(training.graph, weights, { inputs: given, seed });
    const own = Object.fromEntries(inferring.graph.inputs.map((input) => [input.name, given[input.name]!]));
    const result = reference(inferring.graph, weights, { inputs: own }).outputs.get("output")!.data;
    const x = given["x"]?.data ?? [];
    const drawn = [...routes.values()].map(({ chosen }) => [...chosen.index.data]);
    const task: Omit<Task, "mistake" | "held"> = {
      tokens: Array.from(given["tokens"]?.data ?? []),
      x: range(x.length / DIM).map((t) => range(DIM).map((c) => x[t * DIM + c]!)),
      targets: Array.from((given["targets"] ?? given["label"])!.data),
      depth,
      // The first layer drops none.
      stays: (layer) => (layer === 0 ? range(T) : drawn[layer - 1]!),
    };
    return {
      outputs,
      result,
      weights,
      account: (mistake, moved = weights, held = new Map()) =>
        account.of({ weights: moved, heads }, { ...task, mistake, held }),
    };
  };
}

/**
 * How far gradients are from the differences of the account's loss as weights move some way: those of all layers with
 * the same name together.
 */
function slopes({ outputs, weights, account }: Tried, mistake: string | null): readonly (readonly [string, number])[] {
  const step = 1e-5;
  const held: Task["held"] = new Map();
  account(mistake, weights, held);
  const nameOf = (path: string): string => path.replace(/^layers\.\d+\./, "");
  return [...new Set([...weights.keys()].map(nameOf))].map((name, i) => {
    const paths = [...weights.keys()].filter((path) => nameOf(path) === name);
    const rng = random(70 + i);
    const ways = new Map(paths.map((path) => [path, Array.from(weights.get(path)!.data, () => rng.normal())]));
    const lossAt = (by: number): number => {
      const moved = [...ways].map(([path, way]) => {
        const { shape, data } = weights.get(path)!;
        return [path, { shape, data: Array.from(data, (v, n) => v + by * way[n]!) }] as const;
      });
      return account(mistake, new Map([...weights, ...moved]), held).loss;
    };
    const along = [...ways].map(([path, way]) => {
      const gradient = outputs.get(`grad.${path}`)!.data;
      return way.reduce((all, v, n) => all + v * gradient[n]!, 0);
    });
    return [name, Math.abs(sum(along) - (lossAt(step) - lossAt(-step)) / (2 * step))];
  });
}

const far = (found: ArrayLike<number>, wanted: readonly number[]): number =>
  found.length === wanted.length ? Math.max(...wanted.map((v, i) => Math.abs(v - found[i]!))) : Infinity;

describe.each(VARIANTS)("$name", (variant) => {
  const { account } = variant;
  const tried = once(() => (soaking ? range(20) : [1, 2]).map(triedOf(variant)));
  const lossOf = ({ outputs }: Tried): number => outputs.get("loss")!.data[0]!;

  it("gives what its account gives, and has its loss and gradients", { tags: "long" }, () => {
    for (const own of tried()) {
      const { output, loss } = own.account(null);
      expect(far(own.result, output.flat())).toBeLessThan(1e-9);
      expect(Math.abs(lossOf(own) - loss)).toBeLessThan(1e-9);
    }
    for (const own of soaking ? tried() : tried().slice(0, 1))
      for (const [name, off] of slopes(own, null)) expect(off, name).toBeLessThan(2e-5);
  });

  it.each(account.mistakes)("differs where a mistake is planted: %s", (mistake) => {
    // In the result or the loss of a case, or else in a gradient.
    const shows = tried().some((own) => {
      const { output, loss } = own.account(mistake);
      return far(own.result, output.flat()) > 1e-4 || Math.abs(lossOf(own) - loss) > 1e-4;
    });
    expect(shows || slopes(tried()[0]!, mistake).some(([, off]) => off > 1e-4)).toBe(true);
  });
});

describe("layer-skip", () => {
  const [variant] = VARIANTS;
  const { account, heads } = variant!;

  it("drops layers at rates that grow as 2^t - 1, the last at the full one", () => {
    const { graph } = optimized(textOf("layer-skip"), { phase: "train", set: { dim: "16", heads: "2", depth: "5" } });
    expect(ratesOf(graph)).toEqual(range(4).map((l) => expect.closeTo(0.2 * (2 ** ((l + 1) / 4) - 1), 4)));
  });

  it("generates what its account gives, which leaves at the exit", async () => {
    const device = await testDevice();
    const text = Object.entries(variant!.set).reduce(
      (source, [parameter, value]) =>
        source.replace(new RegExp(`(\\b${parameter}: \\w+ = )[\\w.]+`, "g"), `$1${value}`),
      textOf("layer-skip"),
    );
    const { generation } = compileGeneration(text, { target: device.target });
    const weights = randomWeights(generation!.prompt, 4);
    const generator = await createGenerator(generation!, device, (w) => weights.get(w.path)!.data, { chunk: 2 });
    const texts = [
      [3, 1, 4, 1, 5],
      [2, 7],
    ];
    const task = { x: [], targets: [], depth: 3, stays: () => [] };
    for await (const { sequence, token, logprob } of generator.generate(
      texts.map((t) => [...t]),
      {
        maxTokens: 4,
        sampling: { logprobs: true },
      },
    )) {
      const said = (mistake: string | null): readonly number[] =>
        softmax(
          account
            .of({ weights, heads }, { ...task, tokens: texts[sequence]!, mistake, held: new Map() })
            .output.at(-1)!,
        );
      const right = said(null);
      expect(right.indexOf(Math.max(...right))).toBe(token);
      expect(Math.abs(Math.log(right[token]!) - logprob!)).toBeLessThan(1e-4);
      const deep = said("the result is the last layer's");
      expect(Math.abs(Math.log(deep[token]!) - logprob!)).toBeGreaterThan(1e-3);
      texts[sequence]!.push(token);
    }
    generator.dispose();
  });
});

/** The numbers that draws are compared with. */
function ratesOf(graph: Graph): readonly number[] {
  return nodesOf(graph).flatMap((node) => {
    if (!node.inputs.some((input) => isOp(input, "random_uniform"))) return [];
    return node.inputs.flatMap((input) => (isOp(input, "constant") ? [input.attrs.value] : []));
  });
}
