// How the choices of two checkpoints of a model differ over the same text.
import type { ShownRoute } from "../run/routes.js";

export interface RouteDifference {
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
  const found = new Uint8Array(Math.ceil(length / 8));
  for (const t of chosen) found[t >> 3]! |= 1 << (t & 7);
  return found;
}

function ones(byte: number): number {
  let count = 0;
  for (let rest = byte; rest > 0; rest &= rest - 1) count++;
  return count;
}
