// Lazy values: computed on first use.

/**
 * Returns a function that calls `make` on its first call and returns that result on every call. If `make` throws, the
 * next call tries again.
 */
export function once<T>(make: () => T): () => T {
  let computed: { readonly value: T } | null = null;
  return () => (computed ??= { value: make() }).value;
}
