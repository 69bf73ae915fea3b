// Kernels in the order in which they run: of stored expressions and of operators with kernels of their own here, of
// products elsewhere.
import { isOp, type Node, isView, isPointwise, hasKernel, isScatter } from "../../ir/graph.js";
import { invariant } from "../../base/invariant.js";
import { attrsKey } from "../../ir/key.js";
import { printType } from "../../ir/typing.js";
import type { KernelOp } from "../../ir/vocabulary.js";
import { kernelOf } from "../../ops/traits.js";
import { equalSizes, printSize, type Size } from "../../size/size.js";
import { fusedSelection } from "../fusion/fused-selection.js";
import { elementInput } from "../analysis/demand.js";
import { expressionKey, valuesOf, type Expression } from "../addressing/expression.js";
import { declareValue, dtypeAt, soleResult } from "../addressing/expression-text.js";
import type { Extents } from "../analysis/extents.js";
import { matmul, PLAIN } from "./products.js";
import { KernelBuilder, result, work, type KernelContext, type Stored, type View, type Work } from "./spec.js";
import { isRowMajor, rowMajor, type Value } from "../addressing/layout.js";
import { Layouts } from "../addressing/layouts.js";
import { fusedMatmul } from "../fusion/fused-matmul.js";
import { fusedRowSums } from "../fusion/fused-row-sums.js";
import { liesAsGiven, productWeights } from "../analysis/side-by-side.js";
import {
  contextOf,
  indexIn,
  runSpec,
  updatedState,
  type FusedKernel,
  type FusedKernelOptions,
} from "./fused-kernel.js";

/** The kernels of a partition in order, and where values lie. `required`: what lies row-major for the caller. */
export function kernelsOf(
  order: readonly Node[],
  required: Iterable<Node>,
  options: FusedKernelOptions,
): { readonly kernels: readonly FusedKernel[]; readonly layouts: Layouts } {
  const maker = new KernelMaker(options);
  for (const node of order) maker.enter(node);
  for (const node of required) maker.layouts.valueOf(node);
  return { kernels: maker.kernels, layouts: maker.layouts };
}

class KernelMaker {
  readonly kernels: FusedKernel[] = [];
  readonly layouts: Layouts;
  readonly #with: FusedKernelOptions;

  constructor(options: FusedKernelOptions) {
    this.#with = options;
    this.layouts = new Layouts(options.extents, options.partition, (constant) =>
      this.#push(this.#expressionKernel(constant)),
    );
  }

  /** Makes the kernel that computes a node, if it is the one a kernel is named for. Nodes come in order. */
  enter(node: Node): void {
    const { partition, isGiven, madeWhenPacked } = this.#with;
    const fusion = partition.fusions.get(node);
    if (fusion) return this.#push(fusedMatmul(fusion, this.layouts, this.#with));
    const selection = partition.selections.get(node);
    if (selection) return this.#push(fusedSelection(selection, this.layouts, this.#with));
    const group = partition.rowGroups.get(node);
    if (group) return this.#push(fusedRowSums(group, this.layouts, this.#with));
    if (partition.taken.has(node)) return;
    if (partition.stored.has(node)) return this.#push(this.#expressionKernel(node));
    if (
      node.op === "constant" ||
      isGiven(node) ||
      isView(node) ||
      isPointwise(node) ||
      isOp(node, "pick") ||
      madeWhenPacked.has(node)
    )
      return;
    invariant(hasKernel(node), `${node.op} has no kernel`);
    this.#push(this.#operatorKernel(node));
  }
  #push(kernel: FusedKernel): void {
    this.kernels.push(kernel);
  }

  #writes(node: Node): FusedKernel["writes"] {
    const { extents } = this.#with;
    return node.types.map((type, i) => ({
      value: this.layouts.result(node, i),
      bytes: extents.bytes(extents.equal.type(type)),
    }));
  }

  #expressionKernel(node: Node): FusedKernel {
    const { extents, tunings } = this.#with;
    const type = node.types[0]!;
    const expression = this.layouts.expression([node], type.shape, new Set([node]));
    const reads = valuesOf([expression]);
    const inputOf = indexIn(reads);
    const { operations } = expression;
    const name =
      operations.length === 0
        ? isOp(node, "constant")
          ? "fill"
          : node.op
        : operations
            .slice(-3)
            .map((o) => o.node.op)
            .join("_");
    const updated = updatedState(node, expression, this.#with);
    const takesOver = updated === null ? [] : [inputOf(updated)];
    const make = ([inPlace]: readonly boolean[], stored: Stored): Work => {
      const kernel = new KernelBuilder("pointwise", extents, name);
      const to = stored.writes[0]!;
      if (inPlace) kernel.inputIs(takesOver[0]!, "y");
      kernel.write("y", to.element(dtypeAt(expression, soleResult(expression))), result());
      const count = extents.product(extents.equal.type(type).shape);
      kernel.count("count", count);
      declareValue(kernel, this.layouts.same(expression), extents, { of: inputOf, codecs: stored.reads }, to);
      return work([kernel.spread(count, tunings.elements)]);
    };
    const nodes = [node, ...operations.map((o) => o.node).filter((n) => n !== node)];
    const key = `= ${name} ${takesOver.join()} ${expressionKey(expression, extents, inputOf)}`;
    return { nodes, reads, writes: this.#writes(node), inWords: new Set(), decodes: null, takesOver, key, make };
  }
  /** A node by the kernels of its operator; what the first kernel reads may be computed in it. */
  #operatorKernel(node: Node<KernelOp>): FusedKernel {
    const { extents } = this.#with;
    const element = elementInput(node);
    const computed = element === null ? null : node.inputs[element]!;
    const expression = computed && this.layouts.expression([computed], computed.types[0]!.shape, new Set());
    const plain = !expression || isPlain(expression, extents);
    const views: (View | null)[] = [];
    const reads: Value[] = expression && !plain ? [...valuesOf([expression])] : [];
    const places: number[] = [];
    node.inputs.forEach((from, i) => {
      const found = i === element && !plain ? null : this.#readOf(node, from, i);
      views.push(found?.view ?? null);
      places.push(found ? reads.push(found.value) - 1 : -1);
    });
    const inputOf = indexIn(reads);
    const base = isScatter(node) ? places[0]! : null;
    const conflict = isScatter(node) && expression && !this.#readsOnlyWhatItWrites(expression, node);
    const resultViews = this.#resultViews(node);
    // Its old rows are still read while others are written: what is written begins as a copy.
    const inPlace = conflict ? [] : (kernelOf(node.op).inPlace ?? []).map((i) => places[i]!);
    // A kernel that replaces several values reads none of them twice.
    const takesOver =
      base === null && inPlace.some((i) => reads.filter((v) => v === reads[i]).length > 1) ? [] : inPlace;
    const context = contextOf(node, this.#with);
    const prologue =
      expression && !plain
        ? (kernel: KernelBuilder, stored: Stored): void => {
            // Rows that are added to are read from the memory that they share with the result.
            if (base !== null && !conflict) kernel.inputIs(base, "x");
            declareValue(kernel, this.layouts.same(expression), extents, { of: inputOf, codecs: stored.reads });
          }
        : null;
    const weights = node.inputs.map((from, i) => isOp(from, "weight") || (i === 1 && productWeights(node) !== null));
    const key = [
      `${node.op}{${attrsKey(context.attrs)}}(${context.inputs.map(printType).join(" ")})` +
        `${weights.map(Number).join("")}${Number(liesAsGiven(node))}`,
      context.results.map(printType).join(" "),
      prologue ? `<${expressionKey(expression!, extents, inputOf)}> ${places.join(",")}` : "",
      [...views, ...resultViews].map((v) => (v ? this.#viewKey(v) : "")).join(";"),
    ].join(" ");
    const make = (inPlace: readonly boolean[], stored: Stored): Work =>
      stepsOf(node, this.#with, {
        weights,
        views: views.map((v) => v && this.#sameView(v)),
        resultViews: resultViews.map((v) => v && this.#sameView(v)),
        inPlace,
        stored,
        prologue: prologue && ((kernel) => prologue(kernel, stored)),
        places,
      });
    const nodes = [node, ...(prologue ? expression!.operations.map((o) => o.node) : [])];
    const writes = this.#writes(node);
    const { readsEncoded = [], writesEncoded = false, decodes } = kernelOf(node.op);
    const inWords = new Set([
      ...places.flatMap((place, i) => (place < 0 || readsEncoded.includes(i) ? [] : [reads[place]!])),
      ...writes.flatMap(({ value }, i) => (i === 0 && writesEncoded ? [] : [value])),
    ]);
    const weight = decodes !== undefined && weights[decodes] ? reads[places[decodes]!]! : null;
    const isReadOnce = reads.filter((v) => v === weight).length === 1;
    return { nodes, reads, writes, inWords, decodes: isReadOnce ? weight : null, takesOver, key, make };
  }
  /** Whether what is put into x, or replaces its rows, reads of x no element but the one it goes to. */
  #readsOnlyWhatItWrites({ leaves }: Expression, node: Node<"put" | "set">): boolean {
    const [x, index] = node.inputs;
    const [value, rows] = [this.layouts.valueOf(x), this.layouts.valueOf(index)];
    const { strides } = rowMajor(this.#with.extents, value, x.types[0]!.shape);
    const { dim } = node.attrs;
    return leaves.every((leaf) => {
      if (leaf.kind !== "memory" || leaf.value !== value) return true;
      const { affine, indexed } = leaf.access;
      const along =
        indexed?.index === rows &&
        equalSizes(indexed.times, strides[dim]!) &&
        indexed.at.offset === 0 &&
        indexed.at.strides.every((s, d) => s === (d === dim ? 1 : 0));
      return (
        along &&
        affine.offset === 0 &&
        affine.strides.every((s, d) => (d === dim ? s === 0 : equalSizes(s, strides[d]!)))
      );
    });
  }
  /** An input where it lies: row-major, unless the operator's kernels read it anyhow. */
  #readOf(node: Node, from: Node, index: number): { readonly value: Value; readonly view: View | null } {
    const { extents, madeWhenPacked } = this.#with;
    if (madeWhenPacked.has(from)) return { value: this.layouts.result(from, 0), view: null };
    const layout = kernelOf(node.op).readsViews?.includes(index) ? this.layouts.of(from) : null;
    if (layout && layout.parts === 1 && !isRowMajor(extents, layout, from.types[0]!.shape))
      return { value: layout.value, view: layout };
    return { value: this.layouts.valueOf(from), view: null };
  }
  #sameView({ strides, offset }: View): View {
    const { equal } = this.#with.extents;
    return { strides: strides.map((s) => equal.size(s)), offset: equal.size(offset) };
  }
  #viewKey(view: View): string {
    const { strides, offset } = this.#sameView(view);
    return `${strides.map(printSize).join(",")}+${printSize(offset)}`;
  }
  #resultViews(node: Node): readonly (View | null)[] {
    const { demand } = this.#with.partition;
    return (kernelOf(node.op).writesViews ?? []).map((i) => {
      if (node.types.length === 1) return this.#resultView(node, this.layouts.result(node, i));
      const [pick, ...more] = demand.direct(node).filter((n) => isOp(n, "pick") && n.attrs.result === i);
      return pick && more.length === 0 ? this.#resultView(pick, this.layouts.result(node, i)) : null;
    });
  }
  /** Written so that the one permutation of it is found row-major. */
  #resultView(node: Node, result: Value): View | null {
    const { partition, extents } = this.#with;
    const reader = partition.demand.direct(node).find((n): n is Node<"permute"> => isOp(n, "permute"));
    if (!reader || !partition.demand.isWritten(reader)) return null;
    const permuted = rowMajor(extents, result, reader.types[0]!.shape);
    const strides: Size[] = [];
    reader.attrs.order.forEach((d, n) => (strides[d] = permuted.strides[n]!));
    this.layouts.set(node, { ...permuted, strides });
    return { strides, offset: 0 };
  }
}

/** The steps of a node that is fused with nothing. */
function stepsOf(
  node: Node<KernelOp>,
  options: FusedKernelOptions,
  rest: Omit<KernelContext<KernelOp>, "attrs" | "inputs" | "results" | "extents" | "tunings">,
): Work {
  if (isOp(node, "matmul"))
    return matmul({ ...contextOf(node, options), ...rest }, { ...PLAIN, unpacked: liesAsGiven(node) });
  return runSpec(node.op, { ...contextOf(node, options), ...rest });
}

/** Nothing but the elements of one value, in its order. */
function isPlain({ leaves, operations, shape }: Expression, extents: Extents): boolean {
  const [leaf] = leaves;
  if (operations.length > 0 || leaves.length !== 1 || leaf?.kind !== "memory" || leaf.access.indexed) return false;
  return isRowMajor(extents, { value: leaf.value, ...leaf.access.affine, parts: leaf.parts }, shape);
}
