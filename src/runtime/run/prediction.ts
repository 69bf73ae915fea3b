// Checks a session's allocations against the sizes of its program, over all runs so far, and reports growth. Not in
// packages, whose programs do not change after the build.
import { bug } from "../../ground/base/invariant.js";
import type { Axis, RunSizes } from "../../ground/size/axes.js";
import { formatBytes } from "../device/errors.js";
import type { Program } from "../program/program.js";
import { uniformBytes } from "../steps/uniforms.js";
import { memoryAt } from "./memory.js";

/** A session's program and axes, and the bytes of each slot that its runs so far needed. */
export interface Predicted {
  readonly program: Program;
  readonly axes: readonly Axis[];
  readonly uniformAlignment: number;
  /** Slots whose buffers another session owns. */
  readonly shared: ReadonlySet<number>;
  slots: readonly number[];
}

/**
 * Throws if the bytes in use, without staging, differ from the sizes that this run and earlier runs need. `exact`:
 * slots that were created for this run alone.
 */
export function expectBytes(
  predicted: Predicted,
  run: RunSizes,
  bytes: number,
  exact: ReadonlySet<number> = new Set(),
): void {
  const { program, axes, uniformAlignment, shared, slots: before } = predicted;
  const slots = memoryAt(program, axes, run).slots.map((b, slot) =>
    exact.has(slot) ? b : Math.max(b, before[slot] ?? 0),
  );
  predicted.slots = slots;
  const uniforms = uniformBytes(program, uniformAlignment);
  const all = slots.reduce((n, b, slot) => (shared.has(slot) ? n : n + b), uniforms);
  if (bytes !== all) bug(`the buffers take ${bytes} bytes, the program says ${all}`);
}

/** The message when buffers grow for a run. */
export function growthMessage(model: string, { extents }: RunSizes, bytes: number): string {
  const [at, max] = [" ", ", "].map((between) =>
    [...extents].map(([axis, n]) => (between === " " ? `${axis}=${n}` : `${axis}: ${n}`)).join(between),
  );
  return (
    `the buffers of ${model} grew to ${formatBytes(bytes)} for ${at!}; load it with \`max: { ${max!} }\` to make ` +
    "that room at once"
  );
}
