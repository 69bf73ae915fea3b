// Tables: data that the host computes from sizes, live parameters and the seed, and writes to the device when it
// changes. Small inputs too are written when they change.
import { bug } from "../../ground/base/invariant.js";
import type { CountedTable, Program, ProgramTable } from "../program/program.js";
import { type Axis, kTable, type RunSizes, type SequenceAxis, type Sizes } from "../../ground/size/axes.js";
import type { Rule, RuleKind } from "../../ground/size/count-rules.js";
import { spanFunction } from "../../ground/size/counting.js";
import { Counts } from "../../ground/size/counts.js";
import { toNumber } from "../../ground/numerics/rational.js";
import type { Words } from "../../ground/base/dtype.js";
import { ropeFrequencies } from "../../ground/numerics/rope.js";
import type { Buffers } from "./buffers.js";
import type { Device } from "../device/device.js";
import { sizeOfText } from "../../ground/size/parse-size.js";

type RopeTable = Extract<ProgramTable, { kind: "rope" }>;
type AxisCounts = Extract<ProgramTable, { readonly kind: CountedTable }>;
type SizedTable = Exclude<ProgramTable, RopeTable | AxisCounts | { readonly kind: "seed" }>;

/** The most words of an input that are kept, to be compared with the next run's. */
const MOST_KEPT = 1000;

export class Tables {
  readonly #device: Device;
  readonly #program: Pick<Program, "tables">;
  readonly #axes: readonly Axis[];
  readonly #buffers: Buffers;
  /** Number of positions written in each rope table, by slot. */
  readonly #positions = new Map<number, number>();
  /** The last-written counts or contents of each other table, and of small inputs, by slot. */
  readonly #written = new Map<number, Words | Counts>();
  #seed: number | null = null;

  constructor(device: Device, program: Pick<Program, "tables">, axes: readonly Axis[], buffers: Buffers) {
    this.#device = device;
    this.#program = program;
    this.#axes = axes;
    this.#buffers = buffers;
  }

  /** Call when slots get new buffers: their contents may be lost. */
  forget(): void {
    this.#positions.clear();
    this.#written.clear();
    this.#seed = null;
  }

  /** Writes the tables whose contents change with these sizes, except the seed. */
  write(run: RunSizes, sizes: Sizes): void {
    for (const table of this.#program.tables)
      switch (table.kind) {
        case "seed":
          break;
        case "rope":
          this.#writeRope(table, sizes.number(sizeOfText(table.positions)));
          break;
        case "starts":
        case "counts":
        case "positions":
        case "segments": {
          const counts = sizes.sequence(table.axis);
          if (this.#changes(table.slot, counts)) this.#put(table.slot, 0, countedData(table.kind, counts));
          break;
        }
        default: {
          const data = tableData(table, this.#axes, run, sizes);
          if (this.#changes(table.slot, data)) this.#put(table.slot, 0, data);
        }
      }
  }

  /** Writes an input, whose words never change. No kernel writes to its buffer. */
  writeInput(slot: number, words: Words): void {
    if (this.#changes(slot, words)) this.#put(slot, 0, words);
    if (words.length > MOST_KEPT) this.#written.delete(slot);
  }

  #changes(slot: number, data: Words | Counts): boolean {
    const before = this.#written.get(slot);
    this.#written.set(slot, data);
    return !(before && sameContents(before, data));
  }

  writeSeed(seed: number): void {
    if (seed === this.#seed) return;
    for (const table of this.#program.tables) if (table.kind === "seed") this.#put(table.slot, 0, Uint32Array.of(seed));
    this.#seed = seed;
  }

  /**
   * Writes new positions: at least as many as are already written, if there is room, so that growing by one position at
   * a time stays cheap.
   */
  #writeRope(table: RopeTable, positions: number): void {
    const done = this.#positions.get(table.slot) ?? 0;
    if (positions <= done) return;
    const room = Math.floor(this.#buffers.bytes(table.slot) / (4 * table.width));
    const to = Math.min(room, Math.max(positions, 2 * done));
    this.#put(table.slot, done * table.width * 4, ropeRows(table, done, to));
    this.#positions.set(table.slot, to);
  }

  #put(slot: number, offset: number, data: Words): void {
    // made here or by `packInput`, unshared
    this.#device.gpu.queue.writeBuffer(this.#buffers.buffer(slot), offset, data as Float32Array<ArrayBuffer>);
  }
}

/** The contents of a table that depends on the counts of each sequence. */
export function countedData(kind: CountedTable, counts: Counts): Uint32Array {
  if (kind === "counts") return counts.list;
  if (kind === "starts") return counts.starts();
  const rows = new Uint32Array(counts.rows);
  for (let b = 0, row = 0; b < counts.batch; b++) {
    const n = counts.at(b);
    if (kind === "segments") rows.fill(b, row, (row += n));
    else for (let i = 0; i < n; i++) rows[row++] = i;
  }
  return rows;
}

/** `b`: counts if `a` is, since a slot always has the same table or input. */
const sameContents = (a: Words | Counts, b: Words | Counts): boolean =>
  a instanceof Counts
    ? a.equals(b as Counts)
    : a.length === (b as Words).length && a.every((value, i) => Object.is(value, (b as Words)[i]));

/** The contents of a table for these sizes. */
export function tableData(table: SizedTable, axes: readonly Axis[], run: RunSizes, sizes: Sizes): Words {
  switch (table.kind) {
    case "k":
      return kTable(axes, ruleOf(axes, table.axis, "top"), run, sizes);
    case "span":
      return spanTable(ruleOf(axes, table.axis, "span"), sizes);
    case "size":
      return sizeValue(table, sizes);
    case "live":
      return Float32Array.of(toNumber(run.live.get(table.name)!));
    case "literal":
      return Float32Array.from(table.values);
    default:
      return table satisfies never;
  }
}

function ruleOf<K extends RuleKind>(axes: readonly Axis[], name: string, kind: K): Rule<K> {
  const axis = axes.find((a): a is SequenceAxis => a.name === name && a.role === "sequence");
  if (axis?.count.kind !== kind) bug(`axis ${name} is not made by ${kind}`);
  return axis.count as Rule<K>; // the kind was just compared
}

function spanTable(rule: Rule<"span">, sizes: Sizes): Uint32Array {
  const { longest } = sizes.sequence(rule.parent);
  const span = spanFunction(rule, longest);
  const table = new Uint32Array(2 * (longest + 1));
  for (let n = 0; n <= longest; n++) table.set(span(n), 2 * n);
  return table;
}

function sizeValue(table: Extract<ProgramTable, { kind: "size" }>, sizes: Sizes): Words {
  const value = sizes.number(sizeOfText(table.size));
  switch (table.dtype) {
    case "f32":
      return Float32Array.of(value);
    case "u32":
      return Uint32Array.of(value);
    case "i32":
      return Int32Array.of(value);
    default:
      return table.dtype satisfies never;
  }
}

/**
 * Rows from … to − 1 of a rope table: the cosines of each position's angles, then the sines, both multiplied by the
 * scale. Angles are computed in f64.
 */
function ropeRows(table: RopeTable, from: number, to: number): Float32Array {
  const half = table.width / 2;
  const frequencies = ropeFrequencies(table);
  const out = new Float32Array((to - from) * table.width);
  for (let position = from; position < to; position++) {
    const row = (position - from) * table.width;
    for (let i = 0; i < half; i++) {
      const angle = position * frequencies[i]!;
      out[row + i] = Math.cos(angle) * table.scale;
      out[row + half + i] = Math.sin(angle) * table.scale;
    }
  }
  return out;
}
