// Arguments of the library's mixtures that mean nothing are refused where the mixture is made.
import { describe, expect, it } from "vitest";
import { checked } from "./harness.js";

const EIGHT = "[for e in 0..8: SwiGLU(16, 24)]";
const text = (args: string): string => `import { MoE, SwiGLU } from "std"
model M() {
  mlp: MoE(${args})
  forward(x: f32[B, T, 16]) -> f32[B, T, 16] { mlp(x) }
}`;

/** The one diagnostic: its code, message, and the source text at its span and at the spans of its notes. */
function refused(args: string) {
  const source = text(args);
  const { diagnostics } = checked(source);
  expect(diagnostics).toHaveLength(1);
  const [{ code, message, hint, span, notes }] = diagnostics as [(typeof diagnostics)[number]];
  const at = (own: typeof span | null): string => source.slice(own?.start, own?.end);
  const own = notes.filter((n) => n.span?.file === span.file).map((n) => [n.text, at(n.span)]);
  return { code, message, hint, at: at(span), notes: own };
}

describe("a mixture of experts", () => {
  it("chooses among the experts of open groups only", () => {
    const args = `${EIGHT}, 16, 3, groups: 4, open: 1`;
    expect(refused(args)).toMatchObject({
      code: "choice-too-large",
      message: "`top` cannot choose 3 of 2 entries",
      at: `MoE(${args})`,
    });
    expect(checked(text(`${EIGHT}, 16, 2, groups: 4, open: 1`)).diagnostics).toEqual([]);
    expect(checked(text(`${EIGHT}, 16, 3, groups: 4, open: 2`)).diagnostics).toEqual([]);
  });

  it("has groups that divide the experts, of which no more are open than there are", () => {
    for (const args of [`${EIGHT}, 16, 2, groups: 3, open: 2`, `${EIGHT}, 16, 2, groups: 3`])
      expect(refused(args)).toMatchObject({
        code: "bad-pattern",
        message: 'the pattern "b t (g e) -> b t g e" splits 8 by 3, which does not divide it',
        hint: "choose a number that divides the other",
        at: `MoE(${args})`,
      });
    expect(refused(`${EIGHT}, 16, 2, groups: 4, open: 5`)).toMatchObject({ code: "choice-too-large" });
    expect(refused(`${EIGHT}, 16, 2, groups: 0`)).toMatchObject({ code: "argument-out-of-range" });
  });

  it("has experts, all of its width", () => {
    const { diagnostics } = checked(text("[], 16, 2"));
    const [{ code, notes }] = diagnostics as [(typeof diagnostics)[number]];
    expect([code, notes[0]!.text, notes[0]!.span?.file]).toEqual(["size-out-of-range", "made here", "std/moe.mod"]);
    expect(refused("[SwiGLU(16, 24), SwiGLU(12, 24)], 16, 1")).toMatchObject({
      code: "wrong-input",
      notes: [["made here, as `mlp.experts.1`", "SwiGLU(12, 24)"]],
    });
  });

  it("is told what to do where its router cannot learn, or its bias would move twice", () => {
    const training = (args: string, body: string): string => `import { MoE, SwiGLU } from "std"
model M() {
  mlp: MoE(${EIGHT}, 16, ${args})
  forward(x: f32[B, T, 16]) -> f32[B, T, 16] { ${body} }
  objective(x: f32[B, T, 16]) { loss l = mean(forward(x) ^ 2) }
}`;
    const hint = (args: string, body: string): readonly unknown[] =>
      checked(training(args, body), { phase: "train" }).diagnostics.map((d) => [d.code, d.hint]);
    for (const args of ["1, renormalize: true", '1, gate: "chosen"'])
      expect(hint(args, "mlp(x)")).toEqual([["dead-router", expect.stringContaining("`balance: 0.01`")]]);
    expect(hint("1, renormalize: true, balance: 0.01", "mlp(x)")).toEqual([]);
    expect(hint("2, loss_free: true", "mlp(x + mlp(x))")).toEqual([
      ["state-set-twice", expect.stringContaining("`MoE(…, loss_free: false)`")],
    ]);
  });
});
