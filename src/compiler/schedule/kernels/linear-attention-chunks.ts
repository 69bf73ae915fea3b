// The kernels of linear attention in chunks, for its result and its gradient: they go through the rows of a sequence in
// either direction.
import { addSizes, type Size } from "../../../ground/size/size.js";
import type { Extents } from "../analysis/extents.js";
import type { Step } from "../plan/plan.js";
import { CHUNK_TILE } from "../tunings/linear-attention.js";
import { exponential, Kernel, quartersOf, type Linear, type Rows } from "./linear-attention-operands.js";
import { scratch, type Operand } from "./spec.js";

/** The most `vec4f` columns of a lane. */
const MOST_PARTS = 2;

/** How a node is computed in chunks. */
export interface Chunks {
  readonly width: number;
  /** Rows of a chunk. */
  readonly rows: number;
  /** 0 without decays, 1 with one for each row, 2 with one for each dimension. */
  readonly decays: 0 | 1 | 2;
}

/** Rows of an operand, or of a table that another system has made. */
export type Source =
  | { readonly kind: "operand"; readonly rows: Rows; readonly times?: number }
  | { readonly kind: "table"; readonly table: Table; readonly negative?: boolean };
export type Table = "recalled" | "changes";

export const operand = (rows: Rows, times = 1): Source => ({ kind: "operand", rows, times });
export const table = (name: Table, negative = false): Source => ({ kind: "table", table: name, negative });

/**
 * A state [width, columns] of each head that goes along the rows of a sequence: S' = a ⊙ S + key · valueᵀ −
 * forget · rᵀ. In reverse it goes from the last row to the first, and the factor, and an operand that is `behind`, are
 * from the row that it leaves.
 */
export interface System {
  readonly reverse: boolean;
  readonly width: number;
  readonly columns: number;
  readonly key: Source;
  readonly value: Source;
  readonly decay: Rows | undefined;
  /** If true, decays by dimension apply to the columns of the state, not to its rows. */
  readonly decaysColumns: boolean;
  readonly forgets: {
    readonly forget: Source;
    readonly isBehind: boolean;
    /** Where r = at · S is stored, for the `at` of `recallsOf`; or what stands for r. */
    readonly r:
      | { readonly kind: "made"; readonly to: Table }
      | { readonly kind: "given"; readonly as: Source; readonly isBehind: boolean };
  } | null;
}

/** The tables in one buffer of `vec4f` that dispatches leave to one another: states, W, and r for each row. */
export class Kept {
  readonly #perSlot: number;
  readonly #through: number;
  readonly #each: number;

  constructor(
    readonly chunks: Chunks,
    private readonly context: Linear,
    readonly heads: number,
    private readonly rows: Size,
    widths: { readonly width: number; readonly columns: number },
    /** How many tables of r. */
    private readonly tables: 0 | 1 | 2,
    /** Whether states are also transposed. */
    transposes = false,
  ) {
    const [quarters, quartersV] = [quartersOf(widths.width), quartersOf(widths.columns)];
    const plain = widths.width * quartersV;
    this.#perSlot = heads * Math.max(plain, transposes ? widths.columns * quarters : plain);
    this.#through = quarters;
    this.#each = quartersV;
  }

  /** An upper bound on the chunks of all sequences: each begins a new one. */
  get slots(): Size {
    return addSizes(this.extents.ceilDivide(this.rows, this.chunks.rows), this.extents.batch);
  }
  /** Likewise of tiles. */
  get tiles(): Size {
    return addSizes(this.extents.ceilDivide(this.rows, CHUNK_TILE), this.extents.batch);
  }
  get extents(): Extents {
    return this.context.extents;
  }
  get bytes(): Size {
    const states = this.extents.times(16 * this.#perSlot, this.slots);
    if (this.tables === 0) return states;
    const each = this.heads * (this.#through + this.tables * this.#each);
    return addSizes(states, this.extents.times(16 * each, this.rows));
  }

  /** Binds the buffer, and declares the sizes of its tables. */
  bind({ builder }: Kernel, writes: boolean): void {
    if (writes) builder.write("kept", "vec4f", scratch());
    else builder.read("kept", "vec4f", scratch());
    builder.count("perSlot", this.#perSlot).count("throughEach", this.#through).count("recalledEach", this.#each);
    builder.function("fn throughBegin() -> u32 { return (starts[batch()] / CHUNK + batch()) * perSlot(); }");
  }

  static readonly state = "((slot * heads() + h) * width() + i) * quartersV() + c";
  static readonly through = "throughBegin() + (h * starts[batch()] + row) * throughEach() + c";
  static rowOf(of: Table, row = "row"): string {
    const before = of === "recalled" ? "h" : "(heads() + h)";
    const begin = "throughBegin() + heads() * starts[batch()] * throughEach()";
    return `${begin} + (${before} * starts[batch()] + ${row}) * recalledEach()`;
  }
}

/** `fn namePlace(h, row)` and `fn nameFour(place, c)` of a source. */
function declareSource(kernel: Kernel, name: string, buffer: string, source: Source | null): void {
  if (source === null) {
    kernel.fours(name, buffer, undefined);
    return;
  }
  if (source.kind === "operand") {
    const { rows, times = 1 } = source;
    if (times === 1) kernel.fours(name, buffer, rows);
    else {
      kernel.builder.value(`${name}Times`, times, "f32");
      kernel.fours(name, buffer, rows, undefined, (x) => `${x} * ${name}Times()`);
    }
    return;
  }
  const sign = source.negative ? "-" : "";
  kernel.builder
    .function(`fn ${name}Place(h: u32, row: u32) -> u32 { return ${Kept.rowOf(source.table)}; }`)
    .function(`fn ${name}Four(place: u32, c: u32) -> vec4f { return ${sign}kept[place + c]; }`);
}

const panelsOf = (columns: number, { width }: Chunks, parts: number): number =>
  Math.ceil(quartersOf(columns) / (width * parts));

interface Declared {
  readonly kernel: Kernel;
  /** `vec4f` columns of a lane. */
  readonly parts: number;
}

/** A kernel with the declarations that all have. `most`: the most columns that its workgroups share. */
function declared(file: string, context: Linear, { chunks }: Kept, system: System, most: number): Declared {
  const kernel = new Kernel(file, context);
  const { builder } = kernel;
  const { width, rows, decays } = chunks;
  const [quarters, quartersV] = [quartersOf(system.width), quartersOf(system.columns)];
  const parts = Math.min(MOST_PARTS, Math.ceil(quartersOf(most) / width));
  const constants = { WIDTH: width, HALF: CHUNK_TILE / 2, CHUNK: rows, PIECES: Math.ceil(quarters / width) };
  builder.subgroups(width);
  for (const [name, value] of Object.entries({
    ...constants,
    PARTS: parts,
    DECAYS: decays === 2 && system.decaysColumns ? 3 : decays,
  }))
    builder.constant(name, value);
  builder.count("width", system.width).count("quarters", quarters).count("quartersV", quartersV);
  // The direction is a word of the uniforms, so both directions share a compiled kernel.
  const { forgets } = system;
  const direction = builder.word(Number(system.reverse), "u32", "reverse");
  const rowFunction = (name: string, isBehind: boolean): void => {
    const behind = builder.word(Number(isBehind), "u32", `${name}Behind`);
    const back = `min(starts[b] + starts[b + 1u] - 1u - row + sizes.${behind}, starts[b + 1u] - 1u)`;
    builder.function(`fn ${name}(b: u32, row: u32) -> u32 { return select(row, ${back}, sizes.${direction} == 1u); }`);
  };
  rowFunction("rowOf", false);
  rowFunction("factorRow", true);
  rowFunction("forgetRow", forgets?.isBehind ?? false);
  rowFunction("atRow", true);
  rowFunction("recalledRow", forgets?.r.kind === "given" && forgets.r.isBehind);
  declareSource(kernel, "key", "k", system.key);
  declareSource(kernel, "value", "v", system.value);
  kernel.fours("factor", "decay", system.decay, "vec4f(1.0)", exponential);
  declareSource(kernel, "forget", "forget", forgets?.forget ?? null);
  return { kernel, parts };
}

/** `fn recalledFour`: what a row recalls, or what stands for it. */
function declareRecalled(kernel: Kernel, { forgets }: System): void {
  const signature = "fn recalledFour(h: u32, row: u32, c: u32) -> vec4f";
  if (!forgets) {
    kernel.builder.function(`${signature} { return vec4f(); }`);
    return;
  }
  const { r } = forgets;
  if (r.kind === "made") {
    kernel.builder.function(`${signature} { return kept[${Kept.rowOf(r.to)} + c]; }`);
    return;
  }
  declareSource(kernel, "erased", "erased", r.as);
  kernel.builder.function(`${signature} { return erasedFour(erasedPlace(h, row), c); }`);
}

const readThrough = ({ builder }: Kernel): void =>
  void builder.function(`fn throughFour(h: u32, row: u32, c: u32) -> vec4f { return kept[${Kept.through}]; }`);

function storeRecalled({ builder }: Kernel, { forgets }: System): void {
  const store = forgets?.r.kind === "made" ? ` kept[${Kept.rowOf(forgets.r.to)} + c] = x; ` : "";
  builder.function(`fn keepRecalled(h: u32, row: u32, c: u32, x: vec4f) {${store}}`);
}

/** W, and U in the place of r. */
export function recallsOf(
  context: Linear,
  kept: Kept,
  system: System,
  declareAt: (kernel: Kernel) => void,
): Step<Operand> {
  const { width, columns } = system;
  const { kernel, parts } = declared("linear_attention_recalls", context, kept, system, Math.max(width, columns));
  const [own, other] = [panelsOf(width, kept.chunks, parts), panelsOf(columns, kept.chunks, parts)];
  declareAt(kernel);
  kernel.builder.count("panelsW", own).count("panels", own + other);
  kept.bind(kernel, true);
  readThrough(kernel);
  kernel.builder.function(`fn keepThrough(h: u32, row: u32, c: u32, x: vec4f) { kept[${Kept.through}] = x; }`);
  declareRecalled(kernel, system);
  storeRecalled(kernel, system);
  return kernel.builder.dispatch(kept.extents.times(kept.heads * (own + other), kept.slots));
}

/** The states before all chunks, and what rows recall. `given`: states of the sequences, that the last ones replace. */
export function statesOf(context: Linear, kept: Kept, system: System, given: Operand | null): Step<Operand> {
  const { width, columns, forgets } = system;
  const { kernel, parts } = declared("linear_attention_states", context, kept, system, columns);
  const { builder } = kernel;
  const panels = panelsOf(columns, kept.chunks, parts);
  const makes = forgets?.r.kind === "made";
  const split = makes ? 1 : Math.ceil(width / CHUNK_TILE);
  builder.constant("FORGETS", Number(forgets !== null)).constant("RECALLS", Number(makes));
  builder
    .constant("GIVEN", Number(given !== null))
    .constant("SPLIT", split)
    .count("panels", panels);
  kept.bind(kernel, true);
  readThrough(kernel);
  declareRecalled(kernel, system);
  storeRecalled(kernel, system);
  const [ofState, ofSequence] = ["slot: u32, h: u32, i: u32, c: u32", "b: u32, h: u32, i: u32, c: u32"];
  builder
    .function(`fn stateFour(${ofState}) -> vec4f { return kept[${Kept.state}]; }`)
    .function(`fn keepState(${ofState}, x: vec4f) { kept[${Kept.state}] = x; }`);
  if (given) {
    builder.write("states", "f32", given).count("stateColumns", columns);
    const place = "((b * heads() + h) * width() + i) * stateColumns() + j";
    const each = (body: string): string =>
      `for (var j = 4u * c; j < min(stateColumns(), 4u * c + 4u); j++) { ${body} }`;
    const read = each(`s[j - 4u * c] = states[${place}];`);
    builder
      .function(`fn givenFour(${ofSequence}) -> vec4f {\n  var s = vec4f();\n  ${read}\n  return s;\n}`)
      .function(`fn keepLast(${ofSequence}, s: vec4f) {\n  ${each(`states[${place}] = s[j - 4u * c];`)}\n}`);
  } else {
    builder
      .function(`fn givenFour(${ofSequence}) -> vec4f { return vec4f(); }`)
      .function(`fn keepLast(${ofSequence}, s: vec4f) {}`);
  }
  return builder.dispatch(kept.extents.times(kept.extents.batch, kept.heads * split * panels));
}

/** A result of a system: query · S of each row. */
export interface Reading {
  readonly query: Source;
  readonly scale: number;
  readonly isGiven: boolean;
  /** Whether the result is that of the next row; the first row has that of the last. */
  readonly isNext: boolean;
  /** Binds the result, and declares `fn write(h, row, j, x)`. */
  readonly write: (kernel: Kernel) => void;
}

export function outputsOf(context: Linear, kept: Kept, system: System, reading: Reading): Step<Operand> {
  const { kernel, parts } = declared("linear_attention_outputs", context, kept, system, system.columns);
  const { builder } = kernel;
  const panels = panelsOf(system.columns, kept.chunks, parts);
  const { query, scale, isGiven, isNext, write } = reading;
  declareSource(kernel, "query", "q", query);
  builder.constant("FORGETS", Number(system.forgets !== null)).constant("GIVEN", Number(isGiven));
  builder.count("panels", panels).count("columns", system.columns).value("scale", scale, "f32");
  kept.bind(kernel, false);
  builder.function(`fn stateFour(slot: u32, h: u32, i: u32, c: u32) -> vec4f { return kept[${Kept.state}]; }`);
  declareRecalled(kernel, system);
  write(kernel);
  const row = isNext ? "select(row + 1u, starts[b], row + 1u == starts[b + 1u])" : "rowOf(b, row)";
  builder.function(`fn writeRow(b: u32, row: u32) -> u32 { return ${row}; }`);
  return builder.dispatch(kept.extents.times(kept.heads * panels, kept.tiles));
}
