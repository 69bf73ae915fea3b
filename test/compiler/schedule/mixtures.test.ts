// A mixture of experts takes few dispatches whatever their number, and gives what the reference gives.
import { describe, expect, it } from "vitest";
import { expectClose } from "../../close.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import type { Node } from "../../../src/compiler/ir/graph.js";
import { compile } from "../../../src/compiler/compile.js";
import type { ProgramName } from "../../../src/runtime/program/names.js";
import { PORTABLE, type Limits, type Target } from "../../../src/runtime/program/target.js";
import { schedule } from "../../../src/compiler/schedule/schedule.js";
import { testDevice } from "../../device.js";
import { expectAgreement } from "../../end-to-end/agree.js";
import { compiled, onDevice, randomInput, randomLengths, randomWeights, sessionOf } from "../../end-to-end/model.js";
import { runOnDevice } from "../../kernels/operators.js";
import { Bench, type Setting } from "../ops/bench.js";
import { mixture, type MixtureSizes } from "../ops/mixture.js";

const device = await testDevice();

function made(setting: Setting, sizes: MixtureSizes, seed = 5) {
  const b = new Bench(setting, seed);
  const x = b.rows([], [sizes.dim]);
  return b.finish(mixture(b, x, sizes, b.rows([], [sizes.dim])), "mixture");
}

/** The same of rows that are normed, which are the residual too. */
function normed(setting: Setting, sizes: MixtureSizes) {
  const b = new Bench(setting, 7);
  const x = b.rows([], [sizes.dim]);
  const squares = b.node("sum", [b.node("powi", [x], { exponent: 2 })], { axes: [1], keep: true });
  const unit = b.node("mul", [x, b.node("rsqrt", [squares], {})], {});
  const norm = b.node("mul", [unit, b.weight("norm", "f32", [sizes.dim])], {});
  return b.finish(mixture(b, norm, sizes, x), "mixture");
}

/** The kernel files that compute a router's operators after `score`. */
const files = (build: (b: Bench, logits: Node) => Node): readonly string[] => {
  const b = new Bench({ tokens: 5 }, 3);
  return schedule(b.finish(build(b, b.rows([], [8])), "router").graph, PORTABLE).steps.map((s) =>
    s.kind === "dispatch" ? s.kernel.file : s.kind,
  );
};

describe("a choice of entries", () => {
  const soft = (b: Bench, x: Node): Node => b.node("softmax", [x], { axis: 1 });
  const taken = (b: Bench, x: Node): Node =>
    b.node("take_entries", [x, b.node("top_entries", [x], { k: 2, choice: "" })], {});
  const share = (b: Bench, x: Node, least: number): Node => {
    const sum = b.node("sum", [x], { axes: [1], keep: true });
    return b.node(
      "div",
      [
        x,
        least === 0 ? sum : b.node("add", [sum, b.node("constant", [], { value: least, dtype: "f32", shape: [] })], {}),
      ],
      {},
    );
  };
  it.each([
    ["scores", (b: Bench, x: Node) => taken(b, x)],
    ["scores of a softmax", (b: Bench, x: Node) => taken(b, soft(b, x))],
    ["shares", (b: Bench, x: Node) => share(b, taken(b, x), 0)],
    ["shares of a softmax, and a least", (b: Bench, x: Node) => share(b, taken(b, soft(b, x)), 0.5)],
    ["a softmax of the chosen", (b: Bench, x: Node) => soft(b, taken(b, x))],
  ])("computes its gates: %s", async (_name, build) => {
    expect(files(build)).toEqual(["gating"]);
    const b = new Bench({ batch: 2, tokens: 9, lengths: [9, 4] }, 11);
    const own = b.finish(
      build(
        b,
        b.rows([], [8], "f32", (r) => r.uniform(0.1, 2)),
      ),
      "router",
    );
    const { y0 } = await runOnDevice(device, own);
    expectClose(y0!.data, evaluate(own.graph, own.options).outputs.get("y0")!.data, (v) => 1e-6 * Math.abs(v) + 1e-7);
  });

  it("computes a softmax that something else reads, and what that is", () => {
    const found = files((b, x) => {
      const score = soft(b, x);
      return b.node("add", [b.node("sum", [score], { axes: [1], keep: true }), taken(b, score)], {});
    });
    expect(found).toEqual(["gating"]);
  });
});

/** The kernels for a mixture after a norm, with these parameters of `MoE`; what it chose is observed. */
const dispatches = (experts: number, parameters: string, program: ProgramName = "infer"): readonly string[] => {
  const source = `import { Embedding, MoE, RMSNorm, SwiGLU } from "std"
model M(dim: int = 32) {
  embed: Embedding(64, dim)
  norm: RMSNorm(dim)
  moe: MoE([for e in 0..${experts}: SwiGLU(dim, 48)], dim, ${parameters})
  forward(tokens: u32[B, T <= 64]) -> f32[B, T, 64] {
    x = embed(tokens)
    (x + moe(norm(x))) @ transpose(embed.table)
  }
}`;
  const { graph } = compile(source, { program, target: PORTABLE });
  if (!graph) throw new Error("the source does not compile");
  return schedule(graph, PORTABLE).steps.map((s) => (s.kind === "dispatch" ? s.kernel.file : s.kind));
};

const EVERY = ["gating", "sort_entries", "matmul_vectors", "matmul_vectors", "sum_entries"];

describe("a mixture behind a norm", () => {
  it.each([
    [2, "1"],
    [8, "2, renormalize: true"],
    [64, '4, gate: "chosen", router_bias: true'],
    [64, '8, gate: "sigmoid", renormalize: true, scale: 2.5, groups: 8, open: 4, loss_free: true'],
    [768, "12, scale: 6.0"],
  ])("of %i experts, %s: six dispatches behind the statistic of the norm", (experts, parameters) => {
    const found = dispatches(experts, parameters);
    const [router] = found.slice(found.indexOf("row_sums_wide") + 1);
    expect(router).toMatch(/^matmul/);
    expect(found).toEqual(["gather", "row_sums_wide", router, ...EVERY, expect.stringMatching(/^matmul/)]);
  });

  it.each([
    [
      { batch: 2, tokens: 20, lengths: [20, 7] },
      { dim: 64, hidden: 96, experts: 5, k: 2 },
    ],
    [{}, { dim: 37, hidden: 41, experts: 9, k: 3 }],
  ] as const)("agrees with the reference", async (setting, sizes) => {
    const own = normed(setting, sizes);
    const expected = evaluate(own.graph, own.options).outputs.get("y0")!.data;
    const largest = expected.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    for (const target of [device.target, PORTABLE]) {
      const { y0 } = await runOnDevice(device, own, target);
      expectClose(y0!.data, expected, () => 2e-6 * largest);
    }
  });

  it("stores no norm behind a routed layer either, whose statistics are rewritten", () => {
    const source = `import { Attention, Embedding, Layer, LayerOf, MoD, MoE, SwiGLU } from "std"
model M(dim: int = 64) {
  embed: Embedding(256, dim)
  layers: [Layer(dim, 4), MoD(Layer(dim, 4), dim, 12.5%)]
  mixed: LayerOf(Attention(dim, 4), MoE([for e in 0..4: SwiGLU(dim, 96)], dim, 2), dim)
  forward(tokens: u32[B, T <= 512]) -> f32[B, T, 256] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    mixed(x) @ transpose(embed.table)
  }
}`;
    const target: Target = { ...PORTABLE, device: "mesa-software", subgroups: [8, 8] };
    const { graph } = compile(source, { program: "step", target });
    if (!graph) throw new Error("the source does not compile");
    const computed = schedule(graph, target).steps.map((s) => s.nodes.map((n) => n.op));
    const choice = computed.findIndex((ops) => ops.includes("top_entries"));
    expect(computed[choice - 1]).toEqual(expect.arrayContaining(["rsqrt", "mul", "matmul"]));
  });

  /** A mixture inside a route: without attention, its rows are the route's as they lie in the stream. */
  const STAGED = `import { MoD, MoE, RMSNorm, SwiGLU } from "std"
block Network(dim: int) {
  norm: RMSNorm(dim)
  moe:  MoE([for e in 0..5: SwiGLU(dim, 48)], dim, 2)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { moe(norm(x)) }
}
model Staged(dim: int = 32) {
  layer: MoD(Network(dim), dim, 50%)
  forward(x: f32[B, T <= 64, dim]) -> f32[B, T, dim] { layer(x) }
}`;

  it("reads the rows of a route where they lie, through both indices", () => {
    const { graph } = compile(STAGED, { target: PORTABLE });
    if (!graph) throw new Error("the source does not compile");
    const computed = schedule(graph, PORTABLE).steps.map((s) => s.nodes.map((n) => n.op));
    const sort = computed.findIndex((ops) => ops.includes("sort_entries"));
    expect(computed[sort + 1]).toEqual(expect.arrayContaining(["rsqrt", "mul", "grouped_matmul", "silu"]));
  });

  it.each([
    { batch: 1, T: 13 },
    { batch: 3, T: 64 },
  ])("gives what the reference gives inside a route: $batch × $T", async ({ batch, T }) => {
    const { program, graph } = compiled(STAGED);
    const given = { inputs: { x: randomInput([batch, T, 32], 5) }, lengths: randomLengths(batch, T, 3) };
    const weights = randomWeights(program, 9);
    const session = await sessionOf(program, device, weights, { B: batch, T });
    const tally = { choices: 0, forced: 0 };
    expectAgreement(graph, weights, given, await onDevice(session, given), { atol: 1e-5, rtol: 1e-5 }, tally);
    expect(tally.choices).toBeGreaterThan(0);
    session.dispose();
  });

  it("has the same in a step of generation", () => {
    const found = dispatches(8, "2, renormalize: true", "step");
    const first = found.indexOf("gating");
    expect(found.slice(first, first + EVERY.length)).toEqual(EVERY);
    expect(found[first - 1]).toMatch(/^matmul/);
    expect(found[first - 2]).toBe("row_sums_wide");
  });
});

describe("a mixture of gated networks", () => {
  it.each([2, 8, 64])("of %i experts takes six dispatches", (experts) => {
    const { graph } = made({ batch: 2, tokens: 16 }, { dim: 64, hidden: 96, experts, k: 2 });
    const files = schedule(graph, PORTABLE).steps.map((s) => (s.kind === "dispatch" ? s.kernel.file : s.kind));
    expect(files).toEqual([
      experts < 32 ? "matmul" : "matmul_vectors",
      "gating",
      "sort_entries",
      "matmul_vectors",
      "matmul_vectors",
      "sum_entries",
    ]);
  });

  /** A mixture of gated networks by a choice of another kind, in infer. */
  const choosing = (choice: string, experts: number): readonly string[] => {
    const { graph } = compile(
      `import { Linear, SwiGLU } from "std"
model M(dim: int = 64, n: int = ${experts}) {
  router: Linear(dim, n, bias: false)
  experts: [for e in 0..n: SwiGLU(dim, 96)]
  forward(x: f32[B, T <= 64, dim]) -> f32[B, T, dim] {
    p = softmax(router(x))
    ${choice}
    x + sum(experts[chosen](x) * take(p, chosen)[..., None], axis: -2)
  }
}`,
      { target: PORTABLE },
    );
    if (!graph) throw new Error("the source does not compile");
    return schedule(graph, PORTABLE).steps.map((s) => (s.kind === "dispatch" ? s.kernel.file : s.kind));
  };

  it.each([3, 48])("of %i experts, any number of them a token, takes six dispatches too", (experts) => {
    for (const choice of ["chosen = above(p, 0.2)", "chosen = those(p > 0.2 or p < 0.01)"]) {
      const [router, ...more] = choosing(choice, experts);
      expect(router).toMatch(/^matmul/);
      expect(more).toEqual(EVERY);
    }
  });

  it.each([3, 48])("of %i experts that choose takes two more: one for all of their choices", (experts) => {
    const [router, ...more] = choosing("chosen = top(p, ceil(20% * T), axis: 1)", experts);
    expect(router).toMatch(/^matmul/);
    expect(more).toEqual(["softmax", "top_rows", ...EVERY]);
    const room = `wish = top(p, 2, axis: -1)
    early = top(where(wish.mask, -f32(position(x))[..., None], -1e9), ceil(50% * T), axis: 1)
    chosen = those(wish.mask and early.mask)`;
    expect(choosing(room, experts).slice(1)).toEqual(["gating", "top_rows", ...EVERY]);
  });

  it("of kinds that alternate has two products for each kind, and tells the kinds by comparisons", () => {
    const { graph } = compile(
      `import { GeluMLP, MoE, SwiGLU } from "std"
model M(dim: int = 32, n: int = 40) {
  moe: MoE([for e in 0..n: if e % 2 == 0 then SwiGLU(dim, 48) else GeluMLP(dim, 40)], dim, 3)
  forward(x: f32[B, T <= 64, dim]) -> f32[B, T, dim] { x + moe(x) }
}`,
      { target: PORTABLE },
    );
    if (!graph) throw new Error("the source does not compile");
    const { steps } = schedule(graph, PORTABLE);
    expect(steps.filter((s) => s.nodes.some((n) => n.op === "grouped_matmul"))).toHaveLength(4);
    expect(steps.length).toBeLessThan(56);
  });

  it("adds up the squares of all experts' gradients in as many steps, whatever their number", () => {
    const reductions = (experts: number): number => {
      const { graph } = compile(
        `import { MoE, SwiGLU } from "std"
model M(dim: int = 64, n: int = ${experts}) {
  moe: MoE([for e in 0..n: SwiGLU(dim, 96)], dim, 2)
  objective(x: f32[B, T <= 64, dim]) { loss square = mean((x + moe(x)) ^ 2) }
}`,
        { target: PORTABLE, program: "train-step" },
      );
      if (!graph) throw new Error("the source does not compile");
      const files = schedule(graph, PORTABLE).steps.map((s) => (s.kind === "dispatch" ? s.kernel.file : s.kind));
      return files.filter((file) => /^(reduce|row_sums)/.test(file)).length;
    };
    expect(reductions(17)).toBeLessThanOrEqual(reductions(9) + 1);
  });

  it("is computed in parts of its experts where a binding holds no more", async () => {
    const own = made({ batch: 2, tokens: 30, lengths: [30, 11] }, { dim: 64, hidden: 96, experts: 7, k: 2 });
    const expected = evaluate(own.graph, own.options).outputs.get("y0")!.data;
    const largest = expected.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    // Two experts' gates and inputs, or five of the second matrices.
    const target = { ...device.target, limits: { ...device.target.limits, storageBindingBytes: 120_000 } };
    const steps = (limits: Limits): number => schedule(own.graph, { ...PORTABLE, limits }).steps.length;
    expect(steps(PORTABLE.limits)).toBe(6);
    // Four parts of the first product, and two of the second, with the starts of each.
    expect(steps(target.limits)).toBeGreaterThan(10);
    const { y0 } = await runOnDevice(device, own, target);
    expectClose(y0!.data, expected, () => 2e-6 * largest);
  });

  it.each([
    ["few rows", { tokens: 3 }, { dim: 36, hidden: 40, experts: 5, k: 2 }],
    ["one row", {}, { dim: 64, hidden: 64, experts: 9, k: 3 }],
    ["ragged rows", { batch: 3, tokens: 40, lengths: [40, 0, 17] }, { dim: 64, hidden: 96, experts: 4, k: 2 }],
    ["every expert", { tokens: 7 }, { dim: 32, hidden: 48, experts: 3, k: 3 }],
    ["odd sizes", { tokens: 33 }, { dim: 37, hidden: 41, experts: 6, k: 2 }],
  ] as const)("of %s agrees with the reference", { tags: "long" }, async (_name, setting, sizes) => {
    const own = made(setting, sizes);
    const expected = evaluate(own.graph, own.options).outputs.get("y0")!.data;
    const largest = expected.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    for (const target of [device.target, PORTABLE]) {
      const { y0 } = await runOnDevice(device, own, target);
      expectClose(y0!.data, expected, () => 2e-6 * largest);
    }
  });
});
