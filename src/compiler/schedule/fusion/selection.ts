// Fusion of a selection (top-k) kernel: inlined scores, and fused outputs for the chosen rows and their number.
import { isOp, type Node, isView } from "../../ir/graph.js";
import { loweringOf } from "../../ops/traits.js";
import { equalShapes } from "../../ir/typing.js";
import { inline, type InlineOptions } from "./inline.js";
import type { Extents } from "../analysis/extents.js";
import { storageBuffers, type Bindings } from "./buffers.js";

export interface Selection {
  readonly node: Node<"above">;
  /** Outputs stored in addition to the rows and their starts, each after the outputs that it depends on. */
  readonly outputs: readonly FusedOutput[];
  /** All nodes that the kernel computes. */
  readonly nodes: ReadonlySet<Node>;
  /** The nodes that the kernel reads, without the starts of the axis that it selects from. */
  readonly reads: ReadonlySet<Node>;
}

export type FusedOutput =
  /** The value of x, which has one element a row, for each chosen row. */
  | { readonly kind: "taken"; readonly node: Node<"take">; readonly x: Node }
  /** The index of a chosen row, appended to the earlier rows of its sequence. */
  | { readonly kind: "appended"; readonly node: Node<"append">; readonly counts: Node; readonly longer: Node | null }
  /** The row of the pool for a chosen row, after the earlier rows of its sequence. */
  | { readonly kind: "paged"; readonly node: Node<"paged_append">; readonly counts: Node; readonly pages: Node }
  /** The number of chosen rows of a sequence, plus the earlier rows. */
  | { readonly kind: "counted"; readonly node: Node<"counts"> | Node<"add">; readonly before: Node | null }
  /** A taken value, set at the index of the appended row. */
  | { readonly kind: "set"; readonly node: Node<"set">; readonly x: Node; readonly index: Node; readonly rows: Node };

interface SelectionOptions extends Omit<InlineOptions, "allows"> {
  readonly extents: Extents;
  readonly mostBuffers: number;
}

/** Buffers of the selection itself: starts (read), counts between its two kernels, rows and starts (written). */
const OWN_BUFFERS = 4;

/**
 * The selection with all outputs that can be fused within the buffer limit; null where its scores need a value that is
 * not computed in time.
 */
export function selectionOf(node: Node<"above">, options: SelectionOptions): Selection | null {
  const { consumers, extents, mostBuffers } = options;
  const [score, threshold] = node.inputs;
  // Scores are computed several times, by kernels that must agree bit by bit: only exact operators are inlined.
  const scored = inline(score, node, { ...options, allows: (n) => loweringOf(n).exact === true });
  if (!scored) return null;
  const reads = new Set<Node>(isOp(threshold, "constant") ? scored.reads : [...scored.reads, threshold]);
  const nodes = new Set<Node>([node, ...scored.operations]);
  const types = node.inputs.flatMap((n) => n.types);
  let parts: readonly Bindings[] = [{ reads: [...reads], writes: [], own: OWN_BUFFERS }];
  const outputs: FusedOutput[] = [];
  for (const output of candidates(node, options)) {
    const needs = readsOf(output);
    if (!needs.every((n) => options.scheduledAt(n) < options.before && isStorable(n, options))) continue;
    // Rows that are updated in place must not be read elsewhere in this kernel; the same holds for counts read by the
    // scores, which workgroups of other sequences read.
    if (output.kind === "set" && reads.has(output.x)) continue;
    if (output.kind === "counted" && output.before && (scored.reads.has(output.before) || output.before === threshold))
      continue;
    if (output.kind === "set" && !(nodes.has(output.index) && nodes.has(output.rows))) continue;
    // A set writes to memory that is bound already.
    const more: Bindings = { reads: needs, writes: output.kind === "set" ? [] : [output.node] };
    if (storageBuffers([...parts, more], types, extents) > mostBuffers) continue;
    parts = [...parts, more];
    outputs.push(output);
    nodes.add(output.node);
    if (isOp(output.node, "add"))
      for (const n of output.node.inputs) if (isOp(n, "counts") && consumers.direct(n).length === 1) nodes.add(n);
    for (const n of needs) reads.add(n);
  }
  return { node, outputs, nodes, reads };
}

/** The nodes that a fused output reads from memory. */
export function readsOf(output: FusedOutput): readonly Node[] {
  switch (output.kind) {
    case "taken":
    case "set":
      return [output.x];
    case "appended":
      return output.longer ? [output.counts, output.longer] : [output.counts];
    case "paged":
      return [output.counts, output.pages];
    case "counted":
      return output.before ? [output.before] : [];
    default:
      return output satisfies never;
  }
}

/** Whether the node is stored, or will be if a kernel reads it. */
const isStorable = (node: Node, { consumers }: SelectionOptions): boolean =>
  !isOp(node, "constant") && (!isView(node) || consumers.isCopied(node));

function* candidates(node: Node<"above">, { consumers, isAssigned }: SelectionOptions): Generator<FusedOutput> {
  const readers = (of: Node): readonly Node[] => consumers.direct(of).filter((n) => !isAssigned(n));
  const readersOf = (result: number): readonly Node[] =>
    consumers.direct(node).flatMap((n) => (isPickOf(n, node, result) ? readers(n) : []));
  for (const reader of readersOf(0)) {
    const [x, index] = reader.inputs;
    const [type] = x.types;
    if (
      isOp(reader, "take") &&
      isPickOf(index, node, 0) &&
      type!.shape.length === 1 &&
      WORDS.has(type!.dtype) &&
      consumers.isCopied(reader)
    )
      yield { kind: "taken", node: reader, x: x };
  }
  const ofStarts = readersOf(1);
  const appended = ofStarts.filter(
    (n): n is Node<"append"> | Node<"paged_append"> =>
      (isOp(n, "append") || isOp(n, "paged_append")) &&
      isPickOf(n.inputs[1], node, 1) &&
      n.attrs.axis === node.attrs.axis,
  );
  for (const n of appended)
    yield isOp(n, "append")
      ? { kind: "appended", node: n, counts: n.inputs[0], longer: n.inputs[2] ?? null }
      : { kind: "paged", node: n, counts: n.inputs[0], pages: n.inputs[2] };
  for (const counts of ofStarts) {
    if (!isOp(counts, "counts")) continue;
    const [sum, ...more] = consumers.direct(counts);
    const before =
      sum && more.length === 0 && isOp(sum, "add") && !isAssigned(sum)
        ? sum.inputs.find((n) => n !== counts)
        : undefined;
    if (before && equalShapes(before.types[0]!.shape, counts.types[0]!.shape))
      yield { kind: "counted", node: sum as Node<"add">, before };
    else yield { kind: "counted", node: counts, before: null };
  }
  for (const n of appended)
    for (const reader of readers(n)) {
      const [x, index, rows] = reader.inputs;
      if (isOp(reader, "set") && index === n && x.types[0]!.shape.length === 1)
        yield { kind: "set", node: reader, x: x, index, rows: rows };
    }
}

const WORDS: ReadonlySet<string> = new Set(["f32", "u32", "i32"]);
const isPickOf = (node: Node, of: Node, result: number): boolean =>
  isOp(node, "pick") && node.inputs[0] === of && node.attrs.result === result;
