// What the ledger says of each kind of expert, against sums done by hand: parameters, operations of an entry, entries.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ledger, type Ledger } from "../../../src/compiler/cost/ledger.js";
import type { Mixture } from "../../../src/compiler/cost/experts.js";
import type { CompileOptions } from "../../../src/compiler/compile.js";
import { optimized } from "../../optimized.js";

const T = 64;

function ledgerOf(text: string, options: CompileOptions = {}, bytesPerValue: 2 | 4 = 4): Ledger {
  const { graph, model } = optimized(text, { verify: false, ...options });
  const extents = new Map([
    ["B", 2],
    ["T", T],
  ]);
  return ledger(graph, model, { extents, bytesPerValue });
}

const mixturesOf = (...given: Parameters<typeof ledgerOf>): readonly Mixture[] => ledgerOf(...given).mixtures;

const DIM = 16;
/** A model with one mixture and its members. */
const model = (imports: string, members: string, forward: string): string => `
import { ${imports} } from "std"
model M() {
  ${members}
  forward(x: f32[B, T <= ${T}, ${DIM}]) -> f32[B, T, ${DIM}] { ${forward} }
}`;
/** silu and product for each channel inside, and three products. */
const swiglu = (hidden: number) => ({ parameters: 3 * DIM * hidden, operations: 2 * 3 * DIM * hidden + 2 * hidden });

describe("mixtures in the ledger", () => {
  it("are one where layers are alike; entries are those of the tokens that a layer takes", () => {
    const text = readFileSync(new URL("../../../examples/mode.mod", import.meta.url), "utf8");
    const found = mixturesOf(text);
    expect(found.map(({ paths, kinds }) => [paths, kinds.map((k) => [k.block, k.experts, k.entries])])).toEqual([
      [["layers.0.inner.mlp", "layers.2.inner.mlp"], [["SwiGLU", 4, (2 * T) / 4]]],
      [["layers.1.inner.mlp", "layers.3.inner.mlp"], [["SwiGLU", 4, (2 * T) / 8 / 4]]],
    ]);
  });

  it("have a row for each kind of expert, those that compute nothing too", () => {
    const list = "[for e in 0..4: SwiGLU(16, 24)] + [Nothing(), Nothing()] + [Same()] + [SwiGLU(16, 40)]";
    const text = model("MoE, Nothing, Same, SwiGLU", `moe: MoE(${list}, ${DIM}, 3)`, "moe(x)");
    const entries = (2 * T * 3) / 8;
    expect(mixturesOf(text, {}, 2)).toEqual([
      {
        paths: ["moe"],
        kinds: [
          { block: "SwiGLU", experts: 4, ...swiglu(24), bytes: 2 * 3 * DIM * 24, entries },
          { block: "Nothing", experts: 2, parameters: 0, bytes: 0, operations: 0, entries },
          { block: "Same", experts: 1, parameters: 0, bytes: 0, operations: 0, entries },
          { block: "SwiGLU", experts: 1, ...swiglu(40), bytes: 2 * 3 * DIM * 40, entries },
        ],
      },
    ]);
  });

  it("cost what their entries do where no two are alike", () => {
    const of = (experts: string): Ledger["total"] => {
      const body = `s = router(x); c = top(s, 2, axis: -1); sum(experts[c](x) * take(s, c)[..., None], axis: -2)`;
      const text = model("Linear, Nothing, SwiGLU", `router: Linear(${DIM}, 8); experts: ${experts}`, body);
      return ledgerOf(text).total;
    };
    const alike = of("[for e in 0..8: SwiGLU(16, 64)]");
    for (const experts of [
      "[for e in 0..8: SwiGLU(16, 60 + e)]",
      "[for e in 0..8: SwiGLU(16, if e == 7 then 60 else 64)]",
    ]) {
      const unlike = of(experts);
      expect(unlike.executed.products / alike.executed.products).toBeCloseTo(1, 1);
      expect(unlike.dense.products).toBe(unlike.executed.products);
    }
    // Entries of experts that do nothing count as entries of a real expert in the cost without skipping.
    const half = of("[for e in 0..4: SwiGLU(16, 64)] + [for e in 0..4: Nothing()]");
    expect(half.dense.products).toBe(alike.executed.products);
  });

  /** The whole ledger of lists of 8 indexed by one choice of two, and summed. */
  const sumOf = (members: string, ...lists: readonly string[]): Ledger => {
    const called = lists.map((list) => `${list}[c](x)`).join(" + ");
    const body = `s = router(x); c = top(s, 2, axis: -1); sum((${called}) * take(s, c)[..., None], axis: -2)`;
    return ledgerOf(model("Linear, Nothing, SwiGLU", `router: Linear(${DIM}, 8, bias: false)\n  ${members}`, body));
  };
  /** Operations of products over these entries, and of the router's product. */
  const products = (...of: readonly (readonly [entries: number, hidden: number])[]): number =>
    of.reduce((sum, [entries, hidden]) => sum + entries * 2 * 3 * DIM * hidden, 2 * T * 2 * DIM * 8);
  const ENTRIES = 2 * T * 2;

  it("cost a block that stands in a list more than once its own entries", () => {
    for (const list of ["[a, a, a, a, d, d, d, d]", "[a, d, a, d, a, d, a, d]"]) {
      const found = sumOf("a: SwiGLU(16, 24)\n  d: SwiGLU(16, 40)", list);
      expect(found.total.executed.products).toBe(products([ENTRIES / 2, 24], [ENTRIES / 2, 40]));
      expect(found.total.dense.products).toBe(found.total.executed.products);
      expect(found.mixtures[0]!.kinds.map((k) => k.entries)).toEqual([ENTRIES / 8, ENTRIES / 8]);
    }
    // A token's two entries read half of one and half of the other each.
    const { active } = sumOf("a: SwiGLU(16, 24)\n  b: SwiGLU(16, 24)", "[a, a, a, b, a, b, b, b]");
    expect(active.total).toBe(DIM * 8 + 2 * swiglu(24).parameters);
  });

  it("count for each list apart what it would cost if nothing were skipped, where lists share a choice", () => {
    const [some, others] = ["[for e in 0..4: SwiGLU(16, 24)]", "[for e in 0..4: Nothing()]"];
    const found = sumOf(`first: ${some} + ${others}\n  second: ${others} + ${some}`, "first", "second");
    expect(found.total.executed.products).toBe(products([ENTRIES / 2, 24], [ENTRIES / 2, 24]));
    expect(found.total.dense.products).toBe(products([ENTRIES, 24], [ENTRIES, 24]));
    // Several kinds in a list: kinds keep their share among computed entries.
    const kinds = sumOf("list: [for e in 0..2: SwiGLU(16, 24)] + [for e in 0..2: SwiGLU(16, 40)] + " + others, "list");
    expect(kinds.total.dense.products).toBe(products([ENTRIES / 2, 24], [ENTRIES / 2, 40]));
  });

  it("count entries by what is expected of a threshold, and of experts that choose by their share", () => {
    const body = (chosen: string): string =>
      model(
        "Linear, SwiGLU",
        `router: Linear(${DIM}, 8); experts: [for e in 0..8: SwiGLU(${DIM}, 24)]`,
        `s = router(x); c = ${chosen}; sum(experts[c](x) * take(s, c)[..., None], axis: -2)`,
      );
    const kindOf = (chosen: string) => mixturesOf(body(chosen))[0]!.kinds;
    expect(kindOf("above(s, 0.0, expected: 25%)")).toMatchObject([{ ...swiglu(24), entries: (2 * T) / 4 }]);
    expect(kindOf("top(s, ceil(T / 5), axis: 1)")).toMatchObject([{ ...swiglu(24), entries: 2 * 13 }]);
  });

  it("count with capacity what there is room for, in the total as in the table", () => {
    const of = (room: number, expected: string, list = "[for e in 0..8: SwiGLU(16, 24)]"): Ledger =>
      ledgerOf(
        model(
          "Linear, Nothing, SwiGLU",
          `router: Linear(${DIM}, 8, bias: false)\n  experts: ${list}`,
          `s = router(x)
          wish = top(s, 2, axis: -1)
          early = top(where(wish.mask, s, -1e9), ceil(T / ${room}), axis: 1)
          c = those(wish.mask and early.mask${expected})
          sum(experts[c](x) * take(s, c)[..., None], axis: -2)`,
        ),
      );
    // Rooms of a quarter, of an eighth and of a half of the tokens; a quarter is what two of eight choose each.
    for (const [room, expected, each] of [
      [4, "", (2 * T) / 4],
      [8, "", (2 * T) / 8],
      [2, "", (2 * T) / 4],
      [8, ", expected: 10%", (2 * T) / 10],
    ] as const) {
      const { mixtures, total, active } = of(room, expected);
      expect(mixtures[0]!.kinds.map((k) => k.entries)).toEqual([each]);
      expect(total.executed.products).toBeCloseTo(products([8 * each, 24]), 6);
      expect(total.dense.products).toBeCloseTo(products([expected === "" ? ENTRIES : 8 * each, 24]), 6);
      expect(active.total).toBeCloseTo(DIM * 8 + ((8 * each) / (2 * T)) * swiglu(24).parameters, 0);
    }
    const kinds = of(8, "", "[for e in 0..4: SwiGLU(16, 24)] + [for e in 0..4: Nothing()]");
    expect(kinds.total.executed.products).toBe(products([(4 * 2 * T) / 8, 24]));
    // No two experts are alike: every expert is a kind, with an equal share of all choices.
    const attending = of(8, "", "[for e in 0..8: SwiGLU(16, 20 + e)]");
    expect(attending.mixtures[0]!.kinds.map((k) => k.entries)).toEqual(Array.from({ length: 8 }, () => (2 * T) / 8));
  });

  it("divide the operations of experts that attend by their own entries", () => {
    const text = model(
      "Attention, MoE, SwiGLU",
      `moe: MoE([Attention(${DIM}, 2), Attention(${DIM}, 2), SwiGLU(${DIM}, 24)], ${DIM}, 1)`,
      "moe(x)",
    );
    const [attention, network] = mixturesOf(text)[0]!.kinds;
    // Of each sequence so many as a route has room for.
    const entries = 2 * Math.ceil(T / 3);
    expect(network).toMatchObject({ ...swiglu(24), experts: 1, entries });
    expect(attention).toMatchObject({ experts: 2, parameters: 4 * DIM * DIM, entries });
    expect(attention!.operations).toBeGreaterThan(2 * 4 * DIM * DIM);
    expect(attention!.operations).toBeLessThan(2 * 4 * DIM * DIM + 4 * DIM * T);
  });

  it("count an entry once where layers share their experts, and its gradients where there are some", () => {
    const text = `
import { Linear, MoE, SwiGLU } from "std"
model M() {
  moe: MoE([for e in 0..4: SwiGLU(${DIM}, 24)], ${DIM}, 2)
  forward(x: f32[B, T <= ${T}, ${DIM}]) -> f32[B, T, ${DIM}] { moe(moe(x)) }
  objective(x: f32[B, T <= ${T}, ${DIM}]) { loss l = mean(forward(x) ^ 2) }
}`;
    const [found, ...more] = mixturesOf(text);
    expect(more).toEqual([]);
    expect(found!.paths).toEqual(["moe#0", "moe#1"]);
    expect(found!.kinds).toMatchObject([{ ...swiglu(24), entries: T }]);
    const [trained] = mixturesOf(text, { program: "gradients" });
    const times = trained!.kinds[0]!.operations / swiglu(24).operations;
    // The first mixture's input needs none.
    expect(times).toBeGreaterThan(3 - 1 / 3);
    expect(times).toBeLessThan(3);
  });

  it("are none where there is no list that a choice calls", () => {
    expect(mixturesOf(model("SwiGLU", `mlp: SwiGLU(${DIM}, 24)`, "mlp(x)"))).toEqual([]);
  });
});
