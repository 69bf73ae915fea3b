// How many storage buffers a kernel binds: one sum for fusions, selections and reductions alike.
import type { Node } from "../../ir/graph.js";
import type { TensorType } from "../../ir/types.js";
import type { Extents } from "../analysis/extents.js";

/** What one part of a kernel binds. */
export interface Bindings {
  readonly reads: Iterable<Node>;
  /** Each with memory that the kernel writes; parts that write to the same memory name the same node. */
  readonly writes: Iterable<Node>;
  /** A value in whose memory a result is written, so that it is not bound again. */
  readonly replaces?: Node;
  /** Buffers that stand for no node. */
  readonly own?: number;
}

/**
 * The buffers of a kernel's parts, with the starts of axes that only the device counts: those of what it reads, and of
 * `types`.
 */
export function storageBuffers(parts: readonly Bindings[], types: readonly TensorType[], extents: Extents): number {
  const reads = new Set(parts.flatMap((part) => [...part.reads]));
  for (const { replaces } of parts) if (replaces) reads.delete(replaces);
  const writes = new Set(parts.flatMap((part) => [...part.writes]));
  const own = parts.reduce((n, part) => n + (part.own ?? 0), 0);
  return reads.size + writes.size + own + extents.countedIn([...types, ...[...reads].flatMap((n) => n.types)]).size;
}
