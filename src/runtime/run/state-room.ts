// The sizes of a session's states and the offsets of their rows: set at loading, and changed on request between runs.
//
// A state along a sequence axis stores the sequences' rows one sequence after the other, so when the axis grows, the
// rows of all sequences but the first move.
import { countOf } from "../../ground/base/collections.js";
import { isFloat } from "../../ground/base/dtype.js";
import type { Program, ProgramState } from "../program/program.js";
import { type Axis, resolveSizes, type RunSizes, type Sizes } from "../../ground/size/axes.js";
import type { Rational } from "../../ground/numerics/rational.js";
import { atomsOf, type Size } from "../../ground/size/size.js";
import type { Buffers, Move } from "../steps/buffers.js";
import type { Device } from "../device/device.js";
import { InputError } from "../device/errors.js";
import { checkMax } from "./extents.js";
import { inputAxes } from "../steps/sizes.js";
import { sizeOfText } from "../../ground/size/parse-size.js";

export class StateRoom {
  readonly #program: Program;
  readonly #axes: readonly Axis[];
  readonly #live: ReadonlyMap<string, Rational>;
  /** Axes that a state's shape depends on. */
  readonly #along: readonly string[];
  #run: RunSizes;
  #sizes: Sizes;

  /** `run`: the sizes for which the states are created. */
  constructor(program: Program, axes: readonly Axis[], run: RunSizes) {
    this.#program = program;
    this.#axes = axes;
    this.#live = run.live;
    this.#along = [...new Set(program.states.flatMap((s) => s.shape.flatMap((text) => axesOf(sizeOfText(text)))))];
    [this.#run, this.#sizes] = this.#at(run);
  }
  #at(run: RunSizes): readonly [RunSizes, Sizes] {
    const full = { ...run, lengths: new Map() };
    return [full, resolveSizes(this.#axes, full)];
  }

  /** The present shape of a state, also for a program that shares the state. */
  readonly shapeOf = (state: Pick<ProgramState, "shape">): readonly number[] =>
    state.shape.map((text) => this.#sizes.number(sizeOfText(text)));

  /**
   * Throws InputError if a run's extents differ from the states' extents. A program that shares some of the states has
   * no other axes.
   */
  expect({ extents }: RunSizes): void {
    for (const axis of this.#along) {
      const [needed, current] = [extents.get(axis), this.#run.extents.get(axis)];
      if (needed !== undefined && needed !== current)
        throw new InputError(
          null,
          `${axis} is ${needed} in this run, but the states have ${current}`,
          "call resetStates or growStates first",
        );
    }
  }

  /**
   * The sizes of the states with these extents changed. Throws InputError for a name that is not an axis, and for an
   * invalid extent.
   */
  with(extents: Readonly<Record<string, number>>): RunSizes {
    const chosen = checkMax(this.#axes, extents);
    return {
      extents: new Map(
        inputAxes(this.#axes).map((a) => [a.name, chosen.get(a.name) ?? this.#run.extents.get(a.name)!]),
      ),
      lengths: new Map(),
      live: this.#live,
    };
  }

  /** Sets the sizes of the states. */
  set(run: RunSizes): void {
    [this.#run, this.#sizes] = this.#at(run);
  }

  /** By slot: the moves of each sequence's rows, for the states whose layout changes. */
  movesTo(run: RunSizes): ReadonlyMap<number, readonly Move[]> {
    const [, after] = this.#at(run);
    const moves = new Map<number, readonly Move[]>();
    for (const state of this.#program.states) {
      const shape = this.shapeOf(state);
      const now = state.shape.map((text) => after.number(sizeOfText(text)));
      if (now.every((n, d) => n === shape[d])) continue;
      moves.set(state.slot, rowMoves(state, this.#sizes, after, shape, now));
    }
    return moves;
  }

  /** Writes the initial values of all states. */
  begin(device: Device, buffers: Buffers): void {
    const encoder = device.gpu.createCommandEncoder();
    for (const { init, slot } of this.#program.states)
      if (init.kind === "zeros") encoder.clearBuffer(buffers.buffer(slot));
    device.gpu.queue.submit([encoder.finish()]);
    for (const state of this.#program.states) fill(device, buffers, state, 0, buffers.bytes(state.slot));
  }

  /** Writes the initial values of new rows in the states of these slots. New buffers are already zero. */
  beginRows(device: Device, buffers: Buffers, moved: ReadonlyMap<number, readonly Move[]>): void {
    for (const state of this.#program.states) {
      const copies = moved.get(state.slot)?.toSorted((a, b) => a.to - b.to);
      if (!copies) continue;
      let end = 0;
      for (const { to, bytes } of [...copies, { to: buffers.bytes(state.slot), bytes: 0 }]) {
        if (to > end) fill(device, buffers, state, end, to - end);
        end = to + bytes;
      }
    }
  }
}

const axesOf = (size: Size): readonly string[] =>
  [...atomsOf(size)].flatMap((a) => (a.kind === "live" ? [] : [a.axis]));

function fill(
  device: Device,
  buffers: Buffers,
  { init, slot, dtype }: ProgramState,
  from: number,
  bytes: number,
): void {
  if (init.kind !== "filled") return;
  const values = isFloat(dtype) ? new Float32Array(bytes / 4) : new Uint32Array(bytes / 4);
  device.gpu.queue.writeBuffer(buffers.buffer(slot), from, values.fill(init.value));
}

/**
 * The moves of a state whose first dimension is the rows of a sequence axis: for each sequence, the rows that exist
 * before and after.
 */
function rowMoves(
  { name, shape: texts }: ProgramState,
  before: Sizes,
  after: Sizes,
  shape: readonly number[],
  now: readonly number[],
): readonly Move[] {
  const [first] = texts;
  const size = sizeOfText(first ?? 1);
  const [atom, ...more] = [...atomsOf(size)];
  if (shape.slice(1).some((n, d) => n !== now[d + 1]) || atom === undefined || more.length > 0 || atom.kind === "live")
    throw new InputError(name, `state ${name} cannot keep its values at another size`);
  const width = 4 * countOf(shape.slice(1));
  if (atom.kind === "axis") return [{ from: 0, to: 0, bytes: Math.min(shape[0]!, now[0]!) * width }];
  const [oldRows, newRows] = [before.sequence(atom.axis), after.sequence(atom.axis)];
  const moves: Move[] = [];
  let from = 0;
  let to = 0;
  for (let b = 0; b < Math.min(oldRows.batch, newRows.batch); b++) {
    const bytes = Math.min(oldRows.at(b), newRows.at(b)) * width;
    if (bytes > 0) moves.push({ from, to, bytes });
    from += oldRows.at(b) * width;
    to += newRows.at(b) * width;
  }
  return moves;
}
