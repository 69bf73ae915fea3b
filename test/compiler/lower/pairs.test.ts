// Attention that reads pairs of tokens, against the same products written out: values and gradients in 64 bits.
import { describe, expect, it } from "vitest";
import { check } from "../../../src/language/check/check.js";
import { formatDiagnostics } from "../../../src/language/diagnostics/format.js";
import { withGradients } from "../../../src/compiler/autodiff/gradients.js";
import { nodesOf } from "../../../src/compiler/ir/graph.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import { optimize } from "../../../src/compiler/passes/index.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { expectClose } from "../../close.js";
import { feed } from "./run-case.js";
import { PAIR_CASES, programOf } from "./pair-cases.js";

/** Both sides compute in 64 bits, in different orders. */
const TOLERANCE = 1e-9;

function modelOf(text: string, phase: "infer" | "train") {
  const { model, diagnostics, sources } = check({ file: "test.mod", text }, { phase, read: () => null });
  if (!model) throw new Error(formatDiagnostics(diagnostics, { sources }));
  return model;
}

const SIZES = new Map([
  ["B", 3],
  ["T", 7],
]);

describe("attention that reads pairs of tokens", () => {
  for (const kase of PAIR_CASES) {
    it(`equals its products written out, with gradients: ${kase.name}`, () => {
      const run = (written: boolean): ReadonlyMap<string, readonly number[]> => {
        const model = modelOf(programOf(kase, written), "train");
        const graph = lower(model);
        expect(nodesOf(graph).some((n) => n.op === "pair_attention")).toBe(!written);
        const fed = feed(model, SIZES, 5, () => 3);
        const lengths = [7, 0, 4];
        const found = new Map<string, readonly number[]>();
        const graphs = [
          withGradients(graph, model.weights),
          optimize(withGradients(graph, model.weights), { verify: true }),
        ];
        graphs.forEach((g, i) => {
          const { outputs } = evaluate(g, { ...fed, lengths });
          for (const [name, t] of outputs) found.set(`${name} ${i}`, [...t.data]);
        });
        return found;
      };
      const [fused, written] = [run(false), run(true)];
      expect([...fused.keys()].toSorted()).toEqual([...written.keys()].toSorted());
      expect(Math.abs(fused.get("loss 0")![0]!)).toBeGreaterThan(1e-3);
      for (const [name, values] of written) expectClose(fused.get(name)!, values, () => TOLERANCE, name);
    });
  }
});
