// Follows a text through a grammar, byte by byte. A place in the text is the set of all stacks of rules that may be
// open there (a pushdown automaton made deterministic as it is used), and is made once however often it is reached.
import { ConstraintError } from "./errors.js";
import type { Grammar } from "./grammar.js";

/** A state, and where its rule returns to; null: its end is the end of the text. */
interface Stack {
  readonly id: number;
  readonly state: number;
  readonly below: Stack | null;
  /** Stacks that return here, by their state. */
  readonly above: Map<number, Stack>;
}

/** A place in a text. */
export interface Place {
  readonly stacks: readonly Stack[];
  /** Whether the text may end here. */
  readonly end: boolean;
  /** By the class of a byte, the place after it; null: the byte may not come. */
  readonly next: (Place | null | undefined)[];
}

/** Steps of one search: about 50 ms. */
const MOST_WORK = 200_000;
/** The most places that are known: beyond them all are forgotten but those in use. */
const MOST_PLACES = 20_000;
/** Stacks are looked at faster than they are made. */
const LOOK = 1 / 8;

export class Machine {
  readonly grammar: Grammar;
  #start: Place | null = null;
  #roots = new Map<number, Stack>();
  #places = new Map<string, Place>();
  #ids = 0;
  #work = 0;

  constructor(grammar: Grammar) {
    this.grammar = grammar;
  }

  /** The place before a text. */
  get start(): Place {
    return (this.#start ??= this.#place([this.#stack(this.grammar.start, null)]));
  }

  /** Begins a search, whose work is limited. */
  begin(): void {
    this.#work = 0;
    if (this.#places.size <= MOST_PLACES) return;
    this.#places = new Map();
    this.#roots = new Map();
    this.#start = null;
  }

  /** The place after a byte; null if the byte may not come. Throws ConstraintError if that takes too long. */
  after(place: Place, byte: number): Place | null {
    const own = this.grammar.classOf[byte]!;
    const known = place.next[own];
    return known === undefined ? (place.next[own] = this.#after(place, this.grammar.byteOf[own]!)) : known;
  }

  #after({ stacks }: Place, byte: number): Place | null {
    const { states } = this.grammar;
    const reached: Stack[] = [];
    this.#expectWork(stacks.length * LOOK);
    for (const { state, below } of stacks)
      for (const { first, last, to } of states[state]!.edges)
        if (byte >= first && byte <= last) reached.push(this.#stack(to, below));
    return reached.length === 0 ? null : this.#place(reached);
  }

  /** The place with these stacks and all that they lead to without a byte. */
  #place(reached: readonly Stack[]): Place {
    const { states } = this.grammar;
    const seen = new Set(reached);
    const stacks: Stack[] = [];
    let end = false;
    // A set is gone through with what is added on the way.
    for (const stack of seen) {
      this.#expectWork(1);
      const { state, below } = stack;
      const own = states[state]!;
      if (own.edges.length > 0) stacks.push(stack);
      if (own.end && below === null) end = true;
      else if (own.end && below) seen.add(below);
      for (const to of own.free) seen.add(this.#stack(to, below));
      for (const { start, to } of own.calls) {
        // Nothing is left to do after the last rule of a rule: so texts of any length need few stacks.
        const { edges, free, calls, end: last } = states[to]!;
        const returns = last && edges.length + free.length + calls.length === 0 ? below : this.#stack(to, below);
        seen.add(this.#stack(start, returns));
      }
    }
    const key = `${stacks
      .map(({ id }) => id)
      .sort((a, b) => a - b)
      .join()} ${end}`;
    const known = this.#places.get(key);
    if (known) return known;
    const place: Place = { stacks, end, next: [] };
    this.#places.set(key, place);
    return place;
  }

  #stack(state: number, below: Stack | null): Stack {
    const others = below === null ? this.#roots : below.above;
    let stack = others.get(state);
    if (!stack) others.set(state, (stack = { id: this.#ids++, state, below, above: new Map() }));
    return stack;
  }

  #expectWork(steps: number): void {
    this.#work += steps;
    if (this.#work > MOST_WORK)
      throw new ConstraintError("its texts can be read in too many ways at once to follow them", {
        hint: "make rules and patterns that begin differently",
      });
  }
}
