// What a model's routes do over a text: which tokens each computes, by the token, its kind and its place, and how much
// of a choice the token alone decides.
import type { ShownRoute } from "../run/routes.js";
import { KINDS, type Kind } from "./kinds.js";

/** The most places along a sequence that shares are told for. */
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
  /** The share of the tokens of each kind that it computes; null where there are none. */
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

export interface RoutesFound {
  readonly tokens: number;
  readonly length: number;
  readonly routes: readonly RouteFound[];
  /** The share of the text's tokens of each kind. */
  readonly kinds: Readonly<Record<Kind, number>>;
  /** The share of tokens that so many routes compute, from none to all. */
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

const entropyOf = (share: number): number =>
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
        let own = this.#byToken.get(token);
        if (!own) this.#byToken.set(token, (own = none()));
        const place = (this.#byPlace[Math.floor((t * Math.min(PLACES, length)) / length)] ??= none());
        own.seen++;
        place.seen++;
        let depth = 0;
        for (const [r, mask] of chosen.entries()) {
          own.computed[r]! += mask[t]!;
          place.computed[r]! += mask[t]!;
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
      for (const own of this.#byToken.values()) {
        computed += own.computed[r]!;
        left += of(own.seen) * entropyOf(own.computed[r]! / own.seen);
      }
      const share = of(computed);
      const entropy = entropyOf(share);
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
