// Properties of a compiled program: its dispatches, operations, and memory of intermediate values.
import type { Program } from "../src/runtime/program/program.js";
import { memoryOf } from "../src/runtime/index.js";
import { packsRows } from "../src/runtime/device/held-textures.js";
import { parseAxes, SizeTable } from "../src/runtime/steps/sizes.js";
import { resolveSizes } from "../src/ground/size/axes.js";

export interface Structure {
  /** That have workgroups. */
  readonly dispatches: number;
  /** Dispatches that pack rows for the next dispatch, out of `dispatches`. */
  readonly packing: number;
  /** Dispatches without workgroups at these sizes: they serve runs with other row counts. */
  readonly idle: number;
  readonly copies: number;
  /** Different kernels among `dispatches`. */
  readonly kernels: number;
  /** Floating-point operations as the program's works count them: attention by the pairs that are seen. */
  readonly flops: number;
  /**
   * All buffers but those of weights, states, tables, inputs and the result called `output`: for a layer, what lies
   * beyond the residual stream.
   */
  readonly activationBytes: number;
}

/** At B = 1 and this T. */
export function structureOf(program: Program, T: number): Structure {
  const table = new SizeTable();
  const workgroups = program.steps.map((s) => (s.kind === "dispatch" ? table.index(s.workgroups) : null));
  const flops = program.works.map((w) => table.index(w.flops));
  const output = program.outputs.find((o) => o.name === "output");
  const outputBytes = output ? table.index(program.slots[output.slot]!.bytes) : null;
  const extents = new Map(Object.entries({ B: 1, T }));
  const values = table.values(resolveSizes(parseAxes(program), { extents, lengths: new Map(), live: new Map() }));
  const kernels = program.steps.flatMap((s, i) =>
    s.kind === "dispatch" && values[workgroups[i]!]! > 0 ? [s.kernel] : [],
  );
  const compiled = workgroups.filter((w) => w !== null).length;
  const memory = memoryOf(program, { max: { B: 1, T } });
  return {
    dispatches: kernels.length,
    packing: kernels.filter((k) => packsRows(program.kernels[k]!)).length,
    idle: compiled - kernels.length,
    copies: program.steps.length - compiled,
    kernels: new Set(kernels).size,
    flops: flops.reduce((sum, size) => sum + values[size]!, 0),
    activationBytes: memory.activations + memory.results - (outputBytes === null ? 0 : values[outputBytes]!),
  };
}
