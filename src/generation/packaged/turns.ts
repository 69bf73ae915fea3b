// Callers of one generator take turns, in the order in which they came.

/** A caller's turn, until `end`. */
export interface Turn {
  /** Resolves once another caller waits. */
  readonly awaited: Promise<void>;
  end(): void;
}

/** A promise, and the function that resolves it. */
function signalled(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}

export class Turns {
  #last: Promise<unknown> = Promise.resolve();
  /** Tells the last caller that another one waits. */
  #hurry = (): void => {};
  readonly #closed = signalled();
  #error: Error | null = null;

  /** Waits for the turns before. Throws the reason of `signal`, and the error of `close`. */
  async next(signal: AbortSignal | undefined): Promise<Turn> {
    const [before, ended, awaited, stopped] = [this.#last, signalled(), signalled(), signalled()];
    this.#last = before.then(() => ended.promise);
    this.#hurry();
    this.#hurry = awaited.resolve;
    signal?.addEventListener("abort", stopped.resolve);
    try {
      await Promise.race([before, stopped.promise, this.#closed.promise]);
      signal?.throwIfAborted();
      if (this.#error) throw this.#error;
      return { awaited: awaited.promise, end: ended.resolve };
    } catch (error) {
      ended.resolve();
      throw error;
    } finally {
      signal?.removeEventListener("abort", stopped.resolve);
    }
  }

  /** Rejects the callers that wait, and later ones, with `error`. */
  close(error: Error): void {
    this.#error ??= error;
    this.#closed.resolve();
  }
}

/**
 * Yields what `source` yields. It reads `source` to its end once another caller waits for its turn, however slowly its
 * own reader takes the values: a reader may call the generator again while it reads.
 */
export async function* inTurn<T, R>(source: AsyncGenerator<T, R>, turn: Turn): AsyncGenerator<T, R> {
  const read: Promise<IteratorResult<T, R>>[] = [];
  let reading = true;
  const readOn = async (): Promise<void> => {
    await turn.awaited;
    while (reading) {
      const next = source.next();
      read.push(next);
      reading &&= await next.then(
        ({ done }) => !done,
        () => false, // whoever reads `next` gets the error
      );
    }
    turn.end();
  };
  void readOn();
  try {
    for (;;) {
      const next = await (read.shift() ?? source.next());
      if (next.done) return next.value;
      yield next.value;
    }
  } finally {
    reading = false;
    await source.return(undefined as never); // its value is not used
    turn.end();
  }
}
