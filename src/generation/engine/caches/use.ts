// How much memory sequences take in caches in pages, now and on average.
import { bytesByAxis, type PagedModel } from "../options.js";
import type { Sequence } from "../sequence.js";
import type { EngineState } from "../types.js";

/** Bytes of keys and values. */
export type CacheUse = EngineState["cache"];

export class UseRecord {
  readonly #page: number;
  readonly #dense: number;
  readonly #bytesOf: (sequences: readonly Sequence[]) => number;
  /** The sequences that have ended: their number, bytes of their pages, and tokens of pages for all they had read. */
  #ended = { texts: 0, bytes: 0, tokens: 0 };

  /** `bytesOf`: bytes of the pages that sequences have. */
  constructor(model: PagedModel, bytesOf: (sequences: readonly Sequence[]) => number) {
    this.#page = model.pages.page;
    this.#dense = bytesByAxis(model).reduce((a, b) => a + b, 0);
    this.#bytesOf = bytesOf;
  }

  /** Adds a sequence that ends, and still has its pages. */
  add(sequence: Sequence): void {
    this.#ended = this.#sofar([sequence]);
  }

  /** `active`: sequences that have pages; `held`: bytes of all pages in use; `limit`: bytes of all pools at most. */
  use(active: readonly Sequence[], held: number, limit: number): CacheUse {
    const used = this.#bytesOf(active);
    const { texts, bytes, tokens } = this.#sofar(active);
    const streams = (all: number): number => (all === 0 ? 0 : Math.floor((limit * texts) / all));
    const free = limit - held;
    return {
      used,
      kept: held - used,
      free,
      limit,
      streams: { own: streams(bytes), dense: streams(tokens * this.#dense) },
    };
  }

  /** The sequences that have ended, and these. */
  #sofar(active: readonly Sequence[]): { texts: number; bytes: number; tokens: number } {
    const { texts, bytes, tokens } = this.#ended;
    return {
      texts: texts + active.length,
      bytes: active.reduce((sum, own) => sum + this.#bytesOf([own]), bytes),
      tokens: active.reduce((sum, { read }) => sum + this.#page * Math.ceil(read / this.#page), tokens),
    };
  }
}
