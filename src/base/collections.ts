// Small questions about lists that every room asks: how many elements a shape has, and who reads what.

/** The number of elements of a shape. */
export const countOf = (shape: readonly number[]): number => shape.reduce((count, size) => count * size, 1);

/** For each thing those that read it, each once, in order; nothing for what nobody reads. */
export function readersOf<N extends { readonly inputs: readonly N[] }>(
  order: readonly N[],
): ReadonlyMap<N, readonly N[]> {
  const readers = new Map<N, N[]>();
  for (const reader of order)
    for (const read of new Set(reader.inputs)) {
      const known = readers.get(read);
      if (known) known.push(reader);
      else readers.set(read, [reader]);
    }
  return readers;
}
