// How many kernels the step of a model is: on a software device each costs about as long as reading a hundred kilobytes
// of weights, whatever it does.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import type { Program } from "../../../src/runtime/program/program.js";
import { PORTABLE, type Target } from "../../../src/runtime/program/target.js";
import { MODELS } from "./models.js";

const MESA: Target = {
  device: "mesa-software",
  subgroups: [8, 8],
  f16: true,
  limits: { ...PORTABLE.limits, storageBuffersPerStage: 16 },
};

/** Rows long enough to be summed as those of real models are. */
const WIDE = { dim: "512" };

const DECODER = readFileSync(new URL("../../../bench/models/decoder.mod", import.meta.url), "utf8");
const stepOf = (set: Readonly<Record<string, string>>): Program =>
  compileGeneration(DECODER, { target: MESA, set: { ...WIDE, heads: "8", ...set } }).generation!.step;

/** The operators that the kernels of a layer are named for, in order. */
function kernelsOf(name: string, target: Target, layer: string): readonly string[] {
  const { step } = compileGeneration(MODELS[name]!, { target, set: WIDE }).generation!;
  return step.works.flatMap(({ ops, main }) => {
    const { op, origin } = ops[main]!;
    const path = origin === null ? "" : step.origins[origin]!.path;
    return path === layer || path.startsWith(`${layer}.`) ? [op] : [];
  });
}

type Step = Program["steps"][number];

/** Workgroups of a dispatch when it runs, also if it runs in place of another. */
const mostWorkgroups = (step: Step): string =>
  step.kind === "dispatch" ? String(step.standIn?.workgroups ?? step.workgroups) : "";
/** Whether a step is ever run but in place of another. */
const runsForItself = (step: Step): boolean => step.kind !== "dispatch" || step.workgroups !== 0;

describe("the step of a model that generates", () => {
  it("has five kernels for a dense layer, of which the first sets keys and values in their caches", () => {
    expect(kernelsOf("dense", MESA, "layers.1")).toEqual(["matmul", "attention", "matmul", "matmul", "matmul"]);
  });

  it("has five more for a short convolution, which keeps each row that it reads once", () => {
    const model = (layers: number): string => `import { Linear, ShortConv } from "std"
      model M(dim: int = 32) {
        weight embed: f32[64, dim]
        convs: [for i in 0..${layers}: ShortConv(dim, 4)]
        out: Linear(dim, 64)
        forward(tokens: u32[B, T <= 128]) -> f32[B, T, 64] {
          x = embed[tokens]
          for conv in convs { x = sin(conv(x)) }
          out(x)
        }
      }`;
    for (const caches of ["rows", "pages"] as const) {
      const [none, one, two] = [0, 1, 2].map((layers) => {
        const { step, states = [] } = compileGeneration(model(layers), { target: MESA, caches }).generation!;
        return { kernels: step.steps.length, bytes: states.map(({ bytes }) => bytes) };
      });
      expect([none!.bytes, one!.bytes, two!.bytes]).toEqual([[], [3 * 32 * 4], [3 * 32 * 4, 3 * 32 * 4]]);
      // With slots, the state's rows are gathered first.
      expect(two!.kernels - one!.kernels).toBe(caches === "rows" ? 5 : 6);
      expect(one!.kernels - none!.kernels).toBeLessThanOrEqual(two!.kernels - one!.kernels + 1);
    }
  });

  it("has seven for a routed one: predictor, choice, and what computes the tokens that were chosen", () => {
    expect(kernelsOf("mixture of depths", MESA, "layers.1")).toEqual([
      "matmul",
      "above",
      "matmul",
      "attention",
      "matmul",
      "matmul",
      "matmul",
    ]);
    // Rows that a routed layer adds to are not summed anew.
    expect(kernelsOf("mixture of depths", MESA, "layers.2")).toEqual([
      "matmul",
      "attention",
      "matmul",
      "matmul",
      "matmul",
    ]);
  });

  it(
    "is that of the model without its routed layers, beside their predictors, choices, what their tokens need and " +
      "a kernel for counts",
    () => {
      const routed = stepOf({ depth: "8", routed: "true" });
      const without = stepOf({ depth: "4", routed: "false" });
      const axes = routed.axes.flatMap((a) =>
        a.role === "sequence" && a.count.kind === "above" ? [`rows(${a.name})`] : [],
      );
      expect(axes).toHaveLength(4);
      const own = routed.steps.filter((step) => {
        if (step.kind !== "dispatch") return true;
        const { ops } = routed.works[step.work!]!;
        const chooses =
          ops.some((o) => o.op === "above") ||
          ops.every(({ origin }) => origin !== null && routed.origins[origin]!.path.includes(".guess"));
        const counts = ops.some((o) => o.op === "concat");
        return !chooses && !counts && !axes.some((rows) => mostWorkgroups(step).includes(rows));
      });
      // What stands in for a kernel is there where that is, and for the same kernels.
      const shown = ({ kernels }: Program, steps: Program["steps"]): readonly string[] =>
        steps.map((s) => {
          if (s.kind !== "dispatch") return s.kind;
          const whereElse = s.standIn ? `, in place of one of ${s.standIn.steps}: ${s.standIn.workgroups}` : "";
          return `${kernels[s.kernel]!.name.replace(/\.\d+$/, "")} ${s.workgroups}${whereElse}`;
        });
      expect(shown(routed, own)).toEqual(shown(without, without.steps));
      const left = routed.steps.filter((step) => !own.includes(step));
      // Three tilings of five products, of which one runs, attention, predictor and choice, which counts apart where
      // rows are many.
      expect(left.filter(runsForItself)).toHaveLength(4 * (3 * 5 + 1 + 3) + 1);
      // Each product also has a kernel that runs in place of one of its tilings, for many rows or for one.
      const named = left.filter((step) => !runsForItself(step)).map(({ work }) => routed.works[work!]!);
      expect(named.map(({ ops, main }) => ops[main]!.op)).toEqual(Array.from({ length: 4 * 5 * 2 }, () => "matmul"));
    },
  );

  it("computes positions, places and counts where it chooses", () => {
    const { step } = compileGeneration(MODELS["mixture of depths"]!, { target: MESA, set: WIDE }).generation!;
    const choices = step.works.filter((w) => w.ops.some((o) => o.op === "above"));
    expect(choices.map((w) => w.ops.map((o) => o.op).toSorted())).toEqual(
      choices.map(() => ["above", "add", "add", "append", "counts", "set", "take"]),
    );
  });

  it("moves nothing behind its kernels", () => {
    for (const name of ["dense", "mixture of depths", "every layer routed", "windows of attention"]) {
      const { step } = compileGeneration(MODELS[name]!, { target: MESA, set: WIDE }).generation!;
      expect(
        step.steps.filter((s) => s.kind === "copy"),
        name,
      ).toEqual([]);
    }
  });

  it("has a few more where fewer buffers may be bound", () => {
    expect(kernelsOf("dense", PORTABLE, "layers.1")).toEqual([
      "sum",
      "matmul",
      "set",
      "set",
      "attention",
      "matmul",
      "sum",
      "matmul",
      "matmul",
    ]);
    expect(kernelsOf("mixture of depths", PORTABLE, "layers.1").length).toBeLessThanOrEqual(16);
  });
});
