// Work of linear attention in chunks, and of its gradient: which rows each system goes along, and what reads it.
import { invariant } from "../../../ground/base/invariant.js";
import type { Size } from "../../../ground/size/size.js";
import { packedAxis } from "../../ir/typing.js";
import { stridesOf } from "../addressing/index-map.js";
import { LEAST_IN_CHUNKS } from "../../ops/linear-attention.js";
import type { Step } from "../plan/plan.js";
import { CHUNK_TILE, CHUNKS } from "../tunings/linear-attention.js";
import {
  Kept,
  operand,
  outputsOf,
  recallsOf,
  statesOf,
  table,
  type Chunks,
  type Reading,
  type System,
} from "./linear-attention-chunks.js";
import {
  declareAt,
  Kernel,
  operandsOf,
  rowsOf,
  widthsOf,
  type Forward,
  type Linear,
  type Name,
  type Rows,
} from "./linear-attention-operands.js";
import { input, result, typeAt, work, type KernelContext, type Operand, type Work } from "./spec.js";

/** Sequences that have at most so many rows, as in a step of generation, go row by row. */
const FEW_ROWS = CHUNK_TILE;
/** Narrower values leave most lanes of a subgroup idle, wider keys have too many registers. */
const LEAST_COLUMNS = LEAST_IN_CHUNKS;
const MOST_WIDTH = 256;

/** How a node is computed in chunks; null: row by row. */
function chunksFor(context: Linear, joined: boolean): Chunks | null {
  const { attention } = context.tunings;
  const tuning = CHUNKS[attention.kind](attention);
  const operands = operandsOf(context, joined);
  const { width, columns } = widthsOf(operands);
  const most = context.extents.most(packedAxis(typeAt(context.inputs, 2).shape[1]!)!);
  if (!tuning || columns < LEAST_COLUMNS || width > MOST_WIDTH || (most !== null && most <= FEW_ROWS)) return null;
  const decay = operands.get("decay");
  const decays = !decay ? 0 : decay.type.shape.length === 2 ? 1 : 2;
  return { width: tuning.width, rows: decays === 2 ? CHUNK_TILE : tuning.rows, decays };
}

/** Heads and rows of a node. */
function extentOf({ inputs }: Linear): { readonly heads: number; readonly rows: Size } {
  const [heads, rows] = typeAt(inputs, 2).shape;
  invariant(typeof heads === "number" && rows !== undefined, "the heads are known");
  return { heads, rows };
}

/** The recurrence of the definition. */
function definition(operands: ReadonlyMap<Name, Rows>): System {
  const forget = operands.get("forget");
  return {
    ...widthsOf(operands),
    reverse: false,
    key: operand(operands.get("k")!),
    value: operand(operands.get("v")!),
    decay: operands.get("decay"),
    decaysColumns: false,
    forgets: forget ? { forget: operand(forget), isBehind: false, r: { kind: "made", to: "recalled" } } : null,
  };
}

/**
 * The work for all rows; null where rows go one by one. `continues`: from a state, which a first step copies, with
 * forget and at as one operand.
 */
export function chunkedWork(context: Forward, continues: boolean): Work | null {
  const { attrs, inputs, extents, views, resultViews } = context;
  const joined = continues && attrs.forgets;
  const chunks = chunksFor(context, joined);
  if (!chunks) return null;
  const operands = operandsOf(context, joined);
  const { heads, rows } = extentOf(context);
  const system = definition(operands);
  const kept = new Kept(chunks, context, heads, rows, system, attrs.forgets ? 1 : 0);
  const steps: Step<Operand>[] = [];
  if (continues) {
    const state = inputs.length - 1;
    invariant(!views[state], "states are row-major");
    steps.push({ kind: "copy", from: input(state), to: result(1), bytes: extents.bytes(typeAt(inputs, state)) });
  }
  if (attrs.forgets) steps.push(recallsOf(context, kept, system, (kernel) => declareAt(kernel, operands, joined)));
  steps.push(statesOf(context, kept, system, continues ? result(1) : null));
  const y = typeAt(context.results, 0);
  const strides = resultViews[0]?.strides ?? stridesOf(extents, y.shape);
  const write = (kernel: Kernel): void => {
    kernel.builder.write("y", "f32", result(0));
    const place = kernel.element("result", { strides, offset: resultViews[0]?.offset ?? 0 });
    kernel.builder.function(`fn write(h: u32, row: u32, j: u32, x: f32) { y[${place}] = x; }`);
  };
  const query = operand(operands.get("q")!);
  steps.push(outputsOf(context, kept, system, { query, scale: attrs.scale, isGiven: continues, isNext: false, write }));
  return work(steps, [kept.bytes]);
}

/**
 * The gradient by the same kernels, null where rows go one by one. dS, the cotangent of the state, goes from the last
 * row to the first as S does: dS' = a ⊙ dS + scale · q · dyᵀ − at · rᵀ of the row behind, with r = forget · dS = −dr
 * there, and dv = k · dS. With r and dr known, the transposed states are sums: dq = scale · dy · Sᵀ, dat = dr · Sᵀ of
 * the row before, dk = v · dSᵀ, and dforget = −r · dSᵀ. Decays of dimensions are those of the columns of transposed
 * states.
 */
export function chunkedGradient(context: KernelContext<"linear_attention_grad">): Work | null {
  const chunks = chunksFor(context, false);
  if (!chunks) return null;
  const { attrs, inputs, extents, views } = context;
  const { forgets, scale } = attrs;
  const operands = operandsOf(context);
  const { width, columns } = widthsOf(operands);
  if (width < LEAST_COLUMNS || columns > MOST_WIDTH) return null;
  const last = inputs.length - 1;
  const dy = rowsOf(typeAt(inputs, last), last, views[last] ?? null, extents);
  const { heads, rows } = extentOf(context);
  const decay = operands.get("decay");
  const of = (name: Name): Rows => operands.get(name)!;
  const kept = new Kept(chunks, context, heads, rows, { width, columns }, forgets ? 2 : 0, true);

  const forward = definition(operands);
  const backward: System = {
    reverse: true,
    width,
    columns,
    key: operand(of("q"), scale),
    value: operand(dy),
    decay,
    decaysColumns: false,
    forgets: forgets ? { forget: operand(of("at")), isBehind: true, r: { kind: "made", to: "changes" } } : null,
  };
  const transposed: System = {
    reverse: false,
    width: columns,
    columns: width,
    key: operand(of("v")),
    value: operand(of("k")),
    decay,
    decaysColumns: true,
    forgets: forgets
      ? { forget: table("recalled"), isBehind: false, r: { kind: "given", as: operand(of("forget")), isBehind: false } }
      : null,
  };
  const transposedBack: System = {
    reverse: true,
    width: columns,
    columns: width,
    key: operand(dy, scale),
    value: operand(of("q")),
    decay,
    decaysColumns: true,
    forgets: forgets
      ? { forget: table("changes"), isBehind: false, r: { kind: "given", as: operand(of("at")), isBehind: true } }
      : null,
  };

  const into =
    (index: number, part: number, each: number) =>
    (kernel: Kernel): void => {
      kernel.builder.write("made", "f32", result(index));
      const place = Kernel.part(part, `${each}u`, "j");
      kernel.builder.function(`fn write(h: u32, row: u32, j: u32, x: f32) { made[${place}] = x; }`);
    };
  const read = (system: System, reading: Pick<Reading, "query" | "write"> & Partial<Reading>): Step<Operand> =>
    outputsOf(context, kept, system, { scale: 1, isGiven: false, isNext: false, ...reading });
  const recall = (system: System, name: Name): readonly Step<Operand>[] =>
    forgets ? [recallsOf(context, kept, system, (kernel) => kernel.fours("at", "at", of(name)))] : [];
  const states = (system: System): Step<Operand> => statesOf(context, kept, system, null);
  return work(
    [
      // r of all rows.
      ...(forgets ? [...recall(forward, "at"), states(forward)] : []),
      ...recall(backward, "forget"),
      states(backward),
      read(backward, { query: operand(of("k")), write: into(0, 0, columns) }),
      states(transposed),
      read(transposed, { query: operand(dy), scale, write: into(1, 0, width) }),
      ...(forgets ? [read(transposed, { query: table("changes", true), isNext: true, write: into(1, 1, width) })] : []),
      states(transposedBack),
      read(transposedBack, { query: operand(of("v")), write: into(2, 0, width) }),
      ...(forgets ? [read(transposedBack, { query: table("recalled", true), write: into(2, 1, width) })] : []),
    ],
    [kept.bytes],
  );
}
