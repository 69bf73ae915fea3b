// Which statistics of routed rows are taken with the rows, and that this changes nothing but the order of sums.
import { describe, expect, it } from "vitest";
import { isOp, nodesOf, type Graph } from "../../../src/compiler/ir/graph.js";
import { verify } from "../../../src/compiler/ir/verify.js";
import { ops } from "../../../src/compiler/ops/index.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { routedStatistics } from "../../../src/compiler/schedule/analysis/routed-statistics.js";
import { random } from "../../random.js";
import { graphOf } from "./graphs.js";
import { expectClose } from "../../close.js";

const AXES = { axes: "axis K = sequence above of T; expected = 1/2" };
const weight = (name: string, shape: readonly number[]): string =>
  `%${name} = weight {"path":"${name}","dtype":"f32","shape":[${shape.join()}]}()`;
const norm = (of: string, to: string): string =>
  `%${to}q = powi {"exponent":2}(%${of})\n%${to}s = sum {"axes":[1],"keep":true}(%${to}q)\n%${to}r = rsqrt(%${to}` +
  `s)\n%${to} = mul(%${of}, %${to}r)`;
const CHOICE = `%score = sum {"axes":[1],"keep":false}(%x)\n%half = constant {"value":0.1,"dtype":"f32","shape":[]}()
%above = above {"axis":"K"}(%score, %half, %starts)\n%i = pick {"result":0}(%above)\n%ks = pick {"result":1}(%above)\nstarts K = %ks`;
/** A stream from a product, a layer for the chosen rows whose update is `u`, and a norm behind it. */
const layer = (stream: string, update: string): Graph =>
  graphOf(
    `${stream}\n${CHOICE}\n%t = take {"dim":0}(%p, %i)\n${norm("t", "n")}\n${weight("v", [64, 64])}\n%h = matmul {"transposed":false}(%n, %v)\n${update}
%y = put {"dim":0}(%p, %i, %u)\n${norm("y", "z")}\n%ez = tanh(%z)\nresult "z" = %ez [B, T, 64] packed T 0 1`,
    AXES,
  );
const PRODUCT = `${weight("w", [4, 64])}\n%p = matmul {"transposed":false}(%x, %w)`;
const GATED = `${weight("gain", [64])}\n%m = mul(%t, %gain)\n%g = sum {"axes":[1],"keep":true}(%m)\n%u = mul(%h, %g)`;

const kinds = (graph: Graph): Readonly<Record<"put" | "set", number>> => {
  const count = (op: "put" | "set"): number => nodesOf(graph).filter((n) => isOp(n, op)).length;
  return { put: count("put"), set: count("set") };
};
const rewritten = (graph: Graph, sumsOver: number | null = 32): Graph =>
  routedStatistics(graph, () => ({ packs: true, sumsOver }));

describe("statistics of routed rows", () => {
  it.each([
    ["of a layer", "%u = tanh(%h)"],
    ["of one with a gate that is known before", GATED],
  ])("%s are set beside the rows, and are the same", (_name, update) => {
    const before = layer(PRODUCT, update);
    const after = rewritten(before);
    expect(verify(after, ops)).toEqual([]);
    expect(kinds(after)).toEqual({ put: 0, set: 2 });
    const rng = random(5);
    const normal = (count: number): Float64Array => Float64Array.from({ length: count }, () => rng.normal());
    const weights = new Map(
      nodesOf(before).flatMap((n) =>
        isOp(n, "weight")
          ? [[n.attrs.path, { shape: n.attrs.shape, data: normal(n.attrs.shape.reduce((a, b) => a * b, 1)) }] as const]
          : [],
      ),
    );
    const inputs = new Map([["x", { shape: [3, 9, 4], data: normal(3 * 9 * 4) }]]);
    const [wanted, found] = [before, after].map(
      (g) => evaluate(g, { inputs, weights, lengths: [9, 0, 4] }).outputs.get("z")!.data,
    );
    // Sums of 64 numbers in 64 bits, in another order.
    expectClose(found!, wanted!, () => 1e-13);
  });

  it.each([
    [
      "where no product makes the stream",
      layer(`%p = concat {"axis":1}(${Array.from({ length: 16 }, () => "%x").join(", ")})`, "%u = tanh(%h)"),
      32,
    ],
    ["where products cannot sum over rows", layer(PRODUCT, "%u = tanh(%h)"), null],
  ])("stay as they are %s", (_name, graph, sumsOver) => expect(rewritten(graph, sumsOver)).toBe(graph));

  it("are summed anew where the update waits for what its product gives for the whole row", () => {
    const after = rewritten(layer(PRODUCT, norm("h", "u")));
    expect(kinds(after)).toEqual({ put: 1, set: 0 });
  });
});
