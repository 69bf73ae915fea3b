// The table of rows for attention with a mask or bias: starts and positions, the operands of the pair, the bounds of
// operands in blocks of rows, and for the gradient the statistics of queries. It is one buffer, because kernels may
// bind only eight.
import { invariant } from "../../../ground/base/invariant.js";
import type { DType } from "../../../ground/base/dtype.js";
import type { Pair, PairSide } from "../../ir/pair.js";
import { packedAxis } from "../../ir/typing.js";
import type { TensorType } from "../../ir/types.js";
import { FIRST_OPERAND, isPerHead } from "../../ops/pairs.js";
import { addSizes, type Size } from "../../../ground/size/size.js";
import { DEFAULT_LIMITS } from "../../../runtime/program/target.js";
import { storageType } from "../codecs/words.js";
import type { Step } from "../plan/plan.js";
import { extent } from "./attention-operands.js";
import { input, KernelBuilder, typeAt, type KernelContext, type Operand } from "./spec.js";

export type PairContext = KernelContext<"pair_attention" | "pair_attention_grad">;

/** Rows whose values have one least and one largest number in the table. */
export const ROWS_OF_BOUNDS = 32;

/** A part of the table. `length`: its words as WGSL, for a number of rows N and M of queries and keys. */
interface Segment {
  readonly name: string;
  readonly length: string;
  readonly words: Size;
  /** The inputs that `value` reads. */
  readonly reads: readonly { readonly index: number; readonly dtype: DType }[];
  /** Word i of the part, as WGSL. */
  readonly value: (names: readonly string[]) => string;
  /** Declarations that `value` calls. */
  readonly calls?: (names: readonly string[]) => string;
}

/** The table of a pair attention: which parts it has and how kernels read them. */
export class PairRows {
  readonly #context: PairContext;
  readonly #pair: Pair;
  readonly #segments: readonly Segment[];

  /** `bounded`: operands whose bounds decide which tiles are seen; `statistics`: the inputs with lse and delta. */
  constructor(context: PairContext, bounded: ReadonlySet<number>, statistics: readonly [number, number] | null) {
    this.#context = context;
    this.#pair = context.attrs.pair;
    this.#segments = this.#made(bounded, statistics);
  }

  /** The operand that kernels read from its own buffer: the first in memory pair by pair; null if there is none. */
  get stored(): number | null {
    const first = this.#pair.operands.indexOf("pair");
    return first < 0 ? null : first;
  }

  get bytes(): Size {
    const { extents } = this.#context;
    return extents.times(4, this.#segments.map((s) => s.words).reduce(addSizes));
  }

  /** The steps that write the table. */
  steps(table: Operand): readonly Step<Operand>[] {
    const steps: Step<Operand>[] = [];
    let group: Segment[] = [];
    let bound = new Set<number>();
    const flush = (): void => {
      if (group.length > 0) steps.push(this.#step(table, group));
      [group, bound] = [[], new Set()];
    };
    for (const segment of this.#segments) {
      const next = new Set([...bound, ...segment.reads.map((r) => r.index)]);
      // The table, and the starts from which places of parts are counted, are bound too.
      const all = new Set([...next, STARTS_Q, STARTS_K]);
      if (all.size + 1 > DEFAULT_LIMITS.storageBuffersPerStage) flush();
      for (const { index } of segment.reads) bound.add(index);
      group.push(segment);
    }
    flush();
    return steps;
  }

  #step(table: Operand, group: readonly Segment[]): Step<Operand> {
    const { extents, tunings } = this.#context;
    const kernel = new KernelBuilder("pair_rows", extents);
    const read = new Map<number, string>();
    const bind = (index: number, name: string, dtype: DType): string => {
      let known = read.get(index);
      if (known === undefined) {
        read.set(index, (known = name));
        kernel.read(name, storageType(dtype), input(index));
      }
      return known;
    };
    bind(STARTS_Q, "startsQ", "u32");
    bind(STARTS_K, "startsK", "u32");
    const named = group.map((s) => s.reads.map(({ index, dtype }) => bind(index, `x${index}`, dtype)));
    kernel.write("y", "u32", table).count("batch", extents.batch);
    kernel
      .function("fn startQ(b: u32) -> u32 { return startsQ[b]; }")
      .function("fn startK(b: u32) -> u32 { return startsK[b]; }");
    this.#declareCounts(kernel);
    group.forEach((s, i) => {
      const calls = s.calls?.(named[i]!);
      if (calls !== undefined) kernel.function(calls);
    });
    const parts = group.map((s, i) => {
      const end = `${this.#before(s)} + ${s.length}`;
      return `  if (i < ${end}) {\n    let at = i - (${this.#before(s)});\n    return ${s.value(named[i]!)};\n  }`;
    });
    kernel
      .function(`fn first() -> u32 { return ${this.#before(group[0]!)}; }`)
      .function(`fn count() -> u32 { return ${this.#before(group.at(-1)!)} + ${group.at(-1)!.length} - first(); }`)
      .function(`fn value(i: u32) -> u32 {\n${parts.join("\n")}\n  return 0u;\n}`);
    return kernel.spread(group.map((s) => s.words).reduce(addSizes), tunings.elements);
  }

  /** Declares how a kernel reads the table, bound as `rows`, and the buffer of `stored`. */
  declare(kernel: KernelBuilder, table: Operand): void {
    kernel.read("rows", "u32", table);
    kernel
      .function("fn startQ(b: u32) -> u32 { return rows[b]; }")
      .function("fn startK(b: u32) -> u32 { return rows[batch() + 1u + b]; }");
    this.#declareCounts(kernel);
    kernel
      .function(`fn positionQ(row: u32) -> u32 { return rows[${this.#place("positionsQ")} + row]; }`)
      .function(`fn positionK(row: u32) -> u32 { return rows[${this.#place("positionsK")} + row]; }`);
    const { stored } = this;
    if (stored !== null)
      kernel.read("pairValues", storageType(this.#operandType(stored).dtype), input(FIRST_OPERAND + stored));
    if (this.#pair.operands.includes("pair")) kernel.count("spreadK", this.#spread());
  }

  /** The element of an operand as WGSL over `head`, `query`, `key` and `firstKey`; of a table, at `index`. */
  element(operand: number, index: string | null): string {
    const side = this.#pair.operands[operand]!;
    const type = this.#operandType(operand);
    const perHead = isPerHead(side, type);
    if (side === "pair") {
      const at = `(${perHead ? "head * pairQueries() + " : ""}query) * spreadK() + key - firstKey`;
      const word = operand === this.stored ? `pairValues[${at}]` : `rows[${this.#place(`operand${operand}`)} + ${at}]`;
      return operand === this.stored ? fromStored(word, type.dtype) : fromWord(word, type.dtype);
    }
    const row = side === "query" ? "query" : side === "key" ? "key" : `min(${index}, ${tableRows(type) - 1}u)`;
    const count = side === "query" ? "pairQueries()" : "pairKeys()";
    const place = !perHead
      ? row
      : side === "table"
        ? `${row} * ${Number(type.shape[1])}u + head`
        : `head * ${count} + ${row}`;
    return fromWord(`rows[${this.#place(`operand${operand}`)} + ${place}]`, type.dtype);
  }

  /** Least and largest number of the rows of block `block` of an operand, as WGSL. */
  bounds(operand: number): readonly [string, string] {
    const place = this.#place(`bounds${operand}`);
    const { dtype } = this.#operandType(operand);
    return [fromWord(`rows[${place} + 2u * block]`, dtype), fromWord(`rows[${place} + 2u * block + 1u]`, dtype)];
  }

  /** lse and delta of a head and query, as WGSL over `head` and `row`. */
  statistics(): string {
    const at = `${this.#place("lse")} + head * pairQueries() + row`;
    return `vec2f(bitcast<f32>(rows[${at}]), bitcast<f32>(rows[${at} + ${this.#heads()}u * pairQueries()]))`;
  }

  /** The number of rows of queries and of keys, from the host where it knows them. */
  #declareCounts(kernel: KernelBuilder): void {
    const { extents, inputs } = this.#context;
    const [n, m] = [typeAt(inputs, 0).shape[1]!, typeAt(inputs, 1).shape[1]!];
    extent(kernel, extents, "pairQueries", n, packedAxis(n), packedAxis(m));
    extent(kernel, extents, "pairKeys", m, packedAxis(n), packedAxis(m));
    if (this.#pair.operands.filter((side) => side === "pair").length > 1) kernel.count("spread", this.#spread());
  }

  #spread(): Size {
    const first = this.#pair.operands.indexOf("pair");
    return this.#operandType(first).shape.at(-1)!;
  }

  #operandType = (operand: number): TensorType => typeAt(this.#context.inputs, FIRST_OPERAND + operand);
  #heads(): number {
    const [heads] = typeAt(this.#context.inputs, 0).shape;
    invariant(typeof heads === "number", "the heads are known");
    return heads;
  }

  #place(name: string): string {
    const segment = this.#segments.find((s) => s.name === name);
    invariant(segment, `the table has no ${name}`);
    return this.#before(segment);
  }
  #before(segment: Segment): string {
    const before = this.#segments.slice(0, this.#segments.indexOf(segment));
    return before.length === 0 ? "0u" : before.map((s) => s.length).join(" + ");
  }

  #made(bounded: ReadonlySet<number>, statistics: readonly [number, number] | null): readonly Segment[] {
    const { extents, inputs } = this.#context;
    const [n, m] = [typeAt(inputs, 0).shape[1]!, typeAt(inputs, 1).shape[1]!];
    const copy = (name: string, index: number, length: string): Segment => {
      const type = typeAt(inputs, index);
      const words = extents.product(type.shape);
      return {
        name,
        length,
        words,
        reads: [{ index, dtype: type.dtype }],
        value: ([x]) => toWord(`${x!}[at]`, type.dtype),
      };
    };
    const starts = "(batch() + 1u)";
    const operands = this.#pair.operands.flatMap((side, i): readonly Segment[] =>
      i === this.stored ? [] : [copy(`operand${i}`, FIRST_OPERAND + i, this.#length(side, this.#operandType(i)))],
    );
    const bounds = [...bounded].map((i): Segment => {
      const side = this.#pair.operands[i]!;
      const type = this.#operandType(i);
      const count = side === "query" ? "pairQueries()" : "pairKeys()";
      const blocks = extents.ceilDivide(side === "query" ? n : m, ROWS_OF_BOUNDS);
      return {
        name: `bounds${i}`,
        length: `2u * ((${count} + ${ROWS_OF_BOUNDS - 1}u) / ${ROWS_OF_BOUNDS}u)`,
        words: extents.times(2, blocks),
        reads: [{ index: FIRST_OPERAND + i, dtype: type.dtype }],
        value: () => `boundOf${i}(at / 2u, at % 2u == 1u)`,
        calls: ([x]) => boundText(`boundOf${i}`, x!, count, type.dtype),
      };
    });
    const each = `${this.#heads()}u * pairQueries()`;
    return [
      copy("startsQ", STARTS_Q, starts),
      copy("startsK", STARTS_K, starts),
      copy("positionsQ", 5, "pairQueries()"),
      copy("positionsK", 6, "pairKeys()"),
      ...operands,
      ...bounds,
      ...(statistics === null ? [] : [copy("lse", statistics[0], each), copy("delta", statistics[1], each)]),
    ];
  }

  #length(side: PairSide, type: TensorType): string {
    const heads = isPerHead(side, type) ? `${this.#heads()}u * ` : "";
    if (side === "table") return `${heads}${tableRows(type)}u`;
    if (side === "pair") return `${heads}pairQueries() * spread()`;
    return `${heads}${side === "query" ? "pairQueries()" : "pairKeys()"}`;
  }
}

const STARTS_Q = 3;
const STARTS_K = 4;

const tableRows = (type: TensorType): number => Number(type.shape[0]);

/** A word of the table from a value of a buffer, and a value of a step from such a word or from a buffer. */
const toWord = (x: string, dtype: DType): string => (dtype === "u32" || dtype === "bool" ? x : `bitcast<u32>(${x})`);
const fromWord = (x: string, dtype: DType): string =>
  dtype === "u32" ? x : dtype === "bool" ? `(${x} != 0u)` : `bitcast<${storageType(dtype)}>(${x})`;
const fromStored = (x: string, dtype: DType): string => (dtype === "bool" ? `(${x} != 0u)` : x);

/** The least or the largest number of a block of rows; with a NaN among them, −∞ and ∞. */
function boundText(name: string, x: string, count: string, dtype: DType): string {
  const type = storageType(dtype);
  const floats = type === "f32";
  const nan = floats ? `\n    if (modc_nan(one)) { return select(0xff800000u, 0x7f800000u, largest); }` : "";
  return `fn ${name}(block: u32, largest: bool) -> u32 {
  let end = min((block + 1u) * ${ROWS_OF_BOUNDS}u, ${count});
  var found = ${x}[block * ${ROWS_OF_BOUNDS}u];
  for (var row = block * ${ROWS_OF_BOUNDS}u; row < end; row++) {
    let one = ${x}[row];${nan}
    found = select(min(found, one), max(found, one), largest);
  }
  return ${toWord("found", dtype === "bool" ? "u32" : dtype)};
}`;
}
