// How much memory tokens and sequences take in caches in pages, now and on average.
import type { Generation, PagedGeneration } from "../../../runtime/program/generation.js";
import type { Sequence } from "../sequences/sequence.js";
import { EVERY } from "./snapshot-rule.js";

/** A generation with caches in pages. */
export type PagedModel = Generation & { readonly pages: PagedGeneration };

/** Bytes that a token takes in the caches of each axis. */
export const bytesByAxis = ({ pages }: PagedModel): readonly number[] =>
  pages.axes.map(({ states }) => states.reduce((sum, { bytes }) => sum + bytes, 0));

/** Bytes that a sequence takes in states of recurrences. */
export const stateBytes = ({ states = [] }: Pick<Generation, "states">): number =>
  states.reduce((sum, { bytes }) => sum + bytes, 0);

/** How the memory of caches is divided, in bytes. */
export interface Divided {
  /** The states of all slots. */
  readonly states: number;
  readonly pools: number;
  /** Copies of states for texts that begin alike. */
  readonly snapshots: number;
}

/** So many snapshots have room in small memory too, if they take no more than half of it. */
const FEW = 4;

/**
 * The share of pools in what the slots leave: as if each `EVERY` tokens in pages had a snapshot, and at least a half.
 * A model without keys has snapshots alone.
 */
function shareOfPools(model: PagedModel): number {
  const [state, dense] = [stateBytes(model), bytesByAxis(model).reduce((a, b) => a + b, 0)];
  if (state === 0) return 1;
  return dense === 0 ? 0 : Math.max(0.5, (EVERY * dense) / (EVERY * dense + state));
}

/** Divides memory between the states of `slots` sequences, pools and snapshots. */
export function divided(model: PagedModel, memory: number, slots: number): Divided {
  const states = slots * stateBytes(model);
  const left = Math.max(0, memory - states);
  const share = shareOfPools(model);
  // No page is lost to a rounded share.
  const shared = Math.min(left, Math.ceil(left * share - 1e-6));
  const pools = share === 0 ? 0 : Math.min(shared, Math.max(Math.ceil(left / 2), left - FEW * stateBytes(model)));
  return { states, pools, snapshots: left - pools };
}

/** The memory in which pools of `slots` sequences have so many bytes. */
export function memoryWith(model: PagedModel, pools: number, slots: number): number {
  const share = shareOfPools(model);
  const state = stateBytes(model);
  const all = share === 0 ? 0 : Math.max(Math.ceil(pools / share), Math.min(2 * pools, pools + FEW * state));
  return slots * state + all;
}

/** Tokens of a text that surely fits into the cache, whatever routes they take. */
export const cacheLimit = (generation: PagedModel, cacheMemory: number): number => {
  const dense = bytesByAxis(generation).reduce((a, b) => a + b, 0);
  const { page } = generation.pages;
  return dense === 0 ? Infinity : page * Math.floor(cacheMemory / (page * dense));
};

/**
 * Bytes of keys, values and states of recurrences: in use by requests, kept for later prompts, free, and the limit.
 * `streams`: how many texts as long as those so far were on average the memory has room for, and how many if every
 * token took every layer; 0 before there was one.
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
  readonly #state: number;
  readonly #bytesOf: (sequences: readonly Sequence[]) => number;
  /** The sequences that have ended: their number, bytes of their pages, and tokens of pages for all they had read. */
  #ended = { texts: 0, bytes: 0, tokens: 0 };

  /** `bytesOf`: bytes of the pages and states that sequences have. */
  constructor(model: PagedModel, bytesOf: (sequences: readonly Sequence[]) => number) {
    this.#page = model.pages.page;
    this.#dense = bytesByAxis(model).reduce((a, b) => a + b, 0);
    this.#state = stateBytes(model);
    this.#bytesOf = bytesOf;
  }

  /** Adds a sequence that ends, and still has its pages. */
  add(sequence: Sequence): void {
    this.#ended = this.#sofar([sequence]);
  }

  /** `active`: sequences that have pages; `held`: bytes of pages, states and snapshots in use; `limit`: at most. */
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
      streams: { own: streams(bytes), dense: streams(tokens * this.#dense + texts * this.#state) },
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
