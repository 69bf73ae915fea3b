// Linear attention: a matrix for each head that decays, forgets and is added to at each row, and is read by queries.
import { exactly } from "../../ground/base/collections.js";
import { addSizes, equalSizes, multiplySizes, rowsSize, type Size } from "../../ground/size/size.js";
import type { Node } from "../ir/graph.js";
import { equalShapes, inputsFor, packedAxis, plainAxis, printType } from "../ir/typing.js";
import type { TensorType } from "../ir/types.js";
import type { OpAttrs } from "../ir/vocabulary.js";
import type { Cost, EmitGrad, InferContext, OpTable, Tensor } from "./define.js";
import { rowsAlong } from "./rows.js";
import { bytesOf, expectDtype, expectPacked, expectType, mismatch, startsShape } from "./shapes.js";
import { at, tensor } from "./tensors.js";

type Flags = Pick<OpAttrs["linear_attention_grad"], "decays" | "forgets">;

/** The inputs of an operator by their names; those that it does not have are undefined. */
export function named<T>(inputs: readonly T[], { decays, forgets }: Flags, joined = false) {
  const [q, k, v, starts] = inputs as readonly [T, T, T, T]; // the arity is at least 4
  const rest = inputs.slice(4);
  const decay = decays ? rest.shift() : undefined;
  const [forget, place] = forgets ? [rest.shift(), joined ? undefined : rest.shift()] : [];
  return { q, k, v, starts, decay, forget, at: place, last: rest.shift() };
}

/** Records of linear attention and its gradient. */
export const linearAttentions: Pick<OpTable, "linear_attention" | "linear_attention_from" | "linear_attention_grad"> = {
  linear_attention: {
    doc: "queries of a matrix that decays, forgets and is added to at each row of a sequence",
    infer(inputs, attrs, context) {
      const { heads, rows, columns } = expectOperands(inputs, attrs, context, false);
      return [{ dtype: "f32", shape: [heads, rows, columns] }];
    },
    cost: (inputs, attrs, results) => costOf(inputs, attrs, results),
    evaluate: (inputs, attrs) => attend(inputs, attrs, false),
    starts: (node) => [[rowsAlong(node, 2, 1), 3]],
    rows: null,
    tokens: "earlier",
    columns: null,
    work: "attention",
    grad: cotangents,
    lower: { kind: "kernel", readsViews: [0, 1, 2, 4, 5, 6], writesViews: [0] },
  },
  linear_attention_from: {
    doc: "the same from a state of each sequence, and the state after its last row",
    infer(inputs, attrs, context) {
      const { heads, rows, width, columns } = expectOperands(inputs, attrs, context, true);
      const state = expectDtype(inputs, inputs.length - 1, "f32");
      const [sequences, ...each] = state.shape;
      if (!equalShapes(each, [heads, width, columns]) || sequences === undefined || !isOfSequences(sequences))
        mismatch(`the state must be [sequences, heads, width of k, width of v], found ${printType(state)}`);
      return [{ dtype: "f32", shape: [heads, rows, columns] }, state];
    },
    // Steps of generation go row by row.
    cost: (inputs, attrs, results) => costOf(inputs, attrs, results, { inChunks: false }),
    evaluate: (inputs, attrs) => attend(inputs, attrs, true),
    starts: (node) => [[rowsAlong(node, 2, 1), 3]],
    rows: null,
    tokens: "earlier",
    columns: null,
    work: "attention",
    grad: null,
    lower: { kind: "kernel", readsViews: [0, 1, 2], writesViews: [0] },
  },
  linear_attention_grad: {
    doc: "cotangents of the operands of linear attention, for each of its heads",
    infer(inputs, attrs, context) {
      const { heads, rows, width, columns } = expectOperands(inputs, attrs, context, false);
      expectType(inputs, inputs.length - 1, "f32", [heads, rows, columns]);
      const two = attrs.forgets ? 2 : 1;
      const each: readonly Size[] = [heads, rows, width];
      return [
        { dtype: "f32", shape: [1, heads, rows, columns] },
        { dtype: "f32", shape: [two, ...each] },
        { dtype: "f32", shape: [two, ...each] },
      ];
    },
    // dq, dk and dv each as the forward pass, or by rows and by columns; with forget also what the rows recall again.
    cost: (inputs, attrs, results) => costOf(inputs, attrs, results, { times: attrs.forgets ? 4 : 3 }),
    evaluate: (inputs, attrs) => attendBackward(inputs, attrs),
    starts: (node) => [[rowsAlong(node, 2, 1), 3]],
    rows: null,
    tokens: "all",
    columns: null,
    work: "attention",
    grad: null,
    lower: { kind: "kernel", readsViews: [0, 1, 2, 4, 5, 6, 7] },
  },
};

const isOfSequences = (size: Size): boolean => plainAxis(size) !== null || packedAxis(size) !== null;

interface Extents {
  readonly heads: number;
  readonly rows: Size;
  readonly width: number;
  readonly columns: number;
}

/** Checks all inputs but a state and dy; returns the heads, the rows, and the widths of k and v. */
function expectOperands(inputs: readonly TensorType[], flags: Flags, context: InferContext, joined: boolean): Extents {
  const v = expectDtype(inputs, 2, "f32");
  const [heads, rows, columns] = v.shape;
  if (v.shape.length !== 3 || typeof heads !== "number" || typeof columns !== "number")
    return mismatch(`v must be [heads, rows, width], found ${printType(v)}`);
  const axis = expectPacked(v.shape, 1);
  const width = inputs[1]?.shape.at(-1);
  if (typeof width !== "number") return mismatch("the width of k must be known");
  const expectRows = (x: TensorType, last: number | null): void => {
    const [own, along] = x.shape;
    const fits =
      x.dtype === "f32" &&
      typeof own === "number" &&
      own > 0 &&
      heads % own === 0 &&
      along !== undefined &&
      equalSizes(along, rowsSize(axis)) &&
      (last === null ? x.shape.length === 2 : x.shape.length === 3 && x.shape[2] === last);
    if (!fits) mismatch(`operands must be f32 of heads that divide those of v, in its rows, found ${printType(x)}`);
  };
  const { q, k, decay, forget, at: place } = named(inputs, flags, joined);
  expectType(inputs, 3, "u32", startsShape(context));
  for (const x of [q, k]) expectRows(x, width);
  if (decay) expectRows(decay, decay.shape.length === 2 ? null : width);
  if (forget) expectRows(forget, joined ? 2 * width : width);
  if (place) expectRows(place, width);
  return { heads, rows: rows!, width, columns };
}

/** Rows of a chunk. */
const CHUNK = 64;
/** The fewest columns of v that are computed in chunks. */
export const LEAST_IN_CHUNKS = 16;

/**
 * For each row and head, in chunks: two for the states and two for the queries for each number of a state, and one for
 * each row of a chunk and column of k and of v; with forget also for those of k again and of W and r, and for the rows
 * of (1 + A)⁻¹. Row by row: two for k · v and for the query, one for a decay, and four for what is forgotten.
 */
function costOf(
  inputs: readonly TensorType[],
  flags: Flags,
  results: readonly TensorType[],
  { times = 1, inChunks = true } = {},
): Cost {
  const [heads, rows, columns] = exactly(3, inputs[2]!.shape);
  const [width, wide] = [Number(inputs[1]!.shape[2]), Number(columns)];
  const forgets = CHUNK * (2 * width + wide) + CHUNK * CHUNK;
  const chunked = 4 * width * wide + CHUNK * (width + wide) + (flags.forgets ? forgets : 0);
  const alone = (4 + Number(flags.decays) + (flags.forgets ? 4 : 0)) * width * wide;
  const each = inChunks && wide >= LEAST_IN_CHUNKS ? chunked : alone;
  return {
    flops: multiplySizes(multiplySizes(times * each, heads), rows),
    bytes: addSizes(bytesOf(inputs), bytesOf(results)),
  };
}

/** The rows of an operand for all heads: element (h, n, c). */
const reading = (x: Tensor, heads: number) => {
  const [own, n, width = 1] = x.shape;
  return (h: number, row: number, c: number): number =>
    x.data[(Math.floor((h * own!) / heads) * n! + row) * width + (width === 1 ? 0 : c)]!;
};

interface Readers {
  readonly q: (h: number, row: number, i: number) => number;
  readonly k: (h: number, row: number, i: number) => number;
  readonly v: (h: number, row: number, j: number) => number;
  /** exp of the log decay; 1 without decays. */
  readonly factor: (h: number, row: number, i: number) => number;
  readonly forget: (h: number, row: number, i: number) => number;
  readonly at: (h: number, row: number, i: number) => number;
}

function readersOf(inputs: readonly Tensor[], flags: Flags, joined: boolean): Readers {
  const { q, k, v, decay, forget, at: place } = named(inputs, flags, joined);
  const [heads, , width] = [v.shape[0]!, 0, k.shape[2]!];
  const none = (): number => 0;
  const both = forget && reading(forget, heads);
  const decays = decay && reading(decay, heads);
  return {
    q: reading(q, heads),
    k: reading(k, heads),
    v: reading(v, heads),
    factor: decays ? (h, row, i) => Math.exp(decays(h, row, i)) : () => 1,
    forget: both ?? none,
    at: place ? reading(place, heads) : both ? (h, row, i) => both(h, row, width + i) : none,
  };
}

/** a · s, in which an a of 0 leaves nothing of s, even if it is infinite or no number. */
const left = (a: number, s: number): number => (a === 0 ? 0 : a * s);

/** `continues`: from a state, with forget and at as one operand. */
function attend(inputs: readonly Tensor[], attrs: OpAttrs["linear_attention"], continues: boolean): readonly Tensor[] {
  const { k: keys, v: values, starts, last } = named(inputs, attrs, continues);
  const { q, k, v, factor, forget, at: place } = readersOf(inputs, attrs, continues);
  const [heads, n, columns] = exactly(3, values.shape);
  const width = keys.shape[2]!;
  const y = tensor("f32", values.shape);
  const after = continues ? tensor("f32", last!.shape, last!.data.slice()) : null;
  for (let b = 0; b + 1 < starts.data.length; b++)
    for (let h = 0; h < heads; h++) {
      const origin = (b * heads + h) * width * columns;
      const s = after ? after.data.subarray(origin, origin + width * columns) : new Float64Array(width * columns);
      for (let row = starts.data[b]!; row < starts.data[b + 1]!; row++)
        for (let j = 0; j < columns; j++) {
          let recalled = 0;
          if (attrs.forgets) for (let i = 0; i < width; i++) recalled += left(place(h, row, i), s[i * columns + j]!);
          let sum = 0;
          for (let i = 0; i < width; i++) {
            const kept = left(factor(h, row, i), s[i * columns + j]!) - forget(h, row, i) * recalled;
            s[i * columns + j] = kept + k(h, row, i) * v(h, row, j);
            sum += q(h, row, i) * s[i * columns + j]!;
          }
          y.data[(h * n + row) * columns + j] = attrs.scale * sum;
        }
    }
  return after ? [y, after] : [y];
}

/** From the states of all rows, each head and sequence by itself. */
function attendBackward(inputs: readonly Tensor[], attrs: OpAttrs["linear_attention_grad"]): readonly Tensor[] {
  const { k: keys, v: values, starts } = named(inputs, attrs);
  const { q, k, v, factor, forget, at: place } = readersOf(inputs, attrs, false);
  const dy = at(inputs, inputs.length - 1).data;
  const [heads, n, columns] = exactly(3, values.shape);
  const width = keys.shape[2]!;
  const two = attrs.forgets ? 2 : 1;
  const ofColumns = tensor("f32", [1, heads, n, columns]);
  const [ofQueries, ofKeys] = [0, 1].map(() => tensor("f32", [two, heads, n, width])) as [Tensor, Tensor];
  const column = (part: number, h: number, row: number): number => ((part * heads + h) * n + row) * columns;
  const entry = (part: number, h: number, row: number): number => ((part * heads + h) * n + row) * width;
  for (let b = 0; b + 1 < starts.data.length; b++)
    for (let h = 0; h < heads; h++) forAll(h, starts.data[b]!, starts.data[b + 1]!);
  return [ofColumns, ofQueries, ofKeys];

  function forAll(h: number, first: number, end: number): void {
    const size = width * columns;
    const s = new Float64Array(size * (end - first + 1));
    const recalled = new Float64Array(columns * (end - first));
    for (let row = first; row < end; row++)
      for (let j = 0; j < columns; j++) {
        const [before, after] = [(row - first) * size + j, (row - first + 1) * size + j];
        let sum = 0;
        for (let i = 0; i < width; i++) sum += left(place(h, row, i), s[before + i * columns]!);
        recalled[(row - first) * columns + j] = sum;
        for (let i = 0; i < width; i++) {
          const kept = left(factor(h, row, i), s[before + i * columns]!) - forget(h, row, i) * sum;
          s[after + i * columns] = kept + k(h, row, i) * v(h, row, j);
        }
      }
    const ds = new Float64Array(size);
    for (let row = end - 1; row >= first; row--)
      for (let j = 0; j < columns; j++) {
        const r = recalled[(row - first) * columns + j]!;
        const dyj = dy[column(0, h, row) + j]!;
        let [dv, dr] = [0, 0];
        for (let i = 0; i < width; i++) {
          const state = s[(row - first + 1) * size + i * columns + j]!;
          add(ofQueries, entry(0, h, row) + i, attrs.scale * dyj * state);
          const d = (ds[i * columns + j] = ds[i * columns + j]! + attrs.scale * q(h, row, i) * dyj);
          dv += k(h, row, i) * d;
          dr -= forget(h, row, i) * d;
          add(ofKeys, entry(0, h, row) + i, v(h, row, j) * d);
          if (attrs.forgets) add(ofKeys, entry(1, h, row) + i, -r * d);
        }
        ofColumns.data[column(0, h, row) + j] = dv;
        for (let i = 0; i < width; i++) {
          if (attrs.forgets) add(ofQueries, entry(1, h, row) + i, dr * s[(row - first) * size + i * columns + j]!);
          const kept = left(factor(h, row, i), ds[i * columns + j]!);
          ds[i * columns + j] = kept + left(place(h, row, i), dr);
        }
      }
  }
}

const add = (to: Tensor, index: number, value: number): void => void (to.data[index] = to.data[index]! + value);

/**
 * The cotangents of the operands. That of log decays follows from the others: the one of row n is that of row n + 1,
 * plus q·dq of row n and at·dat of row n + 1, minus k·dk and forget·dforget of row n (for decays alone: Yang et al.
 * 2023, arXiv 2312.06635, section 4). It is 0 for a factor of 0, so the sum begins again at the row before.
 */
function cotangents(emit: EmitGrad, node: Node<"linear_attention">, [dy]: readonly (Node | null)[]) {
  const { inputs, attrs } = node;
  const { q, k, v, starts, decay, forget, at: place } = named<Node>(inputs, attrs);
  const heads = Number(v.types[0]!.shape[0]);
  const flags = { scale: attrs.scale, decays: attrs.decays, forgets: attrs.forgets };
  const gradient = emit("linear_attention_grad", inputsFor("linear_attention_grad", [...inputs, dy!]), flags);
  const part = (result: number, index: number): Node => {
    const whole = emit("pick", [gradient], { result });
    const { shape } = whole.types[0]!;
    const one = emit("slice", [whole], { axis: 0, start: index, stop: index + 1 });
    return emit("reshape", [one], { shape: shape.slice(1) });
  };
  const [dv, dq, dk] = [part(0, 0), part(1, 0), part(2, 0)];
  const [dat, dforget] = forget ? [part(1, 1), part(2, 1)] : [];
  const own = (x: Node, dx: Node): Node => ofHeads(emit, dx, Number(x.types[0]!.shape[0]));
  const ofDecay = (): readonly Node[] => {
    if (!decay) return [];
    // For each head, without the dimension of k if the decay has none.
    const each = (x: Node, dx: Node, shields = false): Node => {
      const product = perHead(emit, x, dx, shields);
      return decay.types[0]!.shape.length === 2 ? emit("sum", [product], { axes: [2], keep: false }) : product;
    };
    let change: Node = emit("sub", [each(q, dq), each(k, dk)], {});
    if (forget && place && dforget && dat) {
      const next = emit("shift", [each(place, dat, true), starts], { dim: 1, by: -1 });
      change = emit("add", [emit("sub", [change, each(forget, dforget)], {}), next], {});
    }
    return [
      own(decay, emit("scan", [change, starts, leftBehind(emit, decay, starts, heads)], { dim: 1, reverse: true })),
    ];
  };
  const forgetting = forget && place && dforget && dat ? [own(forget, dforget), own(place, dat)] : [];
  return [own(q, dq), own(k, dk), dv, null, ...ofDecay(), ...forgetting];
}

/** x[G, N, K] times dx[H, N, K], in which heads share rows of x. `shields`: an x of 0 gives 0, whatever dx is. */
function perHead(emit: EmitGrad, x: Node, dx: Node, shields: boolean): Node {
  const { shape } = dx.types[0]!;
  const [heads, groups] = [Number(shape[0]), Number(x.types[0]!.shape[0])];
  const rest = shape.slice(1);
  const shared = heads === groups ? x : emit("reshape", [x], { shape: [groups, 1, ...rest] });
  const each = heads === groups ? dx : emit("reshape", [dx], { shape: [groups, heads / groups, ...rest] });
  const product = emit("mul", [shared, each], {});
  const zero = emit("constant", [], { value: 0, dtype: "f32", shape: [] });
  const kept = shields ? emit("where", [emit("eq", [shared, zero], {}), zero, product], {}) : product;
  return heads === groups ? kept : emit("reshape", [kept], { shape });
}

/** A log decay that leaves nothing. */
const NOTHING = -1e30;

/** For each head and row a log decay: 0, or that of nothing if the factor of the next row is 0. */
function leftBehind(emit: EmitGrad, decay: Node, starts: Node, heads: number): Node {
  const constant = (value: number): Node => emit("constant", [], { value, dtype: "f32", shape: [] });
  const next = emit("exp", [emit("shift", [decay, starts], { dim: 1, by: -1 })], {});
  const left = emit("where", [emit("eq", [next, constant(0)], {}), constant(NOTHING), constant(0)], {});
  const [groups, ...rest] = left.types[0]!.shape;
  if (groups === heads) return left;
  const shared = emit("reshape", [left], { shape: [groups!, 1, ...rest] });
  const repeated = emit("broadcast", [shared], { shape: [groups!, heads / Number(groups), ...rest] });
  return emit("reshape", [repeated], { shape: [heads, ...rest] });
}

/** The sum of dx[H, N, …] over the heads that share one of G. */
function ofHeads(emit: EmitGrad, dx: Node, groups: number): Node {
  const { shape } = dx.types[0]!;
  const heads = Number(shape[0]);
  if (heads === groups) return dx;
  const grouped = emit("reshape", [dx], { shape: [groups, heads / groups, ...shape.slice(1)] });
  return emit("sum", [grouped], { axes: [1], keep: false });
}
