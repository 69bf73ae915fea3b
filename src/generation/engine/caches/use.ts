// How much memory tokens and sequences take in caches in pages, now and on average.
import type { Generation, PagedGeneration } from "../../../runtime/program/generation.js";
import type { Sequence } from "../sequences/sequence.js";

/** A generation with caches in pages. */
export type PagedModel = Generation & { readonly pages: PagedGeneration };

/** Bytes that a token takes in the caches of each axis. */
export const bytesByAxis = ({ pages }: PagedModel): readonly number[] =>
  pages.axes.map(({ states }) => states.reduce((sum, { bytes }) => sum + bytes, 0));

/** Tokens of a text that surely fits into the cache, whatever routes they take. */
export const cacheLimit = (generation: PagedModel, cacheMemory: number): number => {
  const dense = bytesByAxis(generation).reduce((a, b) => a + b, 0);
  const { page } = generation.pages;
  return dense === 0 ? Infinity : page * Math.floor(cacheMemory / (page * dense));
};

/**
 * Bytes of keys and values: in use by requests, kept for later prompts, free, and the limit. `streams`: how many
 * texts as long as those so far were on average the memory has room for, and how many if every token took every
 * layer; 0 before there was one.
 */
export interface CacheUse {
  readonly used: number;
  readonly kept: number;
  readonly free: number;
  readonly limit: number;
  readonly streams: { readonly own: number; readonly dense: number };
}

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
