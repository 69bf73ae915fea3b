// Routes by masks: unions, intersections and complements of routes, and masks that multiply an update.
import { describe, expect, it } from "vitest";
import { isOp, nodesOf, typeOf, type Graph } from "../../src/compiler/ir/graph.js";
import { packedAxis } from "../../src/compiler/ir/typing.js";
import { resolveShares } from "../../src/compiler/cost/shares.js";
import { resolveSizes } from "../../src/ground/size/axes.js";
import type { CountMode } from "../../src/ground/size/counting.js";
import { toNumber } from "../../src/ground/numerics/rational.js";
import { rowsSize } from "../../src/ground/size/size.js";
import type { Program } from "../../src/runtime/program/program.js";
import { testDevice } from "../device.js";
import { expectAgreement, type Tally } from "../end-to-end/agree.js";
import {
  compiled,
  onDevice,
  randomInput,
  randomWeights,
  reference,
  sessionOf,
  type Case,
} from "../end-to-end/model.js";

const D = 16;
const TOLERANCE = { atol: 5e-6, rtol: 5e-6 };

const source = (body: string, signature = "x: f32[B, T <= 64, dim], s: f32[B, T], q: f32[B, T]"): string => `
import { Layer, Linear, SwiGLU } from "std"
model M(dim: int = ${D}) {
  layer: Layer(dim, 2)
  other: Layer(dim, 2)
  mlp:   SwiGLU(dim, 4 * dim)
  gate:  Linear(dim, 1)
  forward(${signature}) -> f32[B, T, dim] {
    ${body}
  }
}
`;

const given = (lengths: readonly number[] | null): Case => ({
  inputs: { x: randomInput([3, 21, D], 1), s: randomInput([3, 21], 2), q: randomInput([3, 21], 3) },
  ...(lengths ? { lengths: Uint32Array.from(lengths) } : {}),
});

/** The output on the device, which the reference has agreed with; `used` are the inputs that the program has. */
async function outputOf(text: string, whole: Case): Promise<{ readonly graph: Graph; readonly data: number[] }> {
  const { program, graph } = compiled(text);
  const names = new Set(program.inputs.map((i) => i.name));
  const own = { ...whole, inputs: Object.fromEntries(Object.entries(whole.inputs).filter(([n]) => names.has(n))) };
  const weights = randomWeights(program, 4);
  const session = await sessionOf(program, await testDevice(), weights, { B: 2, T: 16 });
  const results = await onDevice(session, own);
  const tally: Tally = { choices: 0, forced: 0 };
  expectAgreement(graph, weights, own, results, TOLERANCE, tally);
  expect(tally.forced).toBe(0);
  session.dispose();
  return { graph, data: [...reference(graph, weights, own).outputs.get("output")!.data] };
}

const PUT = "put(x, r, layer(take(x, r)))";

describe("those", () => {
  const ragged = [null, [21, 0, 13]] as const;

  it.each([
    ["the complement of a choice", "r = those(not a.mask)", "r = top(-s, T - ceil(T / 4))"],
    ["a choice itself", "r = those(a.mask)", "r = a"],
    ["an intersection", "r = those(a.mask and b.mask)", "r = above(where(a.mask, q, -1.0), 0.0)"],
    ["a union", "r = those(a.mask or b.mask)", "r = above(where(a.mask, 1.0, q), 0.0)"],
    ["a difference", "r = those(b.mask and not a.mask)", "r = above(where(a.mask, -1.0, q), 0.0)"],
    ["two comparisons", "r = those(s > 0.0 and q < 0.5)", "r = above(where(s > 0.0, 0.5 - q, -1.0), 0.0)"],
    ["none", "r = those(s > 100.0)", "r = top(s, 0)"],
  ])("is %s", { tags: "long" }, async (_, masked, otherwise) => {
    for (const lengths of ragged) {
      const before = "a = top(s, ceil(T / 4))\n b = above(q, 0.0)\n ";
      const own = await outputOf(source(`${before}${masked}\n observe r\n ${PUT}`), given(lengths));
      const same = await outputOf(source(`${before}${otherwise}\n observe r\n ${PUT}`), given(lengths));
      expect(own.data).toEqual(same.data);
    }
  });

  it("is above, to the last kernel, where the mask is a comparison", () => {
    const text = (route: string): unknown => running(compiled(source(`r = ${route}\n ${PUT}`)).program);
    expect(text("those(s > 0.25)")).toEqual(text("above(s, 0.25)"));
    expect(text("those(0.25 < s)")).toEqual(text("above(s, 0.25)"));
    expect(text("those(s > q)")).toEqual(text("above(s, q)"));
  });

  it("with what a route chose gives every token to one of two blocks", async () => {
    const body = `a = top(s, ceil(T / 4))
    rest = those(not a.mask)
    observe a
    observe rest
    put(put(x, a, layer(take(x, a))), rest, other(take(x, rest)))`;
    const { graph } = await outputOf(source(body), given([21, 0, 13]));
    // The host knows how many are left, so no tensor is sized by its bound and starts are tables.
    expect(graph.axes.find((a) => a.name === "K2")).toMatchObject({ count: { kind: "rest" } });
    expect(isOp(graph.starts.get("K2")!, "starts")).toBe(true);
  });

  it("are counted by what the host knows, in memory and in costs", () => {
    const body = `a = top(s, ceil(T / 4))
    rest = those(not a.mask)
    few = those(a.mask and q > 0.0, expected: 75%)
    put(put(x, rest, other(take(x, rest))), few, layer(take(x, few)))`;
    const { graph } = compiled(source(body));
    const run = { extents: new Map(Object.entries({ B: 2, T: 42 })), lengths: new Map(), live: new Map() };
    const rows = (mode: CountMode): number[] =>
      ["K2", "K3"].map((axis) => resolveSizes(graph.axes, run, mode).sequence(axis).rows);
    expect(rows("bound")).toEqual([2 * (42 - 11), 2 * 11]);
    expect(rows("expected")).toEqual([2 * (42 - 11), 2 * 11]);
    expect(rows("dense")).toEqual([2 * 42, 2 * 42]);
    const shares = (dense: boolean): number[] =>
      ["K2", "K3"].map((axis) => toNumber(resolveShares(graph.axes, run, dense).rational(rowsSize(axis))));
    expect(shares(false)).toEqual([2 * 31.5, 2 * 10.5]);
    expect(shares(true)).toEqual([2 * 42, 2 * 42]);
  });

  it("reports margins of the comparisons that decide", () => {
    const { graph, program } = compiled(
      source(`r = those((s > 0.5 or q > 0.0) and not (s > 2.0))\n observe r\n ${PUT}`),
    );
    const row = (data: readonly number[]): { shape: number[]; data: Float32Array } => ({
      shape: [1, 2],
      data: Float32Array.from(data),
    });
    const weights = randomWeights(program, 1);
    const margin = (s: readonly number[], q: readonly number[]): number => {
      const inputs = { x: randomInput([1, 2, D], 1), s: row(s), q: row(q) };
      return [...reference(graph, weights, { inputs }).routes.values()][0]!.margins[0]!;
    };
    // Where both hold the firmer decides, of 0.25 and 1; where neither does, the less firm, of 1.5 and 3.
    expect(margin([0.75, -1], [1, -3])).toBe(1);
    expect(margin([0.75, 0.25], [1, -3])).toBe(0.25);
    // The second token is held back by s > 2 alone.
    expect(margin([0.75, 2.5], [1, 1])).toBe(0.5);
  });
});

/** What runs, in order. */
const running = ({ steps, kernels }: Program): readonly unknown[] =>
  steps.map((step) =>
    step.kind === "dispatch"
      ? { wgsl: kernels[step.kernel]!.wgsl, uniforms: step.uniforms, workgroups: step.workgroups }
      : step.kind,
  );

describe("a straight mask that multiplies an update", () => {
  const masks = ["straight(r.mask, sigmoid(s))", "f32(r.mask)", "straight(f32(r.mask), s)"];

  it.each(masks)("skips it elsewhere: %s", (mask) => {
    const byMask = compiled(source(`r = above(s, 0.0)\n x + mlp(x) * ${mask}[..., None]`));
    const byPut = compiled(source(`r = above(s, 0.0)\n put(x, r, mlp(take(x, r)))`));
    expect(running(byMask.program)).toEqual(running(byPut.program));
  });

  it("is the mask, bit for bit, and nothing of the soft value is computed", async () => {
    const own = await outputOf(
      source(`r = top(s, ceil(T / 4))\n x * straight(r.mask, gate(x)[..., 0])[..., None]`),
      given(null),
    );
    const same = await outputOf(source("r = top(s, ceil(T / 4))\n x * f32(r.mask)[..., None]"), given(null));
    expect(own.data).toEqual(same.data);
    expect(nodesOf(own.graph).some((n) => isOp(n, "matmul"))).toBe(false);
  });

  it("leaves keys of all tokens to the queries of the chosen", async () => {
    const body = "r = top(s, ceil(T / 4))\n observe r\n x + layer.attn(x) * straight(r.mask, s)[..., None]";
    const { graph } = await outputOf(source(body), given([21, 0, 13]));
    const [attention] = nodesOf(graph).filter((n) => isOp(n, "attention"));
    expect(packedAxis(typeOf(attention!.inputs[0]).shape[1]!)).toBe("K");
    expect(packedAxis(typeOf(attention!.inputs[1]).shape[1]!)).toBe("T");
  });

  it("lets the block run for all tokens in train", () => {
    const text = source(`r = top(s, ceil(T / 4))\n x + mlp(x) * straight(r.mask, gate(x)[..., 0])[..., None]`).replace(
      /}\s*$/,
      "objective(x: f32[B, T <= 64, dim], s: f32[B, T], q: f32[B, T]) { loss l = mean(forward(x, s, q) ^ 2) } }",
    );
    const products = (graph: Graph): string[] =>
      nodesOf(graph).flatMap((n) => (isOp(n, "matmul") ? [packedAxis(typeOf(n).shape[0]!) ?? ""] : []));
    const trained = compiled(text, { phase: "train", gradients: true }).graph;
    expect(products(trained)).toContain("T");
    expect(products(compiled(text, { phase: "infer" }).graph)).not.toContain("T");
  });
});
