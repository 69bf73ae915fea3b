// Statistics of a model's routes over a text: the tokens that each route computes, by token, kind and position, and how
// much of a choice the token alone decides.
import type { ShownRoute } from "../../../runtime/program/observed-routes.js";
import type { Rule } from "../../train/types.js";
import type { LayerAgreement } from "../train/agreement.js";

export const KINDS = ["word", "continued word", "number", "space", "punctuation", "other"] as const;
export type Kind = (typeof KINDS)[number];

/**
 * The kind of a token by its text: a word that begins (with a space before it, or a capital), a piece of one, digits,
 * white space alone, punctuation and symbols, and all else, such as special tokens and parts of characters.
 */
export function kindOf(text: string): Kind {
  const bare = text.trim();
  if (bare === "") return text === "" ? "other" : "space";
  if (/^\p{N}+$/u.test(bare)) return "number";
  if (/^[\p{L}\p{M}'’]+$/u.test(bare)) return /^\s|^\p{Lu}/u.test(text) ? "word" : "continued word";
  return /^[\p{P}\p{S}]+$/u.test(bare) ? "punctuation" : "other";
}

/** The most positions along a sequence for which shares are reported. */
const PLACES = 64;
/** A token that is seen less often is not called one that is always or never computed. */
export const OFTEN = 16;

export interface RouteFound {
  /** `layers.1.chosen` */
  readonly path: string;
  /** The share of all tokens that the route computes. */
  readonly share: number;
  /** Entropy of the choice, bits a token: 0 where all are treated alike, at most 1. */
  readonly entropy: number;
  /** The part of it that the token itself decides: mutual information of token and choice, bits. */
  readonly byToken: number;
  /** For each kind of token, the share that the route computes; null if the text has no such token. */
  readonly byKind: Readonly<Record<Kind, number | null>>;
  /** The share at each place, from the beginning of a sequence to its end. */
  readonly byPlace: readonly number[];
}

export interface TokenFound {
  readonly token: number;
  readonly seen: number;
  /** The mean of the shares of its occurrences that the routes compute. */
  readonly share: number;
}

interface RoutesFound {
  readonly tokens: number;
  readonly length: number;
  readonly routes: readonly RouteFound[];
  /** The share of the text's tokens of each kind. */
  readonly kinds: Readonly<Record<Kind, number>>;
  /** The share of tokens that n routes compute, for each n from none to all. */
  readonly depths: readonly number[];
  /** Tokens seen `OFTEN` times or more, the most computed first. */
  readonly often: readonly TokenFound[];
}

/** Counts of one token, or of all tokens of a kind. */
interface Count {
  seen: number;
  /** By route. */
  readonly computed: number[];
}

const entropyOfChoice = (share: number): number =>
  share <= 0 || share >= 1 ? 0 : -share * Math.log2(share) - (1 - share) * Math.log2(1 - share);

/** Counts choices batch by batch. */
export class RouteStatistics {
  readonly #kindOf: (token: number) => Kind;
  #paths: readonly string[] = [];
  readonly #byToken = new Map<number, Count>();
  #byPlace: Count[] = [];
  readonly #depths: number[] = [];
  #tokens = 0;
  #length = 0;

  constructor(kindOf: (token: number) => Kind) {
    this.#kindOf = kindOf;
  }

  /** Counts a batch of sequences: `tokens`, [rows, length], and the routes' choices. */
  add(tokens: ArrayLike<number>, rows: number, length: number, routes: readonly ShownRoute[]): void {
    const known = routes.filter(({ absolute }) => absolute);
    this.#paths = known.map(({ path }) => path);
    this.#length = Math.max(this.#length, length);
    const none = (): Count => ({ seen: 0, computed: known.map(() => 0) });
    for (let b = 0; b < rows; b++) {
      const chosen = known.map((route) => {
        const mask = new Uint8Array(length);
        for (const t of route.chosen[b] ?? []) mask[t] = 1;
        return mask;
      });
      for (let t = 0; t < length; t++) {
        const token = tokens[b * length + t]!;
        let ofToken = this.#byToken.get(token);
        if (!ofToken) this.#byToken.set(token, (ofToken = none()));
        const atPlace = (this.#byPlace[Math.floor((t * Math.min(PLACES, length)) / length)] ??= none());
        ofToken.seen++;
        atPlace.seen++;
        let depth = 0;
        for (const [r, mask] of chosen.entries()) {
          ofToken.computed[r]! += mask[t]!;
          atPlace.computed[r]! += mask[t]!;
          depth += mask[t]!;
        }
        this.#depths[depth] = (this.#depths[depth] ?? 0) + 1;
        this.#tokens++;
      }
    }
  }

  found(): RoutesFound {
    const of = (n: number): number => (this.#tokens === 0 ? 0 : n / this.#tokens);
    const kinds = Object.fromEntries(KINDS.map((kind) => [kind, { seen: 0, computed: this.#paths.map(() => 0) }])) as {
      readonly [K in Kind]: Count;
    };
    for (const [token, { seen, computed }] of this.#byToken) {
      const kind = kinds[this.#kindOf(token)];
      kind.seen += seen;
      for (const [r, n] of computed.entries()) kind.computed[r]! += n;
    }
    const routes = this.#paths.map((path, r): RouteFound => {
      let [computed, left] = [0, 0];
      for (const ofToken of this.#byToken.values()) {
        computed += ofToken.computed[r]!;
        left += of(ofToken.seen) * entropyOfChoice(ofToken.computed[r]! / ofToken.seen);
      }
      const share = of(computed);
      const entropy = entropyOfChoice(share);
      return {
        path,
        share,
        entropy,
        byToken: Math.max(0, entropy - left),
        byKind: Object.fromEntries(
          KINDS.map((kind) => [kind, kinds[kind].seen === 0 ? null : kinds[kind].computed[r]! / kinds[kind].seen]),
        ) as Record<Kind, number | null>,
        byPlace: this.#byPlace.map((place) => place.computed[r]! / place.seen),
      };
    });
    const depths = Array.from({ length: this.#paths.length + 1 }, (_, depth) => of(this.#depths[depth] ?? 0));
    const often = [...this.#byToken]
      .filter(([, { seen }]) => seen >= OFTEN && this.#paths.length > 0)
      .map(([token, { seen, computed }]) => ({
        token,
        seen,
        share: computed.reduce((a, b) => a + b, 0) / (seen * computed.length),
      }))
      .sort((a, b) => b.share - a.share || b.seen - a.seen || a.token - b.token);
    const shares = Object.fromEntries(KINDS.map((kind) => [kind, of(kinds[kind].seen)])) as Record<Kind, number>;
    return { tokens: this.#tokens, length: this.#length, routes, kinds: shares, depths, often };
  }
}

interface EntropyAtDepth {
  /** How many routes compute these tokens. */
  readonly depth: number;
  readonly tokens: number;
  /** The mean entropy of the predictions after them, in bits; null if there are none. */
  readonly bits: number | null;
}

/** Sums over batches. */
export class EntropyByDepth {
  readonly #tokens: number[] = [];
  readonly #bits: number[] = [];
  #routes = 0;

  /** `logits`: [rows, length, vocabulary]; routes as they chose in the same run. */
  add(logits: ArrayLike<number>, rows: number, length: number, routes: readonly ShownRoute[]): void {
    const known = routes.filter(({ absolute }) => absolute);
    this.#routes = known.length;
    const vocabulary = logits.length / (rows * length);
    for (let b = 0; b < rows; b++) {
      const depths = new Uint32Array(length);
      for (const { chosen } of known) for (const t of chosen[b] ?? []) depths[t]!++;
      for (const [t, depth] of depths.entries()) {
        const bits = entropyOf(logits, (b * length + t) * vocabulary, vocabulary);
        this.#tokens[depth] = (this.#tokens[depth] ?? 0) + 1;
        this.#bits[depth] = (this.#bits[depth] ?? 0) + bits;
      }
    }
  }

  /** From none to all routes; empty where no logits were seen. */
  found(): readonly EntropyAtDepth[] {
    if (this.#tokens.length === 0) return [];
    return Array.from({ length: this.#routes + 1 }, (_, depth) => {
      const tokens = this.#tokens[depth] ?? 0;
      return { depth, tokens, bits: tokens === 0 ? null : this.#bits[depth]! / tokens };
    });
  }
}

/** The entropy of softmax(logits), in bits: log Σ exp(x − m) − Σ p·(x − m), where m is the largest logit. */
function entropyOf(logits: ArrayLike<number>, from: number, count: number): number {
  let most = -Infinity;
  for (let i = from; i < from + count; i++) most = Math.max(most, logits[i]!);
  let [sum, weighted] = [0, 0];
  for (let i = from; i < from + count; i++) {
    const x = logits[i]! - most;
    const e = Math.exp(x);
    sum += e;
    // A logit of −∞ has no share.
    if (e > 0) weighted += e * x;
  }
  return (Math.log(sum) - weighted / sum) / Math.LN2;
}

interface RouteDifference {
  readonly path: string;
  /** Shares of tokens that each computes. */
  readonly before: number;
  readonly after: number;
  /** The share of tokens that one computes and the other does not. */
  readonly changed: number;
}

/** Keeps the choices of a first run, a bit for each token and route, and counts where a second run's differ. */
export class ChoiceDifference {
  readonly #kept: { readonly path: string; readonly length: number; readonly chosen: Uint8Array[] }[] = [];
  readonly #counts = new Map<string, { tokens: number; before: number; after: number; changed: number }>();
  #second = 0;

  first(rows: number, length: number, routes: readonly ShownRoute[]): void {
    for (const { path, chosen } of routes.filter(({ absolute }) => absolute))
      this.#kept.push({ path, length, chosen: Array.from({ length: rows }, (_, b) => bits(chosen[b] ?? [], length)) });
  }

  second(rows: number, length: number, routes: readonly ShownRoute[]): void {
    for (const { path, chosen } of routes.filter(({ absolute }) => absolute)) {
      const before = this.#kept[this.#second++]!;
      const count = this.#counts.get(path) ?? { tokens: 0, before: 0, after: 0, changed: 0 };
      this.#counts.set(path, count);
      for (let b = 0; b < rows; b++) {
        const after = bits(chosen[b] ?? [], length);
        count.tokens += length;
        for (const [i, byte] of after.entries()) {
          const old = before.chosen[b]![i]!;
          count.before += ones(old);
          count.after += ones(byte);
          count.changed += ones(old ^ byte);
        }
      }
    }
  }

  found(): readonly RouteDifference[] {
    return [...this.#counts].map(([path, { tokens, before, after, changed }]) => ({
      path,
      before: before / tokens,
      after: after / tokens,
      changed: changed / tokens,
    }));
  }
}

function bits(chosen: readonly number[], length: number): Uint8Array {
  const packed = new Uint8Array(Math.ceil(length / 8));
  for (const t of chosen) packed[t >> 3]! |= 1 << (t & 7);
  return packed;
}

function ones(byte: number): number {
  let count = 0;
  for (let rest = byte; rest > 0; rest &= rest - 1) count++;
  return count;
}

/** The report on a model and a text. */
export interface RoutesReport extends RoutesFound {
  readonly model: string;
  readonly rule: Rule;
  readonly loss: number;
  /** How far both rules agree; empty where one was looked at. */
  readonly agreement: readonly LayerAgreement[];
  /** Empty where the forward pass gives no logits. */
  readonly entropies: readonly EntropyAtDepth[];
  /** The other checkpoint, and what it chooses otherwise; null where none was given. */
  readonly against: {
    readonly weights: string;
    readonly loss: number;
    readonly routes: readonly RouteDifference[];
  } | null;
  /** The text of a token. */
  readonly textOf: (token: number) => string;
}
