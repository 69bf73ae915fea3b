// A value that is computed when it is first asked for.

/**
 * Calls `make` at the first call, and gives what it made at every one. Where `make` throws, the next call tries again.
 */
export function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | null = null;
  return () => (made ??= { value: make() }).value;
}
