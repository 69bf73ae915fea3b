// The rotary-embedding epilogue: heads of a slice are rotated by the angles of their row before they are stored (Su et
// al. 2021, arXiv 2104.09864, equation 34).
import { isGather, isOp, isView, type Node } from "../../ir/graph.js";
import { equalSizes, type Size } from "../../../ground/size/size.js";
import { canLieAt } from "../addressing/views.js";
import { dtypeAt } from "../kernels/expression-text.js";
import type { Extents } from "../analysis/extents.js";
import { viewed, type Layout } from "../addressing/layout.js";
import { canPair, columnIn, overPairs, withinSlice } from "./column-pairs.js";
import type { Epilogue, SliceText, TakenText } from "./epilogue.js";
import { isApart, isSettled, isWhole, opsOf, type Draft, type EpilogueKind, type FusedOp } from "./fusion.js";
import { rowSum } from "./row-sums.js";
import { scatterBindings, scatterPlace, type ScatterPlace } from "./scatter.js";
import type { StorePlace } from "./stores.js";
import { fieldsOf, inside } from "./taken-ahead.js";

/** The rotated heads are stored in the product's memory, or in a cache. */
interface Rotary extends FusedOp {
  readonly node: Node<"rope">;
  /** Width of a head. */
  readonly width: number;
  /** The layout of the heads in the product's memory, and the layout if the slice has its own memory. */
  readonly layout: Omit<Layout, "value">;
  readonly alone: Omit<Layout, "value"> | null;
}

export const rotary: EpilogueKind<Rotary> = { last: false, match };

/** `head`: structure between a slice and its rotation. */
function match(head: Node, draft: Draft): Rotary | null {
  if (!isView(head)) return null;
  const { product, lead, options } = draft;
  const { consumers, required, scheduledAt, extents, position } = options;
  const of = head.inputs[0];
  const slice = draft.members.get(of);
  if (!slice || slice.second !== null || required.has(of) || isSettled(draft, slice)) return null;
  if (isWhole(draft, slice) && opsOf(draft, rowSum).length > 0) return null;
  const rotation = rotationBehind(head, draft);
  if (!rotation) return null;
  const { node, chain } = rotation;
  const [, positions, table] = node.inputs;
  const width = node.types[0]!.shape.at(-1)!;
  const before = position(product);
  if (typeof width !== "number" || scheduledAt(positions) >= before || scheduledAt(table) >= before) return null;
  const [rows, ...others] = lead;
  if (rows === undefined || others.length > 0 || !isApart(draft, slice)) return null;
  const { start, stop } = slice;
  const layout = rotatedLayout(chain, { product, rows, across: draft.columns, start, stop }, width, extents);
  if (!layout || !canLieAt(node, layout, consumers, extents) || !canPair(draft, width / 2, start)) return null;
  const alone = rotatedLayout(
    chain,
    { product, rows, across: stop - start, start: 0, stop: stop - start },
    width,
    extents,
  );
  const op: Rotary = {
    kind: rotary,
    node,
    reader: head,
    value: of,
    slice,
    nodes: [node],
    inlined: null,
    pairs: width / 2,
    rows: [],
    width,
    layout,
    alone,
    epilogue: (within) => epilogue(op, within),
  };
  return op;
}

function epilogue({ node, value: of, slice: own, width, layout }: Rotary, { product, ops }: Draft): Epilogue {
  const [, positions, table] = node.inputs;
  /** The operation that writes the rotated heads to a cache; undefined if the heads are not cached. */
  const cached = ops.find((op) => op.slice === own && op.rows.length > 0)?.rows[0];
  const written = cached ? scatterBindings(cached) : { reads: [], writes: [product] };
  return {
    stores: cached ? "other" : "columns",
    value: of,
    nodes: cached ? [node, cached] : [node],
    buffers: { ...written, reads: [positions, table, ...written.reads] },
    reads: [positions, table],
    rows: cached ? [cached] : [],
    sums: [],
    bind(results, slice) {
      if (!cached) results.rotated(node, layout);
      const into = cached
        ? scatterPlace(cached, results, slice)
        : { result: results.shared(), stride: results.columns, offset: slice.start };
      const [atPositions, angles] = [results.input(positions), results.input(table)];
      return {
        kind: "pairs",
        result: into.result,
        key: `rotary ${JSON.stringify([atPositions, angles, width, into])}`,
        inputsInWords: [angles],
        resultInWords: cached !== undefined,
        wgsl: (text) => rotatedPairs({ positions: atPositions, angles, width, into }, text),
        taking: (text) => takenPairs({ positions: atPositions, angles, width, into }, text),
        takingAhead: (text) => takenPair({ positions: atPositions, angles, width, into }, text),
      };
    },
    print({ ref, computed }) {
      const text = `rotate ${computed(node)} of ${ref(of)}, heads of ${width}`;
      return cached ? `${text}, cache write ${computed(cached)}` : text;
    },
  };
}

/**
 * The rotation at the end of a chain of structure that starts at `head`, if each node is the only reader of the node
 * before it.
 */
function rotationBehind(
  head: Node,
  { options: { consumers, required } }: Draft,
): { readonly node: Node<"rope">; readonly chain: readonly Node[] } | null {
  const chain: Node[] = [];
  let [at, from]: [Node, Node] = [head, head.inputs[0]];
  while (isView(at) && !required.has(at) && !consumers.isCopied(at) && !isGather(at)) {
    const [next] = consumers.direct(at);
    if (consumers.direct(from).length !== 1 || !next) return null;
    chain.push(at);
    [from, at] = [at, next];
  }
  return isOp(at, "rope") && at.inputs[0] === from && consumers.direct(from).length === 1 && !required.has(at)
    ? { node: at, chain }
    : null;
}

/** A range of neighbouring columns of a product. */
interface Columns {
  readonly product: Node;
  /** Rows of the product. */
  readonly rows: Size;
  /** Length of a row in memory, in columns. */
  readonly across: number;
  readonly start: number;
  readonly stop: number;
}

/**
 * The layout in a product's memory of the heads that structure forms of its columns; null unless each head is `width`
 * consecutive columns of a row, cut from the first column on, and its rows are the product's rows, by whose positions
 * the kernel rotates.
 */
function rotatedLayout(
  chain: readonly Node[],
  columns: Columns,
  width: number,
  extents: Extents,
): Omit<Layout, "value"> | null {
  const { product, rows, across, start, stop } = columns;
  if ((stop - start) % width !== 0) return null;
  let layout: Layout | null = { value: { node: product, result: 0 }, strides: [across, 1], offset: start, parts: 1 };
  for (const node of chain) {
    layout = viewed(extents, node, layout);
    if (!layout) return null;
  }
  const shape = chain.at(-1)?.types[0]!.shape ?? [rows, stop - start];
  const { strides, offset, parts } = layout;
  const steps = shape.map((s, d): Size => (s === 1 ? 0 : strides[d]!));
  // Positions index the second-last dimension.
  const along = equalSizes(shape.at(-2)!, rows) && equalSizes(steps.at(-2)!, across) && steps.at(-1) === 1;
  const heads = [...steps.slice(0, -2), offset].every(
    (s) => typeof s === "number" && (s - (s === offset ? start : 0)) % width === 0,
  );
  return along && heads && typeof offset === "number" && offset < across ? { strides, offset, parts } : null;
}

/** The inputs of a rotation by number, the width of a head, and where heads are stored. */
interface Rotation {
  readonly positions: number;
  readonly angles: number;
  readonly width: number;
  readonly into: StorePlace | ScatterPlace;
}

function rotatedPairs(
  { positions, angles, width, into }: Rotation,
  { kernel, expression, slice, place, codecs, n, pairs }: SliceText,
): string {
  const dtype = dtypeAt(expression, place);
  const table = kernel.inputOnce(angles, "f32");
  const half = kernel.size(pairs);
  const start =
    "offset" in into
      ? `row * ${kernel.size(into.stride)} + ${kernel.size(into.offset)}`
      : `${kernel.inputOnce(into.index, "u32")}[row] * ${kernel.size(into.stride)}`;
  const stored = (value: string): string => codecs[into.result]!.store(value, dtype);
  const buffer = `y${into.result}`;
  const turn = [
    `let k = ${columnIn(kernel, slice, "first")} + h;`,
    `let low = frame${n}(r, row, k, x[2u * h]);`,
    `let high = frame${n}(r, row, k + ${half}, x[2u * h + 1u]);`,
    `let angle = turn + k % ${kernel.size(width)};`,
    `let cosine = ${table}[angle];`,
    `let sine = ${table}[angle + ${half}];`,
    `${buffer}[start + k] = ${stored("low * cosine - high * sine")};`,
    `${buffer}[start + k + ${half}] = ${stored("high * cosine + low * sine")};`,
  ];
  const head = [
    `let r = rowF${n}(row);`,
    `let turn = ${kernel.inputOnce(positions, "u32")}[row] * ${kernel.size(width)};`,
    `let start = ${start};`,
    overPairs(kernel),
  ];
  return withinSlice(
    kernel,
    slice,
    pairs,
    [...head.map((l) => `    ${l}\n`), ...turn.map((l) => `      ${l}\n`), "    }\n"].join(""),
  );
}

/** The texts that `takenPairs` and `takenPair` share. */
function takenBefore(
  { positions, angles, width, into }: Rotation,
  { kernel, expression, place, codecs, n, pairs }: SliceText,
) {
  const dtype = dtypeAt(expression, place);
  const table = kernel.inputOnce(angles, "f32");
  const half = kernel.size(pairs);
  const indexed = "offset" in into ? null : `${kernel.inputOnce(into.index, "u32")}[row]`;
  const stride = kernel.size(into.stride);
  const start = "offset" in into ? `row * ${stride} + ${kernel.size(into.offset)}` : `taken.t${n}index * ${stride}`;
  const stored = (value: string): string => codecs[into.result]!.store(value, dtype);
  const buffer = `y${into.result}`;
  // A slice begins with a head, so a column has the same angle in the slice as in the product.
  const lines = [
    `let t${n}angle = ${kernel.inputOnce(positions, "u32")}[row] * ${kernel.size(width)} + ` +
      `pairBegin(column) % ${kernel.size(width)};`,
  ];
  const index = indexed === null ? [] : [{ name: `t${n}index`, type: "u32", value: indexed }];
  return { table, half, start, stored, buffer, lines, index };
}

/** As `rotatedPairs`, with the angles of both pairs taken before. */
function takenPairs(rotation: Rotation, text: SliceText): TakenText {
  const { kernel, slice, n, pairs } = text;
  const { table, half, start, stored, buffer, lines, index } = takenBefore(rotation, text);
  const fields = [
    { name: `t${n}cosine`, type: "vec2f", value: `vec2f(${table}[t${n}angle], ${table}[t${n}angle + 1u])` },
    {
      name: `t${n}sine`,
      type: "vec2f",
      value: `vec2f(${table}[t${n}angle + ${half}], ${table}[t${n}angle + ${half} + 1u])`,
    },
    ...index,
  ];
  const turn = (h: number): readonly string[] => [
    `let low${h} = frame${n}(r, row, k + ${h}u, x[${2 * h}]);`,
    `let high${h} = frame${n}(r, row, k + ${h}u + ${half}, x[${2 * h + 1}]);`,
    `${buffer}[start + k + ${h}u] = ${stored(`low${h} * taken.t${n}cosine[${h}] - high${h} * taken.t${n}sine[${h}]`)};`,
    `${buffer}[start + k + ${h}u + ${half}] = ` +
      `${stored(`high${h} * taken.t${n}cosine[${h}] + low${h} * taken.t${n}sine[${h}]`)};`,
  ];
  const statements = [
    `let r = rowF${n}(row);`,
    `let start = ${start};`,
    `let k = ${columnIn(kernel, slice, "first")};`,
    ...turn(0),
    ...turn(1),
  ];
  return { fields, lines, stores: withinSlice(kernel, slice, pairs, statements.map((l) => `    ${l}\n`).join("")) };
}

/** As `takenPairs`, of one pair, with all else that is loaded taken before. */
function takenPair(rotation: Rotation, text: SliceText): TakenText {
  const { kernel, slice, n } = text;
  const { table, half, start, stored, buffer, lines, index } = takenBefore(rotation, text);
  const fields = [
    ...fieldsOf(text),
    { name: `t${n}cosine`, type: "f32", value: `${table}[t${n}angle]` },
    { name: `t${n}sine`, type: "f32", value: `${table}[t${n}angle + ${half}]` },
    ...index,
  ];
  const [low, high] = [`low${n}`, `high${n}`];
  const values = [
    `let ${low} = frame${n}(taken.s${n}, x[0]);`,
    `let ${high} = frame${n}(taken.s${n}other, x[1]);`,
    `let turned${n} = ${low} * taken.t${n}cosine - ${high} * taken.t${n}sine;`,
    `let other${n} = ${high} * taken.t${n}cosine + ${low} * taken.t${n}sine;`,
  ];
  const statements = [
    `let at = ${start} + ${columnIn(kernel, slice, "first")};`,
    `${buffer}[at] = ${stored(`turned${n}`)};`,
    `${buffer}[at + ${half}] = ${stored(`other${n}`)};`,
  ];
  const stores =
    values.map((l) => `  ${l}\n`).join("") +
    `  if (stores && ${inside(kernel, slice, "first")}) {\n${statements.map((l) => `    ${l}\n`).join("")}  }\n`;
  return { fields, lines, stores };
}
