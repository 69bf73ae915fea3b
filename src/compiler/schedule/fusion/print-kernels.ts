// Prints the kernel graph: what each kernel computes, reads and writes, and the layouts of values that are not
// row-major in their own memory.
import { nodesOf, type Node } from "../../ir/graph.js";
import { printSize } from "../../../ground/size/size.js";
import { readsOf, type FusedOutput, type Selection } from "./selection.js";
import type { ColumnSlice } from "./epilogue.js";
import type { Fusion } from "./fusion.js";
import type { KernelGraph } from "./kernel-graph.js";
import { isRowMajor, type Value } from "../addressing/layout.js";
import type { FusedKernel } from "../kernels/fused-kernel.js";

type Ref = (node: Node) => string;

/**
 * A paragraph for each kernel, in order. Nodes have their numbers in `printGraph` of the kernel graph's graph.
 * Ends with a newline.
 *
 *   kernel %26 = matmul(%21, %25)
 *     loads %21 = mul(%19, %20)
 *     columns 0:256 in pairs of 32
 *       rotate %33 = rope(%29, %31, %32)
 *     columns 512:768
 *       cache write %47 = set(%44, %36, %46)
 *     reads %11 %20 %25 %31 %32 %44 %36
 *     writes %47 %26
 *     %33 lies in %26 at [64, 768, 1] + 0
 */
export function printKernels(fused: KernelGraph): string {
  const ids = new Map(nodesOf(fused.graph).map((n, i) => [n, i]));
  const ref = (node: Node): string => `%${ids.get(node)}`;
  return fused.kernels.map((kernel) => `${kernelLines(kernel, fused, ref).join("\n")}\n`).join("\n");
}

function kernelLines(kernel: FusedKernel, fused: KernelGraph, ref: Ref): readonly string[] {
  const { fusions, selections, rowGroups, gatings } = fused.partition;
  const [head] = kernel.nodes;
  const fusion = fusions.get(head!);
  const selection = selections.get(head!);
  const lines = fusion ? fusionLines(fusion, ref) : selection ? selectionLines(selection, ref) : [];
  const gating = gatings.get(head!);
  const also: readonly Node[] = gating ? kernel.nodes : (rowGroups.get(head!)?.sums ?? []);
  const inlined =
    fusion || selection
      ? []
      : kernel.nodes.slice(1).map((n) => `${also.includes(n) ? "also" : "inlines"} ${computed(n, ref)}`);
  const values = (list: readonly Value[]): string => list.map((v) => valueText(v, ref)).join(" ") || "nothing";
  const layoutLines = kernel.nodes.flatMap((n) => layoutText(n, fused, ref));
  return [
    `kernel ${computed(head!, ref)}`,
    ...[
      ...lines,
      ...inlined,
      `reads ${values(kernel.reads)}`,
      `writes ${values(kernel.writes.map((w) => w.value))}`,
      ...layoutLines,
    ].map((l) => `  ${l}`),
  ];
}

const computed = (node: Node, ref: Ref): string => `${ref(node)} = ${node.op}(${node.inputs.map(ref).join(", ")})`;

/** A value as text: its node and, if that has several results, the number of the result. */
const valueText = ({ node, result }: Value, ref: Ref): string =>
  node.types.length === 1 ? ref(node) : `${ref(node)}.${result}`;

function fusionLines(fusion: Fusion, ref: Ref): readonly string[] {
  const loaded = new Set(fusion.prologue?.operations ?? []);
  const epilogues = new Set(fusion.columns.flatMap((c) => c.epilogues.flatMap((e) => e.nodes)));
  const accumulators = new Set(fusion.columns.flatMap((c) => [...c.accumulators.keys()]));
  const rest = [...fusion.nodes].filter(
    (n) => !loaded.has(n) && !accumulators.has(n) && !epilogues.has(n) && n !== fusion.product,
  );
  return [
    ...[...loaded].map((n) => `loads ${computed(n, ref)}`),
    ...fusion.columns.flatMap((c) => [
      columnsText(c.slice, fusion.pairs),
      ...c.epilogues.map((e) => `  ${e.print({ ref, computed: (n) => computed(n, ref) })}`),
    ]),
    ...rest.map((n) => `computes ${computed(n, ref)}`),
  ];
}

function columnsText({ start, stop, second }: ColumnSlice, pairs: number): string {
  const other = second === null ? "" : ` with ${second}:${second + stop - start}`;
  return `columns ${start}:${stop}${other}${pairs === 0 ? "" : ` in pairs of ${pairs}`}`;
}

function selectionLines({ node, outputs, nodes }: Selection, ref: Ref): readonly string[] {
  const fused = new Set<Node>([node, ...outputs.map((o) => o.node)]);
  return [
    ...[...nodes].filter((n) => !fused.has(n)).map((n) => `inlines ${computed(n, ref)}`),
    ...outputs.map((output) => outputText(output, ref)),
  ];
}
const outputText = (output: FusedOutput, ref: Ref): string =>
  `${output.kind} ${computed(output.node, ref)}` +
  (readsOf(output).length > 0 ? ` from ${readsOf(output).map(ref).join(" ")}` : "");

/** The layout of a node, unless it is row-major in its own memory or not stored. */
function layoutText(node: Node, { layouts, extents }: KernelGraph, ref: Ref): readonly string[] {
  const layout = layouts.of(node);
  if (!layout || (layout.value.node === node && isRowMajor(extents, layout, node.types[0]!.shape))) return [];
  const parts = layout.parts === 1 ? "" : `, ${layout.parts} partial sums`;
  return [
    `${ref(node)} lies in ${valueText(layout.value, ref)} at [${layout.strides.map(printSize).join(", ")}] + ` +
      `${printSize(layout.offset)}${parts}`,
  ];
}
