// Helpers on lists that every folder uses: the number of elements of a shape, lists by key, readers of a node, lists of
// known length.
import { invariant } from "./invariant.js";

/** The number of elements of a shape. */
export const countOf = (shape: readonly number[]): number => shape.reduce((count, size) => count * size, 1);

/** Appends a value to the list of a key. */
export function addTo<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key);
  if (list) list.push(value);
  else lists.set(key, [value]);
}

/** Maps each node to its readers, each once, in order; no entry for a node without readers. */
export function readersOf<N extends { readonly inputs: readonly N[] }>(
  order: readonly N[],
): ReadonlyMap<N, readonly N[]> {
  const readers = new Map<N, N[]>();
  for (const reader of order) for (const read of new Set(reader.inputs)) addTo(readers, read, reader);
  return readers;
}

type ListOf<T, N extends number, L extends readonly T[] = readonly []> = L["length"] extends N
  ? L
  : ListOf<T, N, readonly [...L, T]>;

const counts = <T, N extends number>(list: readonly T[], count: N): list is readonly T[] & ListOf<T, N> =>
  list.length === count;

/** Checks the length of a list. The result's type states the length. */
export function exactly<T, const N extends number>(count: N, list: readonly T[]): ListOf<T, N> {
  invariant(counts(list, count), `${list.length} where ${count} are wanted`);
  return list;
}
