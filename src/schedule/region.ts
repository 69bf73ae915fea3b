// What a region is: the parts of a product's kernel beside its sums.
import type { Node } from "../ir/graph.js";
import type { Absorbed } from "./absorb.js";
import type { Views } from "./addressing/views.js";
import type { Demand } from "./demand.js";
import type { Extents } from "./extents.js";
import type { Layout } from "./layout.js";
import type { ScoreTunings } from "./tunings/scores.js";

/** Columns of a product that are worked on together: from start to stop; or pairs of them, the others as many columns on from `second`. */
export interface Frame {
  readonly start: number;
  readonly stop: number;
  readonly second: number | null;
}

export interface Rotation {
  readonly node: Node<"rope">;
  /** Width of a head. */
  readonly width: number;
}

/** What is done with the sums of a frame. */
export interface FrameWork {
  readonly frame: Frame;
  /** Nodes that are a sum itself: the product, or slices of it; in a pair the first and the second. */
  readonly registers: ReadonlyMap<Node, number>;
  /** Nodes stored, row-major in memory of their own or where their columns stand in the product's. */
  readonly stores: readonly { readonly node: Node; readonly shared: boolean }[];
  /** The last of them, or what is scattered, turned by its position. Of a frame one value at most is turned or scattered. */
  readonly rotation: Rotation | null;
  /** Rows added to or replaced, in the memory of its first input, by what `of` is in the frame, turned where the frame is. */
  readonly scatter: { readonly node: Node<"put" | "set">; readonly of: Node } | null;
  /** Sums over each row of the frame; `set`: in other such sums, in whose memory it replaces those of the rows that are scattered. */
  readonly sums: readonly { readonly node: Node<"sum">; readonly set: Node<"set"> | null }[];
}

export interface Region {
  readonly product: Node<"matmul">;
  /** What input a is computed of; null where it is read as it lies. */
  readonly prologue: Absorbed | null;
  readonly frames: readonly FrameWork[];
  /** Columns so far apart stand side by side; 0: in their order. */
  readonly pairs: number;
  /** Where each rotated value lies in the product's memory. */
  readonly rotated: ReadonlyMap<Node, Omit<Layout, "value">>;
  /** All nodes that the kernel computes. */
  readonly nodes: ReadonlySet<Node>;
  /** What it reads beside a and b. */
  readonly reads: ReadonlySet<Node>;
}

export interface RegionOptions {
  readonly demand: Demand;
  readonly extents: Extents;
  readonly views: Views;
  /** Sums over rows that are needed whole. */
  readonly whole: ReadonlySet<Node>;
  readonly required: ReadonlySet<Node>;
  readonly mostBuffers: number;
  /** Whether b is packed, so that columns may stand in another order. */
  readonly packs: boolean;
  /** Columns of a panel where the kernel can sum over rows; null where it cannot. */
  readonly sumsOver: number | null;
  /** In how many parts a product's kernel leaves a sum; null where none does. */
  readonly partsOf: (sum: Node) => number | null;
  /** Where a choice may add up what a product's kernel sums. */
  readonly scores: ScoreTunings;
  readonly position: (node: Node) => number;
  readonly readyAt: (node: Node) => number;
  readonly isTaken: (node: Node) => boolean;
}

/** Buffers that the kernel binds. */
export function buffersOf({ product, prologue, frames, reads }: Region, extents: Extents): number {
  const read = new Set<Node>([...reads, ...(prologue?.reads ?? [product.inputs[0]])]);
  let written = 0;
  let shared = false;
  for (const f of frames) {
    written += f.stores.filter((s) => !s.shared).length + f.sums.length;
    shared ||= f.stores.some((s) => s.shared);
    if (f.scatter) {
      written++;
      read.add(f.scatter.node.inputs[1]);
      read.delete(f.scatter.node.inputs[0]);
    }
  }
  const counted = extents.countedIn([...product.types, ...[...read].flatMap((n) => n.types)]);
  return read.size + 1 + written + (shared ? 1 : 0) + counted.size;
}
