// Builds the kernels of a node whose operator has kernels of its own. The first kernel may compute its operands.
import { isOp, typeOf, type Node, isScatter } from "../../ir/graph.js";
import { attrsKey } from "../../ir/key.js";
import { equalTypes, printType } from "../../ir/typing.js";
import type { KernelOp } from "../../ir/vocabulary.js";
import { kernelOf } from "../../ops/traits.js";
import { equalSizes, printSize, type Size } from "../../../ground/size/size.js";
import { expressionKey, valuesOf, type Expression } from "../addressing/expression.js";
import { declareValue } from "./expression-text.js";
import { isRowMajor, rowMajor, type Value } from "../addressing/layout.js";
import type { Layouts } from "../addressing/layouts.js";
import { elementInput } from "../analysis/consumers.js";
import type { Extents } from "../analysis/extents.js";
import { isUnpacked, productWeights } from "../analysis/side-by-side.js";
import { contextOf, indexIn, runSpec, writesOf, type FusedKernel, type FusedKernelOptions } from "./fused-kernel.js";
import { matmul, PLAIN } from "./products.js";
import type { KernelBuilder, KernelContext, Stored, View, Work } from "./spec.js";

export function operatorKernel(node: Node<KernelOp>, layouts: Layouts, options: FusedKernelOptions): FusedKernel {
  const { extents } = options;
  const element = elementInput(node);
  const computed = element === null ? null : node.inputs[element]!;
  const expression = computed && layouts.expression([computed], computed.types[0]!.shape, new Set());
  const plain = !expression || isPlain(expression, extents);
  const views: (View | null)[] = [];
  const reads: Value[] = expression && !plain ? [...valuesOf([expression])] : [];
  const indices: number[] = [];
  node.inputs.forEach((from, i) => {
    const access = i === element && !plain ? null : readOf(node, from, i, layouts, options);
    views.push(access?.view ?? null);
    indices.push(access ? reads.push(access.value) - 1 : -1);
  });
  const inputOf = indexIn(reads);
  const base = isScatter(node) ? indices[0]! : null;
  const conflict = isScatter(node) && expression && !readsOnlyWhatItWrites(expression, node, layouts, extents);
  const resultViews = resultViewsOf(node, layouts, options);
  // Old rows are still read while new ones are written: the result starts as a copy.
  const inPlace = conflict ? [] : inputsInPlace(node).flatMap((i) => indices[i] ?? []);
  // A kernel that replaces several values reads none of them twice.
  const takesOver = base === null && inPlace.some((i) => reads.filter((v) => v === reads[i]).length > 1) ? [] : inPlace;
  const context = contextOf(node, options);
  const prologue =
    expression && !plain
      ? (kernel: KernelBuilder, stored: Stored): void => {
          // Rows that are added to are read from the memory that they share with the result.
          if (base !== null && !conflict) kernel.inputIs(base, "x");
          declareValue(kernel, layouts.same(expression), extents, { of: inputOf, codecs: stored.reads });
        }
      : null;
  const weights = node.inputs.map((from, i) => isOp(from, "weight") || (i === 1 && productWeights(node) !== null));
  const key = [
    `${node.op}{${attrsKey(context.attrs)}}(${context.inputs.map(printType).join(" ")})` +
      `${weights.map(Number).join("")}${Number(isUnpacked(node))}`,
    context.results.map(printType).join(" "),
    prologue ? `<${expressionKey(expression!, extents, inputOf)}> ${indices.join(",")}` : "",
    [...views, ...resultViews].map((v) => (v ? viewKey(v, extents) : "")).join(";"),
  ].join(" ");
  const make = (inPlace: readonly boolean[], stored: Stored): Work =>
    stepsOf(node, options, {
      weights,
      views: views.map((v) => v && sameView(v, extents)),
      resultViews: resultViews.map((v) => v && sameView(v, extents)),
      inPlace,
      stored,
      prologue: prologue && ((kernel) => prologue(kernel, stored)),
      places: indices,
    });
  const nodes = [node, ...(prologue ? expression!.operations.map((o) => o.node) : [])];
  const writes = writesOf(node, layouts, options);
  const { readsEncoded = [], writesEncoded = false, decodes } = kernelOf(node.op);
  const inWords = new Set([
    ...indices.flatMap((index, i) => (index < 0 || readsEncoded.includes(i) ? [] : [reads[index]!])),
    ...writes.flatMap(({ value }, i) => (i === 0 && writesEncoded ? [] : [value])),
  ]);
  const weight = decodes !== undefined && weights[decodes] ? reads[indices[decodes]!]! : null;
  const isReadOnce = reads.filter((v) => v === weight).length === 1;
  return { nodes, reads, writes, inWords, decodes: isReadOnce ? weight : null, takesOver, key, make };
}

/** Whether the update of x reads of x only the element that it writes. */
function readsOnlyWhatItWrites(
  { leaves }: Expression,
  node: Node<"put" | "set">,
  layouts: Layouts,
  extents: Extents,
): boolean {
  const [x, index] = node.inputs;
  const [value, rows] = [layouts.valueOf(x), layouts.valueOf(index)];
  const { strides } = rowMajor(extents, value, x.types[0]!.shape);
  const { dim } = node.attrs;
  return leaves.every((leaf) => {
    if (leaf.kind !== "memory" || leaf.value !== value) return true;
    const { affine, indexed } = leaf.access;
    const along =
      indexed?.indices.length === 1 &&
      indexed.indices[0] === rows &&
      equalSizes(indexed.times, strides[dim]!) &&
      indexed.at.offset === 0 &&
      indexed.at.strides.every((s, d) => s === (d === dim ? 1 : 0));
    return (
      along && affine.offset === 0 && affine.strides.every((s, d) => (d === dim ? s === 0 : equalSizes(s, strides[d]!)))
    );
  });
}

/** An input where it lies: row-major, unless the operator's kernels read it anyhow. */
function readOf(
  node: Node,
  from: Node,
  index: number,
  layouts: Layouts,
  { extents, packedAtLoad }: FusedKernelOptions,
): { readonly value: Value; readonly view: View | null } {
  if (packedAtLoad.has(from)) return { value: layouts.result(from, 0), view: null };
  const layout = kernelOf(node.op).readsViews?.includes(index) ? layouts.of(from) : null;
  if (layout && layout.parts === 1 && !isRowMajor(extents, layout, from.types[0]!.shape))
    return { value: layout.value, view: layout };
  return { value: layouts.valueOf(from), view: null };
}

const sameView = ({ strides, offset }: View, { equal }: Extents): View => ({
  strides: strides.map((s) => equal.size(s)),
  offset: equal.size(offset),
});

function viewKey(view: View, extents: Extents): string {
  const { strides, offset } = sameView(view, extents);
  return `${strides.map(printSize).join(",")}+${printSize(offset)}`;
}

/** The views through which results are written, if their readers need another order. */
function resultViewsOf(node: Node, layouts: Layouts, options: FusedKernelOptions): readonly (View | null)[] {
  const { consumers } = options.partition;
  return (kernelOf(node.op).writesViews ?? []).map((i) => {
    if (node.types.length === 1) return resultView(node, layouts.result(node, i), layouts, options);
    const [pick, ...more] = consumers.direct(node).filter((n) => isOp(n, "pick") && n.attrs.result === i);
    return pick && more.length === 0 ? resultView(pick, layouts.result(node, i), layouts, options) : null;
  });
}

/** The layout in which the result's only permutation is row-major; null if there is no such permutation. */
function resultView(
  node: Node,
  result: Value,
  layouts: Layouts,
  { partition, extents }: FusedKernelOptions,
): View | null {
  const reader = partition.consumers.direct(node).find((n): n is Node<"permute"> => isOp(n, "permute"));
  if (!reader || !partition.consumers.isWritten(reader)) return null;
  const permuted = rowMajor(extents, result, reader.types[0]!.shape);
  const strides: Size[] = [];
  reader.attrs.order.forEach((d, n) => (strides[d] = permuted.strides[n]!));
  layouts.set(node, { ...permuted, strides });
  return { strides, offset: 0 };
}

/** The steps of a node that is fused with nothing. */
function stepsOf(
  node: Node<KernelOp>,
  options: FusedKernelOptions,
  rest: Omit<KernelContext<KernelOp>, "attrs" | "inputs" | "results" | "extents" | "tunings">,
): Work {
  if (isOp(node, "matmul"))
    return matmul({ ...contextOf(node, options), ...rest }, { ...PLAIN, unpacked: isUnpacked(node) });
  return runSpec(node.op, { ...contextOf(node, options), ...rest });
}

/** Nothing but the elements of one value, in its order. */
function isPlain({ leaves, operations, shape }: Expression, extents: Extents): boolean {
  const [leaf] = leaves;
  if (operations.length > 0 || leaves.length !== 1 || leaf?.kind !== "memory" || leaf.access.indexed) return false;
  return isRowMajor(extents, { value: leaf.value, ...leaf.access.affine, parts: leaf.parts }, shape);
}

/** The inputs whose memory the results may take over, limited to the inputs that the node has. */
const inputsInPlace = (node: Node<KernelOp>): readonly number[] =>
  (kernelOf(node.op).inPlace ?? []).filter(
    (i, r) => node.inputs[i] && equalTypes(typeOf(node.inputs[i]), node.types[r]!),
  );
