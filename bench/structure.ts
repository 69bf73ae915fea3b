// What can be read off a compiled program without running it: its dispatches, and the memory between them.
import type { Program } from "../src/program/program.js";
import { parseAxes, SizeTable } from "../src/runtime/sizes.js";
import { resolveSizes } from "../src/size/axes.js";

export interface Structure {
  readonly dispatches: number;
  readonly otherSteps: number;
  readonly kernels: number;
  /** Of all slots but those of weights, states, tables, inputs and results: what lies between the residual stream that comes in and the one that goes out. */
  readonly activationBytes: number;
}

/** At B = 1 and this T. */
export function structureOf(program: Program, T: number): Structure {
  const axes = parseAxes(program);
  const table = new SizeTable();
  const sizes = program.slots.map((slot) => table.index(slot.bytes));
  const values = table.values(
    resolveSizes(axes, {
      extents: new Map(Object.entries({ B: 1, T })),
      lengths: new Map(),
      live: new Map(),
    }),
  );
  const results = program.outputs.filter((o) => o.role === "result");
  const outside = new Set<number | null>([
    ...program.weights.flatMap((w) => w.slots.map((s) => s.slot)),
    ...[...program.states, ...program.tables, ...program.inputs, ...results].map((s) => s.slot),
  ]);
  const dispatches = program.steps.filter((s) => s.kind === "dispatch").length;
  return {
    dispatches,
    otherSteps: program.steps.length - dispatches,
    kernels: program.kernels.length,
    activationBytes: sizes.reduce((sum, size, slot) => sum + (outside.has(slot) ? 0 : values[size]!), 0),
  };
}
