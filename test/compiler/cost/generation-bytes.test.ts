// The bytes that a step of generation reads in models with experts: the weights of the experts that its token takes, by
// the ledger and by the works of the program.
import { describe, expect, it } from "vitest";
import { compile } from "../../../src/compiler/compile.js";
import { ledger } from "../../../src/compiler/cost/ledger.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import { optimize } from "../../../src/compiler/passes/index.js";
import { parseAxes, SizeTable } from "../../../src/runtime/steps/sizes.js";
import { resolveSizes } from "../../../src/ground/size/axes.js";
import { check } from "../../../src/language/check/check.js";
import { PORTABLE } from "../../../src/runtime/program/target.js";

const [DIM, HIDDEN] = [128, 96];

/** One layer: a mixture of `experts`, or for none a dense network as wide as the two that a token takes. */
const source = (experts: number): string => `import { Embedding, MoE, Residual, SwiGLU } from "std"
model M(dim: int = ${DIM}) {
  embed: Embedding(4, dim)
  layer: Residual(${experts === 0 ? `SwiGLU(dim, ${2 * HIDDEN})` : `MoE([for e in 0..${experts}: SwiGLU(dim, ${HIDDEN})], dim, 2)`})
  forward(tokens: u32[B, T <= 32]) -> f32[B, T, 4] { layer(embed(tokens)) @ transpose(embed.table) }
}
`;

/** Bytes by the ledger of forward, and by all works of the program. */
function bytesOf(experts: number, tokens: number): { readonly ledger: number; readonly works: number } {
  const text = source(experts);
  const { model } = check({ file: "m.mod", text }, { phase: "infer", read: () => null });
  const { program } = compile(text, { phase: "infer", target: PORTABLE });
  if (!model || !program) throw new Error("the source does not compile");
  const extents = new Map([
    ["B", 1],
    ["T", tokens],
  ]);
  const table = new SizeTable();
  const works = program.works.map((w) => table.index(w.bytes));
  const values = table.values(resolveSizes(parseAxes(program), { extents, lengths: new Map(), live: new Map() }));
  return {
    ledger: ledger(optimize(lower(model)), model, { extents }).total.executed.bytes,
    works: works.reduce((sum, size) => sum + values[size]!, 0),
  };
}

describe("a token that takes 2 of many experts", () => {
  const matrices = (experts: number): number => 4 * 3 * DIM * HIDDEN * experts;
  const router = (experts: number): number => 4 * DIM * experts;

  it.each([2, 8, 64])("of %i reads the weights of two", (experts) => {
    const [own, dense] = [bytesOf(experts, 1), bytesOf(0, 1)];
    expect(matrices(2)).toBe(4 * 3 * DIM * 2 * HIDDEN); // as many as the dense network has
    for (const by of ["ledger", "works"] as const) {
      expect(own[by] - router(experts)).toBeGreaterThan(matrices(2));
      expect((own[by] - router(experts)) / dense[by]).toBeLessThan(1.15);
    }
  });

  it("of 8 reads all weights once where there are tokens enough", () => {
    const [own, dense] = [bytesOf(8, 32), bytesOf(0, 32)];
    for (const by of ["ledger", "works"] as const) {
      expect(own[by]).toBeGreaterThan(matrices(8));
      expect(own[by]).toBeLessThan(matrices(8) + 4 * dense[by]);
    }
  });
});
