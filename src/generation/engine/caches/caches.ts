// The seam between the engine and the layout of its caches: who has a place on the device, room for tokens, and where
// the sequences of a run are.
import type { Words } from "../../../ground/base/dtype.js";
import type { Results, Session } from "../../../runtime/index.js";
import type { Wish } from "../sequences/scheduler.js";
import type { Sequence } from "../sequences/sequence.js";
import type { SnapshotRule } from "./snapshot-rule.js";

/** Values from an element of a state on. */
export interface Write {
  readonly state: string;
  readonly element: number;
  readonly data: Words;
}

/** Edits buffers of states, by their names. */
export type Edit = Parameters<Session["onStates"]>[0];

/** A sequence that has got its place on the device, and what must be changed there before it is read. */
export interface Admission {
  readonly sequence: Sequence;
  /** Extents at which all states begin again, before the writes. */
  readonly reset?: Readonly<Record<string, number>>;
  readonly writes?: readonly Write[];
  /** Edits the states, after the writes. */
  readonly edit?: Edit | null;
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
  /** Whether the step is a run of `Place.first`. */
  readonly first?: boolean;
}

/** What a run has read of a sequence: tokens, its row in the results, and its rows by axis after the run. */
export interface RunRows {
  readonly kind: "prompt" | "step";
  readonly row: number;
  readonly length: number;
  readonly after: readonly number[];
}

export interface Caches {
  /** Whether all its sequences are in every run, and so read and step together. */
  readonly together: boolean;
  /** Extents for which programs are loaded. */
  readonly loading: Readonly<Record<string, number>>;
  /** Names of results to read from runs of prompts. */
  readonly outputs: readonly string[];
  /** The most tokens of a sequence that surely fit; Infinity: there is no limit but the context. */
  readonly limit: number;
  /** The number of sequences that may get a place now. */
  readonly places: number;

  /** Gives places to the first sequences that wait, or to none yet. */
  admit(waiting: readonly Sequence[]): readonly Admission[];
  /** Gives sequences room for more tokens, whatever routes these take: all wishes or none. */
  give(wishes: readonly Wish<Sequence>[]): Given;
  /** Makes the caches larger, with no run in flight; false if the device has no room: `limit` is lower then. */
  grow(session: Session, growth: Growth): Promise<boolean>;
  /** Where the sequences of a run are, which have been given room. `step`: the run is a step. */
  inputs(wishes: readonly Wish<Sequence>[], step?: boolean): RunPlace;
  /** Takes note of a run's answer; returns whether the last token that it read took each axis, null: not known. */
  routes(sequence: Sequence, run: RunRows, results: Results): readonly boolean[] | null;
  /** After an answer: keeps what other sequences may share, and takes back room that was not needed. */
  settle?(sequence: Sequence): void;
  /** Where runs of prompts end, so that states can be copied there; null or absent: anywhere. */
  readonly snapshots?: SnapshotRule | null;
  /** After a run was submitted: the edit that copies states for other sequences; null: there is nothing to copy. */
  snapshot?(wishes: readonly Wish<Sequence>[]): Edit | null;
  /** Frees what is not in the states of the programs. */
  dispose?(): void;
  /** Takes back the place and the room of a sequence. `ended`: it will not be read again. */
  release(sequence: Sequence, ended: boolean): void;
  /** The rows on an axis for which sequences with these rows have room. */
  allocated(axis: number, rows: readonly number[]): number;
}
