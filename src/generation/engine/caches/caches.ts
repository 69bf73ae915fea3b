// The seam between the engine and the layout of its caches: who has a place on the device, room for tokens, and where
// the sequences of a run are.
import type { Session } from "../../../runtime/index.js";
import type { Wish } from "../scheduler.js";
import type { Sequence } from "../sequence.js";
import type { Copy, Write } from "../state-edits.js";

/** A sequence that has got its place on the device, and what must be changed there before it is read. */
export interface Admission {
  readonly sequence: Sequence;
  readonly writes: readonly Write[];
  readonly copies: readonly Copy[];
  /** Extents at which all states begin again, before the writes; null: they stay. */
  readonly reset: Readonly<Record<string, number>> | null;
}

/** Larger caches, by axis: the least that hold what was wished, and larger ones that spare the next growth. */
export interface Growth {
  readonly least: readonly number[];
  readonly wanted: readonly number[];
}

/** The answer to wishes. Growth: the caches must grow first. none: memory is short. */
export type Given = "given" | "none" | Growth;

/** Where the sequences of a run are. */
export interface RunPlace {
  /** For each wish, the row of its sequence in the run. */
  readonly rows: readonly number[];
  /** For each row, the tokens that the run reads. */
  readonly lengths: readonly number[];
  readonly inputs: Readonly<Record<string, { readonly data: Uint32Array; readonly shape: readonly number[] }>>;
  readonly extents: Readonly<Record<string, number>>;
}

/** Bytes of keys and values. */
export interface CacheUse {
  /** Of sequences; kept for prompts to come; free within the limit; the limit. */
  readonly used: number;
  readonly kept: number;
  readonly free: number;
  readonly limit: number;
  /** How many sequences as long as those so far there is room for, and how many if every token took every layer. */
  readonly streams: { readonly own: number; readonly dense: number };
}

export interface Caches {
  /** Whether all its sequences are in every run, and so read and step together. */
  readonly together: boolean;
  /** Extents of the axes of states. */
  readonly extents: Readonly<Record<string, number>>;
  /** Extents for which programs are loaded. */
  readonly loading: Readonly<Record<string, number>>;
  /** For each axis, the result of `prompt` with the positions of the tokens that took it; null where there is none. */
  readonly positions: readonly (string | null)[];
  /** The most tokens of a sequence that surely fit; Infinity: there is no limit but the context. */
  readonly limit: number;
  /** The number of sequences that may get a place now. */
  readonly places: number;

  /** Gives places to the first that wait, of which there is at least one; none if they must wait longer. */
  admit(waiting: readonly Sequence[]): readonly Admission[];
  /** Gives sequences room for more tokens, whatever routes these take: all wishes or none. */
  give(wishes: readonly Wish<Sequence>[]): Given;
  /** Makes the caches larger, with no run in flight; false if the device has no room: `limit` is lower then. */
  grow(session: Session, growth: Growth): Promise<boolean>;
  /** Empties the caches of all sequences and divides their memory evenly; false if the device has no room. */
  even(session: Session): Promise<boolean>;
  /** After an answer: keeps what other sequences may share, and takes back room that was not needed. */
  settle(sequence: Sequence): void;
  /** Takes back the place and the room of a sequence. `ended`: it will not be read again. */
  release(sequence: Sequence, ended: boolean): void;
  /** Where the sequences of a run are, which have been given room. */
  inputs(wishes: readonly Wish<Sequence>[]): RunPlace;
  use(active: readonly Sequence[]): CacheUse;
  /** The rows on an axis for which sequences with these rows have room. */
  allocated(axis: number, rows: readonly number[]): number;
}
