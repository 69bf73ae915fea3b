// Caches side by side: the sequences of one group have room for equally many rows, and all of them are in every run.
// The room grows when a run needs more.
import { LimitError, OutOfMemoryError, type Session } from "../../../runtime/index.js";
import type { Generation } from "../../../runtime/program/generation.js";
import type { Wish } from "../sequences/scheduler.js";
import type { Sequence } from "../sequences/sequence.js";
import type { Admission, Caches, Given, Growth, RunPlace, RunRows } from "./caches.js";

/** Granularity of capacities. */
const GRANULARITY = 16;
/** The limit on the initial capacity: a text may end long before the context is full. */
const MAX_INITIAL = 4096;
/** Growth factor over the required capacity, so that a cache grows a few times rather than at every token. */
const GROWTH = 1.5;

const roundUp = (rows: number): number => Math.ceil(rows / GRANULARITY) * GRANULARITY;

/** The part of a model that caches depend on. */
type Model = Pick<Generation, "axes" | "context" | "batchAxis" | "sequenceAxis">;

export class ContiguousCaches implements Caches {
  readonly together = true;
  readonly limit = Infinity;
  readonly outputs: readonly string[] = [];
  readonly #model: Model;
  /** The sequences that have a place, which all came in one group; their rows in runs are their places there. */
  readonly #held = new Set<Sequence>();
  #rows = 1;
  /** The most rows that a sequence may need on an axis. */
  #most = 0;
  /** Capacity by axis, of axes without caches too. */
  #capacities: readonly number[] = [];
  #extents: Readonly<Record<string, number>> = {};
  /** Extents of the axes of given inputs. */
  #given: Readonly<Record<string, number>> = {};

  /** With room for one sequence of `longest` tokens, before others are admitted. */
  constructor(model: Model, longest = 1) {
    this.#model = model;
    this.#begin(1, longest);
  }

  /** Begins with room for sequences of at most `longest` tokens. */
  #begin(rows: number, longest: number): void {
    const { axes, context } = this.#model;
    this.#rows = rows;
    this.#most = Math.min(context ?? Infinity, roundUp(longest));
    const begin = Math.min(longest, MAX_INITIAL);
    this.#set(axes.map((a, i) => Math.min(this.#most, roundUp(i === 0 ? begin : begin * a.expected))));
  }
  #set(capacities: readonly number[]): void {
    this.#capacities = capacities;
    this.#extents = this.#extentsOf(capacities);
  }
  #extentsOf(capacities: readonly number[]): Readonly<Record<string, number>> {
    return Object.fromEntries(
      this.#model.axes.flatMap((a, i) => (a.capacity === null ? [] : [[a.capacity, capacities[i]!]])),
    );
  }

  get loading(): Readonly<Record<string, number>> {
    return this.#extents;
  }
  get places(): number {
    return this.#held.size === 0 ? Infinity : 0;
  }

  admit(waiting: readonly Sequence[]): readonly Admission[] {
    const [first] = waiting;
    if (!first || this.#held.size > 0) return [];
    const group = first.group ?? [first];
    const members = waiting.filter((s) => group.includes(s));
    this.#begin(group.length, Math.max(...group.map((s) => s.promptLength + s.most - 1)));
    this.#given = first.settled.given?.extents ?? {};
    const reset = { [this.#model.batchAxis]: group.length, ...this.#extents, ...this.#given };
    return members.map((sequence, i) => {
      sequence.slot = group.indexOf(sequence);
      this.#held.add(sequence);
      return { sequence, ...(i === 0 && { reset }) };
    });
  }

  give(wishes: readonly Wish<Sequence>[]): Given {
    const needed = this.#capacities.map((_, axis) =>
      wishes.reduce(
        (most, { sequence, tokens }) => Math.max(most, sequence.rows[axis]! + sequence.inFlight + tokens),
        0,
      ),
    );
    if (needed.every((rows, axis) => rows <= this.#capacities[axis]!)) return "given";
    const grown = (by: number): readonly number[] =>
      this.#capacities.map((rows, axis) =>
        needed[axis]! > rows ? Math.min(this.#most, roundUp(needed[axis]! * by)) : rows,
      );
    return { least: grown(1), wanted: grown(GROWTH) };
  }

  async grow(session: Session, { wanted, least }: Growth): Promise<boolean> {
    try {
      await session.growStates(this.#extentsOf(wanted));
      this.#set(wanted);
    } catch (error) {
      if (!(error instanceof LimitError || error instanceof OutOfMemoryError)) throw error;
      await session.growStates(this.#extentsOf(least));
      this.#set(least);
    }
    return true;
  }

  release(sequence: Sequence): void {
    this.#held.delete(sequence);
  }

  inputs(wishes: readonly Wish<Sequence>[]): RunPlace {
    const rows = wishes.map(({ sequence }) => sequence.slot!);
    const lengths = Array.from({ length: this.#rows }, () => 0);
    for (const [i, { tokens }] of wishes.entries()) lengths[rows[i]!] = tokens;
    return { rows, lengths, inputs: {}, extents: { [this.#model.sequenceAxis]: 1, ...this.#extents, ...this.#given } };
  }

  /** Only the counts show the routes, of a token that is read alone. */
  routes({ rows }: Sequence, { length, after }: RunRows): readonly boolean[] | null {
    return length > 1 ? null : after.map((n, axis) => n > rows[axis]!);
  }

  allocated(axis: number, { length }: readonly number[]): number {
    return this.#model.axes[axis]!.capacity === null ? 0 : this.#capacities[axis]! * length;
  }
}
