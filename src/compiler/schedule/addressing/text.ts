// Prints extents, coordinates and offsets as WGSL.
import type { Count, IndexMap } from "../plan/plan.js";

/** An extent or stride as an expression of u32. */
export function printCount(count: Count): string {
  switch (count.kind) {
    case "zero":
      return "0u";
    case "one":
      return "1u";
    case "field":
      return `sizes.${count.field}`;
    case "rows": {
      const rows = `${count.starts}[sizes.${count.batch}]${count.times === null ? "" : ` * sizes.${count.times}`}`;
      return count.plus === null ? rows : `(${rows} + sizes.${count.plus})`;
    }
    default:
      return count satisfies never;
  }
}

/** Statements that return the offset of element `i`. */
export function printIndex({ sizes, strides, offset }: IndexMap): string {
  const { statements, coordinates } = printCoordinates(
    sizes,
    strides.map((s) => s.kind !== "zero"),
  );
  return [...statements, `return ${printOffset(coordinates, strides, offset)};`].join(" ");
}

/**
 * Statements that split index `i` (under any name) into coordinates over `sizes` (the first size is never needed), for
 * the dimensions in `wanted`; and the name of each coordinate.
 */
export function printCoordinates(
  sizes: readonly Count[],
  wanted: readonly boolean[],
  i = "i",
): { readonly statements: readonly string[]; readonly coordinates: readonly string[] } {
  if (sizes.length === 0) return { statements: [], coordinates: [] };
  if (sizes.length === 1) return { statements: [], coordinates: [i] };
  const statements: string[] = [];
  const coordinates: string[] = [];
  let rest = i;
  // Dimensions before the first wanted one need no names.
  const first = wanted.includes(true) ? wanted.indexOf(true) : sizes.length;
  for (let d = sizes.length - 1; d >= Math.max(1, first); d--) {
    const count = printCount(sizes[d]!);
    const size = count.includes(" ") ? `(${count})` : count;
    if (wanted[d]) statements.push(`let ${i}${d} = ${rest} % ${size};`);
    coordinates[d] = `${i}${d}`;
    if (d > first) {
      statements.push(`let ${i}_${d} = ${rest} / ${size};`);
      rest = `${i}_${d}`;
    }
  }
  coordinates[0] = rest;
  return { statements, coordinates };
}

/** Σ coordinate · stride + offset. */
export function printOffset(
  coordinates: readonly string[],
  strides: readonly Count[],
  offset: Count = { kind: "zero" },
): string {
  const terms = strides.flatMap((stride, d) =>
    stride.kind === "zero"
      ? []
      : [stride.kind === "one" ? coordinates[d]! : `${coordinates[d]!} * ${printCount(stride)}`],
  );
  if (offset.kind !== "zero") terms.push(printCount(offset));
  return terms.join(" + ") || "0u";
}
