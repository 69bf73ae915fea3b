// Rotary positions, turned where a product's sums are stored: which heads can be, and where they then lie.
import type { Node } from "../ir/graph.js";
import { equalSizes, type Size } from "../size/size.js";
import type { Extents } from "./extents.js";
import { viewed, type Layout } from "./layout.js";

/** Neighbouring columns of a product's rows. */
export interface Columns {
  readonly product: Node;
  /** Rows of the product. */
  readonly rows: Size;
  /** Columns of a row in memory. */
  readonly across: number;
  readonly start: number;
  readonly stop: number;
}

/**
 * Where heads of `width` lie in a product's memory that structure makes of its columns; null unless each head is so many neighbours of a row, as the columns are cut from the
 * first on, and the rows are those of the product, which its kernel turns by their positions.
 */
export function rotatedLayout(chain: readonly Node[], columns: Columns, width: number, extents: Extents): Omit<Layout, "value"> | null {
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
  // Positions go along the dimension before the last.
  const along = equalSizes(shape.at(-2)!, rows) && equalSizes(steps.at(-2)!, across) && steps.at(-1) === 1;
  const heads = [...steps.slice(0, -2), offset].every((s) => typeof s === "number" && (s - (s === offset ? start : 0)) % width === 0);
  return along && heads && typeof offset === "number" && offset < across ? { strides, offset, parts } : null;
}
