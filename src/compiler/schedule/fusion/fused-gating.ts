// Builds the kernel of a choice of entries and the rowwise computations around it: its steps, and the cells that hold
// their values.
import { invariant } from "../../../ground/base/invariant.js";
import { countOf } from "../../../ground/base/collections.js";
import { isOp, isPointwise, isView, type Node } from "../../ir/graph.js";
import { attrsKey } from "../../ir/key.js";
import { printType } from "../../ir/typing.js";
import {
  ExpressionBuilder,
  expressionKey,
  valuesOf,
  type Expression,
  type MemoryLeaf,
} from "../addressing/expression.js";
import { rowMajor, type Value } from "../addressing/layout.js";
import type { Layouts } from "../addressing/layouts.js";
import { indexIn, type FusedKernel } from "../kernels/fused-kernel.js";
import type { FusionOptions } from "./partition.js";
import { result, work, KernelBuilder, WORKGROUP, type Stored, type Work, type Operand } from "../kernels/spec.js";
import { storageType } from "../codecs/words.js";
import { sameList, type Gating } from "./gating.js";
import type { Size } from "../../../ground/size/size.js";
import type { Extents } from "../analysis/extents.js";
import type { Step } from "../plan/plan.js";
import type { Tunings } from "../tunings/index.js";
import type { Affine } from "../addressing/access.js";
import { dtypeAt, printOperation, soleResult, Texts, type Inputs } from "../kernels/expression-text.js";
import { collapse } from "../addressing/index-map.js";
import { printCoordinates } from "../addressing/text.js";

/** A step of the kernel, in the order of computation. */
type GatingStep =
  /** Cells computed element by element, from memory and earlier cells. */
  | { readonly kind: "each"; readonly expression: Expression; readonly to: number; readonly width: number }
  /** A function of the kernel's file; `lists` of them are shared out between the lanes, null where all take part. */
  | {
      readonly kind: "call";
      readonly name: string;
      readonly cells: readonly number[];
      readonly counts: readonly number[];
      readonly lists: number | null;
    };

export function fusedGating(gating: Gating, layouts: Layouts, options: FusionOptions): FusedKernel {
  const { extents, tunings } = options;
  const { node, nodes, results, constants } = gating;
  const { steps, cells, count, widest } = stepsOf(gating, layouts, options);
  const reads = valuesOf(steps.flatMap((s) => (s.kind === "each" ? [s.expression] : []))).filter(
    (v) => !cells.starts.has(v),
  );
  const inputOf = indexIn(reads);
  const writes = [...results, ...constants].map((n) => ({
    value: layouts.result(n, 0),
    bytes: extents.bytes(extents.equal.type(n.types[0]!)),
  }));
  for (const n of results) layouts.set(n, rowMajor(extents, layouts.result(n, 0), n.types[0]!.shape));
  const stores = results.map((n) => ({
    cell: cells.of.get(n)!,
    width: rowWidth(n),
    type: storageType(n.types[0]!.dtype),
  }));
  const [rows] = node.types[0]!.shape;
  const shape: GatingShape = { rows: extents.equal.size(rows!), widest, cells: count };
  const make = (_inPlace: readonly boolean[], stored: Stored): Work => {
    const declare = (kernel: KernelBuilder, lanes: number): void => {
      const inputs = { of: inputOf, codecs: stored.reads };
      const lines = steps.flatMap((s, i): readonly string[] => {
        if (s.kind === "each") {
          declareCells(kernel, `step${i}`, layouts.same(s.expression), extents, inputs, cells);
          return [
            `for (var i = o.lane; i < ${s.width}u; i += LANES) { keep(o, ${s.to}u + i, step${i}(o, i)); }`,
            "meet();",
          ];
        }
        const share = s.lists === null ? [] : [shareOf(s.lists, lanes)];
        const args = [...s.cells, ...s.counts, ...share].map((n) => `${n}u`);
        return [`${s.name}(${["o", ...args].join(", ")});`];
      });
      stores.forEach(({ cell, width, type }, i) => {
        kernel.write(`y${i}`, type, result(i));
        const value = type === "u32" ? `word(o, ${cell}u + i)` : `bitcast<${type}>(word(o, ${cell}u + i))`;
        lines.push(
          `for (var i = o.lane; i < ${width}u && o.exists; i += LANES) { y${i}[o.row * ${width}u + i] = ${value}; }`,
        );
      });
      constants.forEach((n, i) => {
        const { value, dtype } = n.attrs;
        const name = `y${stores.length + i}`;
        const width = rowWidth(n);
        kernel.write(name, storageType(dtype), result(stores.length + i));
        const word = `sizes.${kernel.word(value, dtype, `constant${i}`)}`;
        lines.push(
          `for (var i = o.lane; i < ${width}u && o.exists; i += LANES) { ${name}[o.row * ${width}u + i] = ${word}; }`,
        );
      });
      kernel.function(`fn compute(o: Own) {\n${lines.map((l) => `  ${l}\n`).join("")}}`);
    };
    return work([gatingKernel(shape, declare, extents, tunings)]);
  };
  const nameOf = (value: Value): number => (cells.starts.has(value) ? -1 : inputOf(value));
  const key = [
    `gating ${printType(extents.equal.type(node.types[0]!))}`,
    ...steps.map((s) =>
      s.kind === "each"
        ? `${s.to} ${s.width} ${expressionKey(s.expression, extents, nameOf)}`
        : `${s.name} ${s.cells.join()} ${s.counts.join()} ${s.lists}`,
    ),
    ...stores.map((s) => `${s.cell} ${s.width} ${s.type}`),
    ...constants.map((n) => `${attrsKey({ value: n.attrs.value })} ${printType(extents.equal.type(n.types[0]!))}`),
  ].join("\n");
  return {
    nodes: [node, ...nodes.filter((n) => n !== node), ...constants],
    reads,
    writes,
    inWords: new Set(writes.map((w) => w.value)),
    decodes: null,
    takesOver: [],
    key,
    make,
  };
}

/** The elements of a row of these nodes, whose number is known. */
const rowWidth = (node: Node): number => countOf(node.types[0]!.shape.slice(1).map(Number));

/** The steps that compute the nodes, and where their values lie. */
function stepsOf(
  { nodes, results }: Gating,
  layouts: Layouts,
  { extents, partition }: FusionOptions,
): { readonly steps: readonly GatingStep[]; readonly cells: Cells; readonly count: number; readonly widest: number } {
  const members = new Set(nodes);
  const stored = new Set(results);
  const steps: GatingStep[] = [];
  const of = new Map<Node, number>();
  const values = new Map<Node, Value>();
  const starts = new Map<Value, number>();
  let count = 0;
  let widest = 1;
  const room = (width: number): number => {
    count += width;
    return count - width;
  };
  const indexOf = (node: Node): number => {
    const value = { node, result: 0 };
    const to = room(rowWidth(node));
    of.set(node, to);
    values.set(node, value);
    starts.set(value, to);
    return to;
  };
  const expressionOf = (node: Node): Expression => {
    const { shape } = node.types[0]!;
    const builder = new ExpressionBuilder(
      {
        extents,
        layoutOf: (n) => {
          const value = values.get(n);
          if (!value) return members.has(n) ? null : layouts.of(n);
          const { strides } = rowMajor(extents, value, n.types[0]!.shape);
          return { value, strides: strides.with(0, 0), offset: starts.get(value)!, parts: 1 };
        },
        registerOf: () => null,
      },
      shape,
    );
    builder.add(node);
    return builder.finish();
  };
  const each = (node: Node): void => {
    const expression = expressionOf(node);
    steps.push({ kind: "each", expression, to: indexOf(node), width: rowWidth(node) });
  };
  /** The cells of an operand: the value's cells, if they exist, or else new cells, filled here. */
  const operand = (node: Node): number => {
    const list = sameList(node);
    const known = of.get(list);
    if (known !== undefined) return known;
    each(list);
    return of.get(list)!;
  };
  for (const node of nodes) {
    if (isPointwise(node) || isView(node)) {
      const readers = partition.consumers.direct(node).filter((r) => members.has(r));
      const [reader] = readers;
      const inlines =
        readers.length === 1 && isPointwise(node) && isPointwise(reader!) && rowWidth(reader!) === rowWidth(node);
      if (stored.has(node) || !inlines) each(node);
      continue;
    }
    const operands = node.inputs.map(operand);
    const to = indexOf(node);
    const n = Number(node.inputs[0].types[0]!.shape.at(-1));
    const lists = rowWidth(node.inputs[0]) / n;
    widest = Math.max(widest, n);
    steps.push(callOf(node, operands, to, lists, n, room));
  }
  return { steps, cells: { of, starts }, count, widest };
}

/** The call that computes a node's cells from the cells of its operands. */
function callOf(
  node: Node,
  operands: readonly number[],
  to: number,
  lists: number,
  n: number,
  room: (width: number) => number,
): GatingStep {
  const { dtype } = node.types[0]!;
  const sum = dtype === "f32" ? 0 : 1;
  const call = (name: string, cells: readonly number[], counts: readonly number[], shared: boolean): GatingStep => ({
    kind: "call",
    name,
    cells,
    counts,
    lists: shared ? lists : null,
  });
  const [x, index, y] = operands as readonly [number, number, number];
  if (isOp(node, "softmax")) return call("softmax", [x, to], [lists, n], true);
  if (isOp(node, "top_entries"))
    return call("best", [x, room(lists * node.attrs.k), to], [lists, n, node.attrs.k], true);
  if (isOp(node, "those_entries")) return call("those", [x, to], [lists, n], false);
  const k = Number(node.inputs[1]?.types[0]!.shape.at(-1));
  if (isOp(node, "take_entries")) return call("taken", [x, index, to], [lists, n, k], false);
  if (isOp(node, "put_entries")) return call("added", [sum, x, index, y, to], [lists, n, k], false);
  if (isOp(node, "sum")) return call("reduce", [sum, x, to], [lists, n], true);
  invariant(isOp(node, "reduce_max") || isOp(node, "reduce_min"), `${node.op} is no step around a choice`);
  return call("reduce", [isOp(node, "reduce_max") ? 2 : 3, x, to], [lists, n], true);
}

interface GatingShape {
  readonly rows: Size;
  /** The entries of the longest list that a step goes through. */
  readonly widest: number;
  /** Words of workgroup memory for a row. */
  readonly cells: number;
}

/** Words of workgroup memory for the values of a workgroup's rows: what every device has, less room for the lanes. */
const MOST_WORDS = 3584;

/** Fewer rows than this in a workgroup leave most of a processor's lanes idle: lanes share a row instead. */
const LEAST_ROWS = 8;

/**
 * The step. `declare` binds reads and writes and declares `compute`, with `lanes` lanes for a row.
 */
function gatingKernel(
  { rows, widest, cells }: GatingShape,
  declare: (kernel: KernelBuilder, lanes: number) => void,
  extents: Extents,
  { reductions }: Tunings,
): Step<Operand> {
  const together = 2 ** Math.floor(Math.log2(Math.min(WORKGROUP, MOST_WORDS / cells)));
  const alone = widest <= reductions.alone && together >= LEAST_ROWS;
  const lanes = alone ? 1 : reductions.lanes;
  const kernel = new KernelBuilder("gating", extents);
  const rowsEach = alone ? together : 1;
  declare(kernel, lanes);
  return kernel
    .function("fn larger(a: f32, b: f32) -> f32 { return modc_max(a, b); }")
    .function("fn smaller(a: f32, b: f32) -> f32 { return modc_min(a, b); }")
    .constant("INVOCATIONS", lanes * rowsEach)
    .constant("LANES", lanes)
    .constant("ROWS", rowsEach)
    .constant("CELLS", cells)
    .count("rowCount", rows)
    .dispatch(extents.ceilDivide(rows, rowsEach));
}

/** The number of lanes that share each of `lists` lists. */
const shareOf = (lists: number, lanes: number): number => 2 ** Math.max(0, Math.floor(Math.log2(lanes / lists)));

/** Values in cells of a row, which are words of workgroup memory. */
interface Cells {
  /** The first cell of a node. */
  readonly of: ReadonlyMap<Node, number>;
  /** The same by the value that stands for it in expressions. */
  readonly starts: ReadonlyMap<Value, number>;
}

/** `fn name(o: Own, i: u32) -> u32`: the word of element i of the expression in the row of `o`. */
function declareCells(
  kernel: KernelBuilder,
  name: string,
  expression: Expression,
  extents: Extents,
  inputs: Inputs,
  cells: Cells,
): void {
  const texts = new Texts(kernel, inputs, `${name}_`);
  const walks = expression.leaves.flatMap((leaf) => (leaf.kind === "memory" ? affinesOf(leaf) : []));
  const walk = collapse(extents, { sizes: expression.shape.slice(1), strides: walks.map((a) => a.strides.slice(1)) });
  const { statements, coordinates } = printCoordinates(
    walk.sizes.map((size, d) => (d === 0 ? ({ kind: "one" } as const) : kernel.countOf(size, `${name}_size${d}`))),
    walk.sizes.map((_, d) => walk.strides.some((s) => s[d] !== 0)),
  );
  const inner = new Map(walks.map((a, n) => [a, [a.strides[0]!, ...walk.strides[n]!]]));
  const sum = (a: Affine): string => texts.sum({ strides: inner.get(a)!, offset: a.offset }, ["o.row", ...coordinates]);
  const lines = [...statements];
  const names = expression.leaves.map((leaf, n) => {
    lines.push(`let a${n} = ${leaf.kind === "memory" ? loaded(leaf) : texts.fixed(leaf)};`);
    return `a${n}`;
  });
  function loaded(leaf: MemoryLeaf): string {
    if (!cells.starts.has(leaf.value)) return texts.load(leaf, texts.address(leaf, sum));
    const word = `word(o, ${sum(leaf.access.affine)})`;
    if (leaf.dtype === "bool") return `(${word} != 0u)`;
    return leaf.dtype === "u32" ? word : `bitcast<${leaf.dtype}>(${word})`;
  }
  const nameOf = (index: number): string => (index < 0 ? names[-1 - index]! : `v${index}`);
  expression.operations.forEach((o, n) => lines.push(`let v${n} = ${printOperation(o, o.operands.map(nameOf))};`));
  const index = soleResult(expression);
  const dtype = dtypeAt(expression, index);
  const value = nameOf(index);
  const word = dtype === "bool" ? `u32(${value})` : dtype === "u32" ? value : `bitcast<u32>(${value})`;
  kernel.function(`fn ${name}(o: Own, i: u32) -> u32 {\n${lines.map((l) => `  ${l}\n`).join("")}  return ${word};\n}`);
}

const affinesOf = ({ access: { affine, indexed } }: MemoryLeaf): readonly Affine[] =>
  indexed ? [affine, indexed.at] : [affine];
