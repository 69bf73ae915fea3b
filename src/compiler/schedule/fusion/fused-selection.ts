// Builds the kernel of a selection, with its scores and fused outputs.
import { isOp, type Node } from "../../ir/graph.js";
import { attrsKey } from "../../ir/key.js";
import { equalShapes, printType } from "../../ir/typing.js";
import { readsOf, type Selection, type FusedOutput } from "./selection.js";
import { expressionKey, valuesOf, type Expression, type Leaf } from "../addressing/expression.js";
import { declareRows } from "../kernels/declare-rows.js";
import { declareValue, splitsByRow } from "../kernels/expression-text.js";
import { summedLanes } from "../kernels/row-products.js";
import { above, mostOwnScores, mostRows } from "../kernels/routing.js";
import { input, result, work, type KernelBuilder, type Operand, type Stored, type Work } from "../kernels/spec.js";
import { storageType } from "../codecs/words.js";
import { isRowMajor, rowMajor, type Value } from "../addressing/layout.js";
import type { Size } from "../../../ground/size/size.js";
import { summedShape } from "./row-groups.js";
import type { Layouts } from "../addressing/layouts.js";
import type { Step } from "../plan/plan.js";
import { contextOf, indexIn, type FusedKernel } from "../kernels/fused-kernel.js";
import type { FusionOptions } from "./partition.js";

/** Number of results of the selection itself: its rows and their starts. */
const OWN_RESULTS = 2;

/** The kernel, which may add up few scores itself. */
export function fusedSelection(selection: Selection, layouts: Layouts, options: FusionOptions): FusedKernel {
  const kernel = selectionKernel(selection, layouts, options, null);
  const scoreSum = scoreSumOf(selection, layouts, options);
  if (!scoreSum) return kernel;
  const { sum, rows, count } = scoreSum;
  return {
    ...kernel,
    ownSum: { sum, rows, count, upTo: () => selectionKernel(selection, layouts, options, scoreSum) },
  };
}

function selectionKernel(
  { node, outputs, nodes }: Selection,
  layouts: Layouts,
  options: FusionOptions,
  own: ScoreSum | null,
): FusedKernel {
  const { extents, updates } = options;
  const [score, threshold, parent] = node.inputs;
  const scores = layouts.expression([score], score.types[0]!.shape, nodes);
  const known = new Set([...valuesOf([scores]), ...(own ? valuesOf([own.summed]) : [])]);
  // A constant threshold is a uniform word.
  const constant = isOp(threshold, "constant") ? threshold : null;
  const others = new Set(
    [...(constant ? [] : [threshold]), parent, ...outputs.flatMap(readsOf)].map((n) => layouts.valueOf(n)),
  );
  for (const value of others) known.add(value);
  const reads = [...known];
  const inputOf = indexIn(reads);
  const at = (n: Node): number => inputOf(layouts.valueOf(n));

  const written = outputs.map((r) => r.node);
  const numberOf = new Map(written.map((n, i) => [n as Node, OWN_RESULTS + i]));
  const writes = [...[0, 1].map((i) => layouts.result(node, i)), ...written.map((n) => layouts.result(n, 0))].map(
    (value) => ({
      value,
      bytes: extents.bytes(extents.equal.type(value.node.types[value.result]!)),
    }),
  );
  for (const n of written) layouts.set(n, rowMajor(extents, layouts.result(n, 0), n.types[0]!.shape));
  const takesOver = [
    null,
    null,
    ...outputs.map((r) =>
      r.kind === "set" ? at(r.x) : r.kind === "counted" && r.before && updates.has(r.node) ? at(r.before) : null,
    ),
  ];

  const context = contextOf(node, options);
  const make = (inPlace: readonly boolean[], stored: Stored): Work => {
    const declare = (kernel: KernelBuilder): void => {
      outputs.forEach((r, i) => {
        const number = OWN_RESULTS + i;
        kernel.write(`y${number}`, storageType(r.node.types[0]!.dtype), result(number));
        const taken = takesOver[number];
        if (taken !== null && taken !== undefined && inPlace[number]) kernel.inputIs(taken, `y${number}`);
      });
      const text = new OutputText(kernel, at, numberOf);
      const lines = outputs.map((r) => text.lines(r));
      const of = (kind: "row" | "sequence"): string =>
        lines.flatMap((l) => (l.once === kind ? l.text.map((t) => `  ${t}\n`) : [])).join("");
      kernel.function(`fn publish(at: u32, row: u32, b: u32, first: u32) {\n${of("row")}}`);
      kernel.function(`fn finish(b: u32, count: u32) {\n${of("sequence")}}`);
    };
    const inputs = { of: inputOf, codecs: stored.reads };
    const declareThreshold = (kernel: KernelBuilder): void => {
      if (constant)
        kernel.function(
          "fn thresholdAt(row: u32) -> f32 { return " +
            `sizes.${kernel.word(constant.attrs.value, constant.attrs.dtype, "threshold")}; }`,
        );
    };
    const all = {
      ...context,
      attrs: node.attrs,
      weights: [false, false, false],
      views: [null, null, null],
      stored,
      places: [-1, constant ? -1 : at(threshold), at(parent)],
      prologue: (kernel: KernelBuilder) => {
        declareValue(kernel, layouts.same(scores), extents, inputs);
        declareThreshold(kernel);
      },
    };
    const sums = own && {
      rows: own.rows,
      lanes: own.lanes,
      depth: own.depth,
      declare: (kernel: KernelBuilder) => {
        const names = { letter: "X", parameters: "row: u32", prefix: "s" };
        declareRows(kernel, layouts.same(own.summed), extents, inputs, names);
        declareValue(kernel, layouts.same(own.scored), extents, inputs);
        declareThreshold(kernel);
      },
    };
    const selected = above(all, declare, sums);
    const copies = outputs.flatMap((r, i): Step<Operand>[] => {
      const number = OWN_RESULTS + i;
      return r.kind !== "set" || inPlace[number]
        ? []
        : [{ kind: "copy", from: input(at(r.x)), to: result(number), bytes: writes[number]!.bytes }];
    });
    return copies.length === 0 ? selected : work([...copies, ...selected.steps], selected.scratch);
  };
  const key = [
    `above{${attrsKey(context.attrs)}}(${context.inputs.map(printType).join(" ")}) ` +
      `${expressionKey(scores, extents, inputOf)} ${constant ? `= ${attrsKey(constant.attrs)}` : at(threshold)} ` +
      `${at(parent)} ${takesOver.join()}`,
    ...(own ? [`own sums up to ${own.rows} ${expressionKey(own.summed, extents, inputOf)}`] : []),
    ...outputs.map(
      (r) =>
        `${r.kind} ${printType(extents.equal.type(r.node.types[0]!))} ${readsOf(r).map(at).join()} ` +
        (r.kind === "set" ? `${numberOf.get(r.index)} ${numberOf.get(r.rows)}` : "") +
        (r.kind === "paged" ? `${r.node.attrs.page} ${printType(r.pages.types[0]!)}` : ""),
    ),
  ].join("\n");
  return {
    nodes: [node, ...[...nodes].filter((n) => n !== node)],
    reads,
    writes,
    inWords: new Set([...others, ...writes.map((w) => w.value)]),
    decodes: null,
    takesOver,
    key,
    make,
  };
}

interface ScoreSum {
  readonly sum: Value;
  readonly rows: number;
  readonly lanes: number;
  readonly count: Size;
  readonly depth: number;
  /** The summed expression, and the scores with the sum in place of the value. */
  readonly summed: Expression;
  readonly scored: Expression;
}

/** The row sum in the scores, if the kernel of few rows can compute it; else null. */
function scoreSumOf(
  { node, outputs, nodes }: Selection,
  layouts: Layouts,
  { extents, partition, tunings }: FusionOptions,
): ScoreSum | null {
  const [score, threshold] = node.inputs;
  if (!tunings.reductions.wide || tunings.rowSums.kind !== "wide") return null;
  const scores = layouts.expression([score], score.types[0]!.shape, nodes);
  const [leaf, ...more] = scores.leaves.flatMap((l) =>
    l.kind === "memory" && partition.rowGroups.has(l.value.node) ? [l] : [],
  );
  if (!leaf || more.length > 0 || leaf.parts !== 1 || leaf.dtype !== "f32" || leaf.access.indexed) return null;
  const { value: sum } = leaf;
  const group = partition.rowGroups.get(sum.node)!;
  const shape = summedShape(group.sums[0]!);
  const rows = mostRows(shape[0]!, extents);
  const depth = shape.at(-1);
  if (group.sums.length > 1 || shape.length !== 2 || typeof depth !== "number" || rows === null) return null;
  const layout = { value: sum, ...leaf.access.affine, parts: 1 };
  if (!equalShapes(shape.slice(0, 1), scores.shape) || !isRowMajor(extents, layout, scores.shape)) return null;
  const summed = layouts.expression([group.sums[0]!.inputs[0]], shape, group.nodes);
  const elsewhere = new Set([threshold, ...outputs.flatMap(readsOf)].map((n) => layouts.valueOf(n)));
  // Its reads replace two buffers: the sum's and the counts'.
  const read = valuesOf([summed]);
  if (!splitsByRow(summed) || read.length > 2 || [sum, ...read].some((v) => elsewhere.has(v))) return null;
  const lanes = summedLanes(tunings.rowSums, depth);
  const leaves = scores.leaves.map((l): Leaf => (l === leaf ? { kind: "row sum", dtype: l.dtype } : l));
  return { sum, rows: mostOwnScores(lanes), lanes, count: rows, depth, summed, scored: { ...scores, leaves } };
}

/**
 * Prints fused outputs as WGSL: statements of `publish(at, row, b, first)` for each row, or of `finish(b, count)` for
 * each sequence.
 */
class OutputText {
  readonly #kernel: KernelBuilder;
  readonly #inputOf: (node: Node) => number;
  readonly #numberOf: ReadonlyMap<Node, number>;

  constructor(kernel: KernelBuilder, inputOf: (node: Node) => number, numberOf: ReadonlyMap<Node, number>) {
    this.#kernel = kernel;
    this.#inputOf = inputOf;
    this.#numberOf = numberOf;
  }
  lines(output: FusedOutput): { readonly once: "row" | "sequence"; readonly text: readonly string[] } {
    const n = this.#numberOf.get(output.node)!;
    switch (output.kind) {
      case "taken":
        return { once: "row", text: [`let v${n} = ${this.#read(output.x)}[row];`, `y${n}[at] = v${n};`] };
      case "appended": {
        const longer = output.longer ? `${this.#read(output.longer)}[b] + ` : "";
        return {
          once: "row",
          text: [`let v${n} = ${longer}${this.#read(output.counts)}[b] + at - first;`, `y${n}[at] = v${n};`],
        };
      }
      case "paged": {
        const [pages, each, { page }] = [this.#read(output.pages), `pages${n}`, output.node.attrs];
        this.#kernel.count(each, output.pages.types[0]!.shape[1]!);
        const pageNumber = `${pages}[b * ${each}() + min(i${n} / ${page}u, ${each}() - 1u)]`;
        return {
          once: "row",
          text: [
            `let i${n} = ${this.#read(output.counts)}[b] + at - first;`,
            `let v${n} = ${pageNumber} * ${page}u + i${n} % ${page}u;`,
            `y${n}[at] = v${n};`,
          ],
        };
      }
      case "set":
        return {
          once: "row",
          text: [`y${n}[v${this.#numberOf.get(output.index)!}] = v${this.#numberOf.get(output.rows)!};`],
        };
      case "counted":
        return {
          once: "sequence",
          text: [`y${n}[b] = ${output.before ? `${this.#read(output.before)}[b] + ` : ""}count;`],
        };
      default:
        return output satisfies never;
    }
  }
  #read(node: Node): string {
    return this.#kernel.inputOnce(this.#inputOf(node), storageType(node.types[0]!.dtype));
  }
}
