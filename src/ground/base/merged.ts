// Merges several streams into one, in the order in which items arrive.

/**
 * The items of all sources. The first fault of any source ends all of them, and so does leaving the loop. Sources are
 * read without back-pressure.
 */
export async function* merged<T>(sources: readonly AsyncIterable<T>[]): AsyncGenerator<T, void> {
  const iterators = sources.map((source) => source[Symbol.asyncIterator]());
  const ready: T[] = [];
  let open = iterators.length;
  let fault: { readonly reason: unknown } | null = null;
  let wake = (): void => {};
  const pump = async (iterator: AsyncIterator<T>): Promise<void> => {
    try {
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
        ready.push(next.value);
        wake();
      }
    } catch (reason) {
      fault ??= { reason };
    }
    open--;
    wake();
  };
  for (const iterator of iterators) void pump(iterator);
  try {
    for (;;) {
      yield* ready.splice(0);
      if (fault) throw (fault as { readonly reason: unknown }).reason; // a pump sets it
      if (ready.length > 0) continue;
      if (open === 0) return;
      await new Promise<void>((resolve) => (wake = resolve));
      wake = () => {};
    }
  } finally {
    // Not awaited: a source that waits for its next item ends once its creator cancels it.
    for (const iterator of iterators) iterator.return?.().catch(() => {});
  }
}
