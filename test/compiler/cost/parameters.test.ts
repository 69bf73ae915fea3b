// Parameters that are active for a token, against sums done by hand.
import { describe, expect, it } from "vitest";
import { check } from "../../../src/language/check/check.js";
import type { Phase } from "../../../src/language/check/model/model.js";
import { ledger, type Ledger } from "../../../src/compiler/cost/ledger.js";
import { formatDiagnostics } from "../../../src/language/diagnostics/format.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import { optimize } from "../../../src/compiler/passes/index.js";

function ledgerOf(
  text: string,
  { T = 8, phase = "infer" }: { readonly T?: number; readonly phase?: Phase } = {},
): Ledger {
  const checked = check({ file: "m.mod", text }, { phase, set: {}, read: () => null });
  if (!checked.model) throw new Error(formatDiagnostics(checked.diagnostics, { sources: checked.sources }));
  const extents = new Map([
    ["B", 2],
    ["T", T],
  ]);
  return ledger(optimize(lower(checked.model)), checked.model, { extents });
}

/** Embedding 13 × 8, a routed network of 8 × 24 twice, a router of 8, a predictor, and a head that is the table or not. */
const routed = (head: string, logits: string): string => `
import { Embedding, GeluMLP, Linear, MoD } from "std"
model M(live capacity: ratio = 12.5%) {
  embed: Embedding(13, 8)
  mod: MoD(GeluMLP(8, 24, bias: false), 8, capacity)
  ${head}
  forward(tokens: u32[B, T <= 64]) -> f32[B, T, 13] {
    x = mod(embed(tokens))
    ${logits}
  }
}`;
const TABLE = 13 * 8;
const NETWORK = 2 * 8 * 24;
const PREDICTOR = 8 * 8 + 8 + 8 + 1;

describe("active parameters", () => {
  it("are those of a routed block by its capacity, exactly, at any length", () => {
    for (const T of [1, 3, 8, 64]) {
      const { total, embeddingParameters, headParameters, active } = ledgerOf(
        routed("head: Linear(8, 13, bias: false)", "head(x)"),
        { T },
      );
      expect(total.parameters).toBe(TABLE + NETWORK + 8 + PREDICTOR + TABLE);
      expect([embeddingParameters, headParameters]).toEqual([TABLE, TABLE]);
      // Top-k needs no predictor, so in infer nothing reads it.
      expect(active).toEqual({ total: TABLE + NETWORK / 8 + 8 + TABLE, tables: TABLE, heads: TABLE });
    }
  });

  it("are those of the rule of the phase: in generate the predictor decides, and the router is the gate", () => {
    const { active } = ledgerOf(routed("", "x @ transpose(embed.table)"), { phase: "generate" });
    expect(active).toEqual({ total: TABLE + NETWORK / 8 + 1 + PREDICTOR, tables: TABLE, heads: 0 });
  });

  it("count a tied head as the table that it is", () => {
    const { headParameters, embeddingParameters } = ledgerOf(routed("", "x @ transpose(embed.table)"));
    expect([embeddingParameters, headParameters]).toEqual([TABLE, 0]);
  });

  it("are k of E experts, and what all tokens read whole", () => {
    const text = `
import { Linear, SwiGLU } from "std"
model M(experts: int = 6) {
  router: Linear(8, experts)
  expert: [for e in 0..experts: SwiGLU(8, 16)]
  shared: SwiGLU(8, 5)
  weight scale: f32[8]
  state bias: f32[experts]

  forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] {
    score = softmax(router(x)) + bias
    y = shared(x)
    for e in 0..experts {
      gate = score[..., e]
      ahead = sum(f32(score > gate[..., None]), axis: -1)
      chosen = those(ahead < 2.0, expected: 2 / experts)
      y = put(y, chosen, expert[e](take(x, chosen)) * take(gate, chosen)[..., None])
    }
    y * scale
  }
}`;
    const { total, active } = ledgerOf(text, { T: 5 });
    const expert = 3 * 8 * 16;
    const whole = 8 * 6 + 6 + 3 * 8 * 5 + 8;
    expect(total.parameters).toBe(whole + 6 * expert);
    expect(active.total).toBe(whole + 2 * expert);
  });

  const kinds = (list: string): string => `
import { Linear, MoE, Nothing, SwiGLU } from "std"
model M() {
  moe: MoE(${list}, 8, 3)
  forward(x: f32[B, T <= 64, 8]) -> f32[B, T, 8] { moe(x) }
}`;

  it("are those of a list of several kinds by the share that each is of all", () => {
    const { total, active } = ledgerOf(kinds("[for e in 0..4: SwiGLU(8, 16, bias: true)] + [Nothing(), Nothing()]"));
    const expert = 3 * 8 * 16 + 2 * 16 + 8;
    expect(total.parameters).toBe(8 * 6 + 4 * expert);
    expect(active.total).toBe(8 * 6 + 3 * (4 / 6) * expert);
  });

  it("go with operations: experts that cost nothing save their share, and count as real ones where nothing skips", () => {
    const products = 2 * 3 * 8 * 16;
    const router = 2 * 8 * 6;
    const { total, tokens } = ledgerOf(kinds("[for e in 0..4: SwiGLU(8, 16)] + [Nothing(), Nothing()]"));
    expect(total.executed.products).toBe(tokens * (router + 3 * (4 / 6) * products));
    expect(total.dense.products).toBe(tokens * (router + 3 * products));
    const all = ledgerOf(kinds("[for e in 0..6: SwiGLU(8, 16)]"));
    expect(all.total.executed.products).toBe(tokens * (router + 3 * products));
  });

  it("count a weight with several readers by the one that reads for most tokens", () => {
    const text = `
import { Linear } from "std"
model M() {
  score: Linear(4, 1)
  shared: Linear(4, 4)
  forward(x: f32[B, T <= 64, 4]) -> f32[B, T, 4] {
    s = score(x)[..., 0]
    some = top(s, ceil(T / 4))
    x = put(x, some, shared(take(x, some)) * take(s, some)[..., None])
    half = top(s, ceil(T / 2))
    put(x, half, shared(take(x, half)) * take(s, half)[..., None])
  }
}`;
    expect(ledgerOf(text).active.total).toBe(5 + 20 / 2);
  });
});
