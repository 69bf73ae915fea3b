// The load of experts over windows of steps: finds idle and overloaded experts, and measures the choices that a
// capacity drops.
import type { Loads } from "./types.js";

/** Number of steps over which loads are added up. */
export const LOAD_WINDOW = 100;

/** The loads of one mixture over a window. */
export interface MixtureLoad {
  /** The path of the choice. */
  readonly path: string;
  /** For each expert, its share of all choices; all 0 if there were no choices. */
  readonly shares: readonly number[];
  /** Mean number of choices of an expert. */
  readonly mean: number;
  /** The largest load divided by the mean load; 1 if all loads are equal. */
  readonly largest: number;
  /** Experts that no token chose. */
  readonly idle: readonly number[];
  /** The share of wished choices that a capacity dropped; null: the mixture has no capacity. */
  readonly dropped: number | null;
}

/** The loads of all mixtures over the last `over` steps. */
export interface LoadWindow {
  readonly over: number;
  readonly mixtures: readonly MixtureLoad[];
}

interface Totals {
  readonly chosen: readonly number[];
  readonly wished: number | null;
}

const sum = (list: ArrayLike<number>): number => Array.from(list).reduce((a, b) => a + b, 0);

/** Adds up the loads of steps. */
export class LoadCounter {
  #steps = 0;
  #totals = new Map<string, Totals>();

  add(loads: Loads): void {
    this.#steps++;
    for (const [path, { chosen, wished }] of Object.entries(loads)) {
      const before = this.#totals.get(path);
      this.#totals.set(path, {
        chosen: Array.from(chosen, (n, e) => n + (before?.chosen[e] ?? 0)),
        wished: wished === null ? null : sum(wished) + (before?.wished ?? 0),
      });
    }
  }

  /** The loads of the steps since the last call; null if there is no mixture. */
  take(): LoadWindow | null {
    const window = { over: this.#steps, mixtures: [...this.#totals].map(([path, own]) => mixtureLoad(path, own)) };
    this.#steps = 0;
    this.#totals = new Map();
    return window.mixtures.length === 0 ? null : window;
  }
}

/**
 * The load of a mixture from the number of tokens that chose each expert. `wished`: the number of choices before the
 * capacity dropped some.
 */
export function mixtureLoad(path: string, { chosen, wished }: Totals): MixtureLoad {
  const all = sum(chosen);
  const mean = all / chosen.length;
  return {
    path,
    shares: chosen.map((n) => (all === 0 ? 0 : n / all)),
    mean,
    largest: all === 0 ? 1 : Math.max(...chosen) / mean,
    idle: chosen.flatMap((n, e) => (n === 0 ? [e] : [])),
    dropped: wished === null ? null : wished === 0 ? 0 : (wished - all) / wished,
  };
}

/** The least mean number of choices of an expert for a verdict: with fewer choices, chance leaves some experts idle. */
const ENOUGH = 20;
/** The thresholds of warnings: the largest load over the mean load, and the share of dropped choices. */
export const [OVERLOADED, DROPPING] = [2, 0.2];
/** The most mixtures that a warning names, and the most experts of each. */
const [NAMED, LISTED] = [3, 8];

/** Warns of each fault of each mixture once in a run. */
export class LoadWarnings {
  readonly #told = new Set<string>();

  /** The faults of a window that were not reported before, as a sentence; null: no new fault. */
  of({ over, mixtures }: LoadWindow): string | null {
    const judged = mixtures.filter(({ mean }) => mean >= ENOUGH);
    const found = (fault: string, is: (own: MixtureLoad) => boolean): readonly MixtureLoad[] =>
      judged.filter((load) => {
        const key = `${fault} ${load.path}`;
        return is(load) && !this.#told.has(key) && this.#told.add(key);
      });
    const starving = found("starving", ({ idle }) => idle.length > 0);
    const overloaded = found("overloaded", ({ largest }) => largest >= OVERLOADED);
    const dropping = found("dropping", ({ dropped }) => dropped !== null && dropped >= DROPPING);
    const parts = [
      told(
        starving,
        `experts got nothing in the last ${over === 1 ? "step" : `${over} steps`}`,
        ({ idle, shares }) => `${listed(idle)} of ${shares.length}`,
      ),
      told(overloaded, "experts are overloaded", ({ shares, largest }) => {
        const most = shares.indexOf(Math.max(...shares));
        return `${most} has ${largest.toFixed(1)} times the mean load`;
      }),
      told(dropping, "a capacity drops many choices", ({ dropped }) => `${(100 * (dropped ?? 0)).toFixed(1)}%`),
    ].filter((part) => part !== "");
    return parts.length === 0 ? null : parts.join("; ");
  }
}

/** `what: layers.0.mlp.chosen 3 and 5 of 8, layers.1.mlp.chosen 1 of 8, and so in 2 more mixtures` */
function told(mixtures: readonly MixtureLoad[], what: string, each: (mixture: MixtureLoad) => string): string {
  if (mixtures.length === 0) return "";
  const named = mixtures.slice(0, NAMED).map((mixture) => `${mixture.path}: ${each(mixture)}`);
  const more = mixtures.length - named.length;
  return `${what} (${named.join(", ")}${more > 0 ? `, and ${more} more ${more === 1 ? "mixture" : "mixtures"}` : ""})`;
}

/** `3`, `3 and 5`, `0, 1, 2 and 40 more` */
export function listed(experts: readonly number[]): string {
  const shown = experts.length <= LISTED ? experts.slice(0, -1) : experts.slice(0, LISTED - 1);
  const last = experts.length <= LISTED ? String(experts.at(-1)) : `${experts.length - shown.length} more`;
  return shown.length === 0 ? last : `${shown.join(", ")} and ${last}`;
}
