// Linear attention in chunks: what rows recall, if they forget; the states before all chunks; the results.
import { invariant } from "../../../ground/base/invariant.js";
import { addSizes, type Size } from "../../../ground/size/size.js";
import { packedAxis } from "../../ir/typing.js";
import { stridesOf } from "../addressing/index-map.js";
import type { Extents } from "../analysis/extents.js";
import type { Step } from "../plan/plan.js";
import { CHUNK_TILE, CHUNKS } from "../tunings/linear-attention.js";
import {
  declareColumns,
  exponential,
  Kernel,
  operandsOf,
  quartersOf,
  widthsOf,
  type Forward,
  type Linear,
  type Name,
  type Rows,
} from "./linear-attention-operands.js";
import { input, result, scratch, typeAt, work, type Operand, type Work } from "./spec.js";

/** Sequences with at most so many rows on average, as in a step of generation, go row by row. */
export const FEW_ROWS = CHUNK_TILE;
/** Narrower values leave most lanes of a subgroup idle, wider keys have too many registers. */
const LEAST_COLUMNS = 16;
const MOST_WIDTH = 256;
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

/** Null: row by row. */
export function chunksFor(context: Forward): Chunks | null {
  const { attention } = context.tunings;
  const tuning = CHUNKS[attention.kind](attention);
  const operands = operandsOf(context, isJoined(context));
  const { width, columns } = widthsOf(operands);
  const most = context.extents.most(packedAxis(typeAt(context.inputs, 2).shape[1]!)!);
  if (!tuning || columns < LEAST_COLUMNS || width > MOST_WIDTH || (most !== null && most <= FEW_ROWS)) return null;
  const decay = operands.get("decay");
  const decays = !decay ? 0 : decay.type.shape.length === 2 ? 1 : 2;
  return { width: tuning.width, rows: decays === 2 ? CHUNK_TILE : tuning.rows, decays };
}

/** Whether forget and at are one operand, as where a node continues from a state. */
const isJoined = ({ attrs, results }: Forward): boolean => attrs.forgets && results.length > 1;

/** The tables that the dispatches leave to one another, in one buffer of `vec4f`: states, then W and r if rows forget. */
class Kept {
  readonly #perSlot: number;
  constructor(
    private readonly chunks: Chunks,
    private readonly extents: Extents,
    private readonly heads: number,
    private readonly rows: Size,
    private readonly widths: { readonly width: number; readonly columns: number },
    private readonly forgets: boolean,
  ) {
    this.#perSlot = heads * widths.width * quartersOf(widths.columns);
  }

  /** An upper bound on the chunks of all sequences: each begins a new one. */
  get slots(): Size {
    return addSizes(this.extents.ceilDivide(this.rows, this.chunks.rows), this.extents.batch);
  }
  get bytes(): Size {
    const { extents } = this;
    const each = this.heads * (quartersOf(this.widths.width) + quartersOf(this.widths.columns));
    const states = extents.times(16 * this.#perSlot, this.slots);
    return this.forgets ? addSizes(states, extents.times(16 * each, this.rows)) : states;
  }

  /** Declares the tables in a kernel, for reading and, if `writes`, for writing. */
  declare({ builder }: Kernel, writes: { readonly states: boolean; readonly recalled: boolean } | null): void {
    const size = "(starts[batch()] / CHUNK + batch()) * heads() * width() * quartersV()";
    const places = {
      state: "((slot * heads() + h) * width() + i) * quartersV() + c",
      through: `${size} + (h * starts[batch()] + row) * quarters() + c`,
      recalled: `${size} + heads() * starts[batch()] * quarters() + (h * starts[batch()] + row) * quartersV() + c`,
    } as const;
    if (writes) builder.write("kept", "vec4f", scratch());
    else builder.read("kept", "vec4f", scratch());
    const read = (name: string, place: string, row: string): void =>
      void builder.function(`fn ${name}(${row}, c: u32) -> vec4f { return kept[${place}]; }`);
    const store = (name: string, place: string, row: string): void =>
      void builder.function(`fn ${name}(${row}, c: u32, x: vec4f) { kept[${place}] = x; }`);
    const none = (name: string): void =>
      void builder.function(`fn ${name}(h: u32, row: u32, c: u32) -> vec4f { return vec4f(); }`);
    const [ofState, ofRow] = ["slot: u32, h: u32, i: u32", "h: u32, row: u32"];
    read("stateFour", places.state, ofState);
    if (this.forgets) {
      read("throughFour", places.through, ofRow);
      read("recalledFour", places.recalled, ofRow);
    } else {
      none("throughFour");
      none("recalledFour");
    }
    if (!writes) return;
    if (writes.states) store("keepState", places.state, ofState);
    if (!writes.recalled) return;
    store("keepThrough", places.through, ofRow);
    store("keepRecalled", places.recalled, ofRow);
  }
}

/** The work in chunks, with all rows. `continues`: from a state, which a first step copies. */
export function chunkedWork(context: Forward, chunks: Chunks, continues: boolean): Work {
  const { attrs, inputs, extents, views, resultViews } = context;
  const operands = operandsOf(context, isJoined(context));
  const { width, columns } = widthsOf(operands);
  const [heads, rows] = typeAt(inputs, 2).shape;
  invariant(typeof heads === "number" && rows !== undefined, "the heads are known");
  const { forgets } = attrs;
  const kept = new Kept(chunks, extents, heads, rows, { width, columns }, forgets);
  const declare = (file: string, most: number): Declared => declared(file, context, chunks, operands, most);
  const steps: Step<Operand>[] = [];

  if (forgets) {
    const { kernel, parts } = declare("linear_attention_recalls", Math.max(width, columns));
    const [own, other] = [panelsOf(width, chunks, parts), panelsOf(columns, chunks, parts)];
    declareColumns(kernel, operands, isJoined(context));
    kernel.fours("value", "v", operands.get("v"));
    kernel.builder.count("panelsW", own).count("panels", own + other);
    kept.declare(kernel, { states: false, recalled: true });
    steps.push(kernel.builder.dispatch(extents.times(heads * (own + other), kept.slots)));
  }

  const states = declare("linear_attention_states", columns);
  const panels = panelsOf(columns, chunks, states.parts);
  const { builder } = states.kernel;
  declareOperands(states.kernel, operands);
  const split = forgets ? 1 : Math.ceil(width / CHUNK_TILE);
  builder.constant("FORGETS", Number(forgets)).constant("GIVEN", Number(continues)).constant("SPLIT", split);
  builder.count("panels", panels);
  kept.declare(states.kernel, { states: true, recalled: forgets });
  if (!forgets) builder.function("fn keepRecalled(h: u32, row: u32, c: u32, x: vec4f) {}");
  if (continues) {
    const state = inputs.length - 1;
    invariant(!views[state], "states are row-major");
    steps.unshift({ kind: "copy", from: input(state), to: result(1), bytes: extents.bytes(typeAt(inputs, state)) });
    builder.write("states", "f32", result(1)).count("stateColumns", columns);
    const place = "((b * heads() + h) * width() + i) * stateColumns() + j";
    const each = (body: string): string =>
      `for (var j = 4u * c; j < min(stateColumns(), 4u * c + 4u); j++) { ${body} }`;
    builder.function(
      "fn givenFour(b: u32, h: u32, i: u32, c: u32) -> vec4f {\n  var s = vec4f();\n  " +
        `${each(`s[j - 4u * c] = states[${place}];`)}\n  return s;\n}`,
    );
    builder.function(
      `fn keepLast(b: u32, h: u32, i: u32, c: u32, s: vec4f) {\n  ${each(`states[${place}] = s[j - 4u * c];`)}\n}`,
    );
  } else {
    builder.function("fn givenFour(b: u32, h: u32, i: u32, c: u32) -> vec4f { return vec4f(); }");
    builder.function("fn keepLast(b: u32, h: u32, i: u32, c: u32, s: vec4f) {}");
  }
  steps.push(builder.dispatch(extents.times(extents.batch, heads * split * panels)));

  const outputs = declare("linear_attention_outputs", columns);
  outputs.kernel.fours("query", "q", operands.get("q"));
  declareOperands(outputs.kernel, operands);
  outputs.kernel.builder
    .constant("FORGETS", Number(forgets))
    .constant("GIVEN", Number(continues))
    .count("panels", panels)
    .count("columns", columns)
    .value("scale", attrs.scale, "f32");
  kept.declare(outputs.kernel, null);
  outputs.kernel.builder.write("y", "f32", result(0));
  const y = typeAt(context.results, 0);
  const strides = resultViews[0]?.strides ?? stridesOf(extents, y.shape);
  const place = outputs.kernel.element("result", { strides, offset: resultViews[0]?.offset ?? 0 });
  outputs.kernel.builder.function(`fn write(h: u32, row: u32, j: u32, x: f32) { y[${place}] = x; }`);
  // Each sequence may leave a tile half filled.
  const tiles = addSizes(extents.ceilDivide(rows, CHUNK_TILE), extents.batch);
  steps.push(outputs.kernel.builder.dispatch(extents.times(heads * panels, tiles)));
  return work(steps, [kept.bytes]);
}

const panelsOf = (columns: number, { width }: Chunks, parts: number): number =>
  Math.ceil(quartersOf(columns) / (width * parts));

interface Declared {
  readonly kernel: Kernel;
  /** `vec4f` columns of a lane. */
  readonly parts: number;
}

/** A kernel with the constants and counts that all have. `most`: the most columns that its workgroups share. */
function declared(
  file: string,
  context: Linear,
  { width, rows, decays }: Chunks,
  operands: ReadonlyMap<Name, Rows>,
  most: number,
): Declared {
  const kernel = new Kernel(file, context);
  const widths = widthsOf(operands);
  const [quarters, quartersV] = [quartersOf(widths.width), quartersOf(widths.columns)];
  const parts = Math.min(MOST_PARTS, Math.ceil(quartersOf(most) / width));
  const constants = { WIDTH: width, HALF: CHUNK_TILE / 2, CHUNK: rows, PIECES: Math.ceil(quarters / width) };
  kernel.builder.subgroups(width);
  for (const [name, value] of Object.entries({ ...constants, PARTS: parts, DECAYS: decays }))
    kernel.builder.constant(name, value);
  kernel.builder.count("width", widths.width).count("quarters", quarters).count("quartersV", quartersV);
  return { kernel, parts };
}

/** The operands that a state is made with. */
function declareOperands(kernel: Kernel, operands: ReadonlyMap<Name, Rows>): void {
  kernel.fours("key", "k", operands.get("k"));
  kernel.fours("value", "v", operands.get("v"));
  kernel.fours("factor", "decay", operands.get("decay"), "vec4f(1.0)", exponential);
  kernel.fours("forget", "forget", operands.get("forget"));
}
