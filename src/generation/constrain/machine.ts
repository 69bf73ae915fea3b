// Follows a text through a grammar, byte by byte. A place in the text is the set of all stacks of rules that may be
// open there (a pushdown automaton made deterministic as it is used), and is made once however often it is reached.
import { quotedName } from "../../ground/base/shown.js";
import { ConstraintError } from "./errors.js";
import type { Grammar } from "./grammar.js";

/** A state, and where its rule returns to; null: its end is the end of the text. */
interface Stack {
  readonly id: number;
  readonly state: number;
  readonly below: Stack | null;
}

/** A place in a text. */
export interface Place {
  readonly stacks: readonly Stack[];
  /** Whether the text may end here. */
  readonly end: boolean;
  /** By the class of a byte, the place after it; null: the byte may not come. */
  readonly next: (Place | null | undefined)[];
  /** How often all was forgotten before it was made. */
  readonly age: number;
}

/** Steps of one search: about 50 ms. */
const MOST_WORK = 200_000;
/** Stacks and their edges are looked at faster than stacks are made. */
const LOOK = 1 / 8;
/** Before a search that finds more known, all is forgotten: places, the stacks that they list, and stacks. */
const MOST_KNOWN = { places: 20_000, listed: 2_000_000, stacks: 200_000 } as const;
/** The most stacks that one text may need: others need some too. */
const MOST_OF_TEXT = MOST_KNOWN.stacks / 2;

export class Machine {
  readonly grammar: Grammar;
  #start: Place | null = null;
  /** By the stack below and the state. */
  #stacks = new Map<number, Stack>();
  #places = new Map<string, Place>();
  #listed = 0;
  #work = 0;
  #age = 0;

  constructor(grammar: Grammar) {
    this.grammar = grammar;
  }

  /** The place before a text. */
  get start(): Place {
    return (this.#start ??= this.#place([this.#stack(this.grammar.start, null)]));
  }

  /** Stacks that are known. */
  get stacks(): number {
    return this.#stacks.size;
  }

  /**
   * Begins a search at a place, whose work is limited. Returns the place as it is known from now on: places of other
   * ages are forgotten. Throws ConstraintError for a text that takes too much memory.
   */
  begin(place: Place): Place {
    this.#work = 0;
    const { places, listed, stacks } = MOST_KNOWN;
    if (this.#places.size > places || this.#listed > listed || this.#stacks.size > stacks) {
      this.#places = new Map();
      this.#stacks = new Map();
      this.#listed = 0;
      this.#start = null;
      this.#age++;
    }
    return place.age === this.#age ? place : this.#renewed(place);
  }

  /** The place after a byte; null if the byte may not come. Throws ConstraintError if that takes too long. */
  after(place: Place, byte: number): Place | null {
    const own = this.grammar.classOf[byte]!;
    const known = place.next[own];
    return known === undefined ? (place.next[own] = this.#after(place, this.grammar.byteOf[own]!)) : known;
  }

  /** A place that was forgotten, of stacks that are known. */
  #renewed({ stacks, end }: Place): Place {
    const known = new Map<Stack, Stack>();
    const renewed = new Set<Stack>();
    for (const stack of stacks) {
      const forgotten: Stack[] = [];
      let at: Stack | null = stack;
      for (; at && !known.has(at); at = at.below) forgotten.push(at);
      let own = at && known.get(at)!;
      for (const old of forgotten.toReversed()) {
        own = this.#stack(old.state, own);
        known.set(old, own);
        if (known.size > MOST_OF_TEXT) this.#fail(stacks);
      }
      renewed.add(own!); // a stack is one of those that are known now
    }
    return this.#known([...renewed], end);
  }

  #after({ stacks }: Place, byte: number): Place | null {
    const { states } = this.grammar;
    const reached: Stack[] = [];
    for (const { state, below } of stacks) {
      const { edges } = states[state]!;
      this.#expectWork(edges.length * LOOK, stacks);
      for (const { first, last, to } of edges) if (byte >= first && byte <= last) reached.push(this.#stack(to, below));
    }
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
      this.#expectWork(1, seen);
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
    return this.#known(stacks, end);
  }

  #known(stacks: readonly Stack[], end: boolean): Place {
    const key = `${stacks
      .map(({ id }) => id)
      .sort((a, b) => a - b)
      .join()} ${end}`;
    const known = this.#places.get(key);
    if (known) return known;
    const place: Place = { stacks, end, next: [], age: this.#age };
    this.#places.set(key, place);
    this.#listed += stacks.length;
    return place;
  }

  #stack(state: number, below: Stack | null): Stack {
    const key = (below?.id ?? 0) * this.grammar.states.length + state;
    let stack = this.#stacks.get(key);
    if (!stack) this.#stacks.set(key, (stack = { id: this.#stacks.size + 1, state, below }));
    return stack;
  }

  /** `stacks`: what the work is done for. */
  #expectWork(steps: number, stacks: Iterable<Stack>): void {
    this.#work += steps;
    if (this.#work > MOST_WORK) this.#fail(stacks);
  }

  #fail(stacks: Iterable<Stack>): never {
    const { ruleOf } = this.grammar;
    const counts = new Map<string, number>();
    for (const { state } of stacks) {
      const name = ruleOf?.[state];
      if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    const [most] = [...counts].sort(([, a], [, b]) => b - a);
    const what = most === undefined ? "its texts" : `texts of the rule ${quotedName(most[0])}`;
    throw new ConstraintError(`${what} can be read in too many ways at once to follow them`, {
      hint: "let alternatives begin differently, and end repetitions where the next part cannot begin",
    });
  }
}
