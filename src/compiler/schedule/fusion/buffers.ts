// Counts the storage buffers that a kernel binds, for fusions, selections and reductions alike.
import type { Node } from "../../ir/graph.js";
import type { TensorType } from "../../ir/types.js";
import type { Extents } from "../analysis/extents.js";

export interface Bindings {
  readonly reads: Iterable<Node>;
  /** One node for each memory that the kernel writes; parts that write to the same memory name the same node. */
  readonly writes: Iterable<Node>;
  /** A value whose memory a result overwrites, so that it has no binding of its own. */
  readonly replaces?: Node;
  /** Number of buffers that belong to no node. */
  readonly own?: number;
}

/**
 * The number of buffers of a kernel's parts, including the starts of axes that only the device counts, of its reads and
 * of `types`.
 */
export function storageBuffers(parts: readonly Bindings[], types: readonly TensorType[], extents: Extents): number {
  const reads = new Set(parts.flatMap((part) => [...part.reads]));
  for (const { replaces } of parts) if (replaces) reads.delete(replaces);
  const writes = new Set(parts.flatMap((part) => [...part.writes]));
  const unnamed = parts.reduce((n, part) => n + (part.own ?? 0), 0);
  return reads.size + writes.size + unnamed + extents.countedIn([...types, ...[...reads].flatMap((n) => n.types)]).size;
}
