// Rules compiled to states: an automaton over bytes for each rule, in which an edge may stand for a whole other rule.
import { quotedName } from "../../ground/base/shown.js";
import { ConstraintError } from "./errors.js";
import { merged, rule, type Expression, type Range, type Rules } from "./expression.js";

/** A state of a rule's automaton. */
export interface State {
  /** Bytes from `first` to `last` lead to `to`. */
  readonly edges: readonly { readonly first: number; readonly last: number; readonly to: number }[];
  /** States that are reached without a byte. */
  readonly free: readonly number[];
  /** A text of the rule that begins at `start` leads to `to`. */
  readonly calls: readonly { readonly start: number; readonly to: number }[];
  /** Whether a text of its rule may end here. */
  readonly end: boolean;
}

export interface Grammar {
  readonly states: readonly State[];
  readonly start: number;
  /** The class of each byte: bytes of one class lead from each state to the same states. */
  readonly classOf: Uint8Array;
  /** A byte of each class. */
  readonly byteOf: readonly number[];
  /** The name of the rule that each state is of; null: nobody knows the names. */
  readonly ruleOf: readonly string[] | null;
}

/** The most states of a grammar: more are refused, so that nobody waits long for one. */
const MOST_STATES = 20_000;
/** The most levels of an expression. */
const MOST_DEPTH = 500;

/**
 * `named`: whether the names of the rules are the user's own. Throws ConstraintError for a rule that is missing, begins
 * with itself or has no text, and for too many states.
 */
export function compileGrammar(rules: Rules, root: string, named: boolean): Grammar {
  const builder = new Builder(rules);
  const start = builder.startOf(root);
  builder.fill();
  const { states, starts } = builder;
  const nullable = fixpoint(states, (state, known) => state.end || leads(state, known, false));
  expectNoLeftRecursion(states, starts, nullable);
  const productive = fixpoint(states, (state, known) => state.end || leads(state, known, true));
  if (productive[start] === 0)
    throw new ConstraintError("no text can satisfy it: every text would continue without end");
  const all = productive.includes(0) ? states.map((state) => trimmed(state, productive)) : states;
  return { states: all, start, ...classesOf(states), ruleOf: named ? builder.ruleOf : null };
}

class Builder {
  readonly states: State[] = [];
  readonly ruleOf: string[] = [];
  /** The first state of each rule. */
  readonly starts = new Map<string, number>();
  readonly #rules: Map<string, Expression>;
  /** The rules that repeated parts belong to. */
  readonly #owners = new Map<string, string>();
  /** The rule whose states are made. */
  #rule = "";
  /** Rules that are called, and where the first state of each is to lead. */
  readonly #open: { readonly name: string; readonly body: number[] }[] = [];
  /** The bytes of sets of characters, which may stand in many places. */
  readonly #bytes = new Map<readonly Range[], readonly ByteRanges[]>();

  constructor(rules: Rules) {
    this.#rules = new Map(rules);
  }

  startOf(name: string): number {
    const known = this.starts.get(name);
    if (known !== undefined) return known;
    if (!this.#rules.has(name)) throw new ConstraintError(`there is no rule ${quotedName(name)}`);
    const body: number[] = [];
    const start = this.#state({ free: body });
    this.ruleOf[start] = this.#owners.get(name) ?? name;
    this.starts.set(name, start);
    this.#open.push({ name, body });
    return start;
  }

  /** Makes the automata of all rules that are called. */
  fill(): void {
    for (let next = this.#open.pop(); next; next = this.#open.pop()) {
      this.#rule = this.#owners.get(next.name) ?? next.name;
      // a rule that was called is one of the rules
      next.body.push(this.#emit(this.#rules.get(next.name)!, this.#state({ end: true }), 0));
    }
  }

  #state(own: Partial<State>): number {
    if (this.states.length >= MOST_STATES)
      throw new ConstraintError(`it takes more than ${MOST_STATES} states`, {
        hint: "make it smaller: counts such as maxLength, maxItems and {1,1000} take the most",
      });
    const { edges = NONE, free = NONE, calls = NONE, end = false } = own;
    this.ruleOf.push(this.#rule);
    return this.states.push({ edges, free, calls, end }) - 1;
  }

  /** The state from which the expression leads to `to`. */
  #emit(expression: Expression, to: number, depth: number): number {
    if (depth > MOST_DEPTH) throw new ConstraintError(`it nests more than ${MOST_DEPTH} deep`);
    switch (expression.kind) {
      case "text":
        return [...new TextEncoder().encode(expression.text)].reduceRight(
          (next, byte) => this.#state({ edges: [{ first: byte, last: byte, to: next }] }),
          to,
        );
      case "characters":
        return this.#characters(expression.ranges, to);
      case "sequence":
        return expression.parts.reduceRight((next, part) => this.#emit(part, next, depth + 1), to);
      case "choice":
        return this.#state({ free: expression.parts.map((part) => this.#emit(part, to, depth + 1)) });
      case "repeat":
        return this.#repeat(expression.of, expression.least, expression.most, to, depth + 1);
      case "rule":
        return this.#state({ calls: [{ start: this.startOf(expression.name), to }] });
      default:
        return expression satisfies never;
    }
  }

  #characters(ranges: readonly Range[], to: number): number {
    const all = this.#bytes.get(ranges) ?? merged(ranges).flatMap(utf8Ranges);
    this.#bytes.set(ranges, all);
    return this.#branch(all, 0, to, new Map());
  }

  /** Characters that begin alike share their first states, and those that end alike the states of their ends. */
  #branch(all: readonly ByteRanges[], depth: number, to: number, shared: Map<string, number>): number {
    const edges: State["edges"][number][] = [];
    // In order, ranges of one byte are alike or apart.
    for (let from = 0, end = 1; from < all.length; from = end++) {
      const [first, last] = all[from]![depth]!;
      while (end < all.length && all[end]![depth]![0] === first) end++;
      const more = all[from]!.length > depth + 1;
      edges.push({ first, last, to: more ? this.#branch(all.slice(from, end), depth + 1, to, shared) : to });
    }
    const key = edges.map(({ first, last, to: next }) => `${first} ${last} ${next}`).join();
    const known = depth === 0 ? undefined : shared.get(key);
    const state = known ?? this.#state({ edges });
    shared.set(key, state);
    return state;
  }

  #repeat(of: Expression, least: number, most: number, to: number, depth: number): number {
    const copies = most === Infinity ? least + 1 : most;
    if (copies > 2 && of.kind !== "rule") {
      const name = `repeat ${this.#rules.size}`;
      this.#rules.set(name, of);
      this.#owners.set(name, this.#rule);
      return this.#repeat(rule(name), least, most, to, depth);
    }
    let next = to;
    if (most === Infinity) {
      const free = [to];
      next = this.#state({ free });
      free.push(this.#emit(of, next, depth));
    }
    for (let i = most === Infinity ? least : most; i > 0; i--) {
      const once = this.#emit(of, next, depth);
      next = i > least ? this.#state({ free: [once, to] }) : once;
    }
    return next;
  }
}

const NONE: readonly never[] = [];

/** Whether a state leads to one that is known; `bytes`: also by a byte. */
const leads = ({ edges, free, calls }: State, known: Uint8Array, bytes: boolean): boolean =>
  free.some((to) => known[to] === 1) ||
  calls.some(({ start, to }) => known[start] === 1 && known[to] === 1) ||
  (bytes && edges.some(({ to }) => known[to] === 1));

/** For each state whether the property holds, which may rest on states of which it is known to hold. */
function fixpoint(states: readonly State[], holds: (state: State, known: Uint8Array) => boolean): Uint8Array {
  const known = new Uint8Array(states.length);
  const users: (number[] | undefined)[] = [];
  const used = (at: number, by: number): unknown => users[at]?.push(by) ?? (users[at] = [by]);
  for (const [at, { edges, free, calls }] of states.entries()) {
    for (const { to } of edges) used(to, at);
    for (const to of free) used(to, at);
    for (const { start, to } of calls) {
      used(start, at);
      used(to, at);
    }
  }
  const open = states.map((_, at) => at);
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (known[at] === 1 || !holds(states[at]!, known)) continue;
    known[at] = 1;
    for (const user of users[at] ?? []) open.push(user);
  }
  return known;
}

/** A rule that begins with itself would be entered without an end. */
function expectNoLeftRecursion(
  states: readonly State[],
  starts: ReadonlyMap<string, number>,
  nullable: Uint8Array,
): void {
  // States that are reached without a byte; entering a rule counts.
  const next = ({ free, calls }: State): readonly number[] => [
    ...free,
    ...calls.flatMap(({ start, to }) => (nullable[start] === 1 ? [start, to] : [start])),
  ];
  // 1: being followed; 2: done. A cycle of free moves alone is no recursion, so only entered rules count.
  const entries = new Set(starts.values());
  const reach = (from: number): ReadonlySet<number> => {
    const found = new Set<number>();
    const seen = new Set([from]);
    const open = [from];
    for (let at = open.pop(); at !== undefined; at = open.pop())
      for (const to of next(states[at]!)) {
        if (entries.has(to)) found.add(to);
        else if (!seen.has(to)) open.push(to);
        seen.add(to);
      }
    return found;
  };
  const begins = new Map([...starts.values()].map((start) => [start, reach(start)]));
  const done = new Set<number>();
  for (const start of begins.keys()) {
    // Depth first, by hand: a chain of rules may be long.
    const path: { readonly at: number; readonly rest: number[] }[] = [];
    const on = new Set<number>();
    const enter = (at: number): void => {
      path.push({ at, rest: [...begins.get(at)!] });
      on.add(at);
    };
    if (!done.has(start)) enter(start);
    for (let top = path.at(-1); top; top = path.at(-1)) {
      const to = top.rest.pop();
      if (to === undefined) {
        path.pop();
        on.delete(top.at);
        done.add(top.at);
      } else if (on.has(to)) {
        const name = [...starts].find(([, own]) => own === to)![0]; // an entry is one of them
        throw new ConstraintError(`the rule ${quotedName(name)} begins with itself`);
      } else if (!done.has(to)) enter(to);
    }
  }
}

/** The state without what leads to no end. */
const trimmed = ({ edges, free, calls, end }: State, productive: Uint8Array): State => ({
  edges: edges.filter(({ to }) => productive[to] === 1),
  free: free.filter((to) => productive[to] === 1),
  calls: calls.filter(({ start, to }) => productive[start] === 1 && productive[to] === 1),
  end,
});

function classesOf(states: readonly State[]): Pick<Grammar, "classOf" | "byteOf"> {
  const begins = new Uint8Array(257);
  begins[0] = 1;
  for (const { edges } of states) for (const { first, last } of edges) begins[first] = begins[last + 1] = 1;
  const byteOf: number[] = [];
  const classOf = Uint8Array.from({ length: 256 }, (_, byte) => {
    if (begins[byte] === 1) byteOf.push(byte);
    return byteOf.length - 1;
  });
  return { classOf, byteOf };
}

/** For each byte of a character, the range that the byte is in. */
type ByteRanges = readonly Range[];

/** The last code points of one, two and three bytes. */
const LAST_OF = [0x7f, 0x7ff, 0xffff];
const SURROGATES: Range = [0xd800, 0xdfff];

/**
 * The encodings of a range of code points, in order. Surrogates have none. The method is that of Ken Thompson's and
 * Rob Pike's encoding read as a tree: a range is cut wherever its characters differ in more than a suffix of whole
 * subtrees.
 */
export function utf8Ranges([first, last]: Range): readonly ByteRanges[] {
  if (first > last) return [];
  const [low, high] = SURROGATES;
  if (first <= high && last >= low) return [...utf8Ranges([first, low - 1]), ...utf8Ranges([high + 1, last])];
  for (const end of LAST_OF)
    if (first <= end && end < last) return [...utf8Ranges([first, end]), ...utf8Ranges([end + 1, last])];
  if (last <= 0x7f) return [[[first, last]]];
  for (const bits of [6, 12, 18]) {
    const mask = 2 ** bits - 1;
    if (first >> bits === last >> bits) break;
    const cut = (first & mask) !== 0 ? first | mask : (last & mask) !== mask ? (last & ~mask) - 1 : null;
    if (cut !== null) return [...utf8Ranges([first, cut]), ...utf8Ranges([cut + 1, last])];
  }
  const [from, to] = [bytesOf(first), bytesOf(last)];
  return [from.map((byte, i): Range => [byte, to[i]!])];
}

/** The bytes of a character that is no surrogate. */
function bytesOf(point: number): readonly number[] {
  const low = (bits: number): number => 0x80 | ((point >> bits) & 0x3f);
  if (point <= 0x7f) return [point];
  if (point <= 0x7ff) return [0xc0 | (point >> 6), low(0)];
  if (point <= 0xffff) return [0xe0 | (point >> 12), low(6), low(0)];
  return [0xf0 | (point >> 18), low(12), low(6), low(0)];
}
