// Observed choices of entries, for example experts: each token's entries are in the token's column.
import { observedEntries } from "../../../runtime/program/observed.js";
import type { Program } from "../../../runtime/program/program.js";
import { markOf } from "../generate/depth-lines.js";
import type { Values } from "./execute.js";
import type { ShownRoute, Strip } from "./routes.js";

export interface ShownChoice {
  /** `layers.0.mlp.chosen` */
  readonly path: string;
  /** By sequence, the tokens that chose, as positions in the model's input, each with its entries. */
  readonly chosen: readonly ReadonlyMap<number, readonly number[]>[];
}

/**
 * Every observed choice among [B, T, E] of all tokens, or of those of an observed route, in the program's order.
 */
export function observedChoices(
  program: Pick<Program, "axes" | "outputs">,
  values: Values,
  routes: readonly ShownRoute[],
): readonly ShownChoice[] {
  return program.outputs.flatMap((output): readonly ShownChoice[] => {
    const path = observedEntries(output);
    const [index, count] = [values.get(output.name), values.get(`${path}.count`)];
    if (path === null || !index || !count || output.packing?.tokenDim !== 1 || output.shape.length !== 3) return [];
    const { axis: name } = output.packing;
    const axis = program.axes.find((a) => a.name === name);
    const route = routes.find((r) => r.axis === name && r.absolute);
    const isInput = axis?.role === "sequence" && axis.count.kind === "input";
    if (!route && !isInput) return [];
    const [batch = 0, rows = 0, slots = 0] = index.shape;
    const chosen = Array.from({ length: batch }, (_, b) => {
      const positions = route?.chosen[b] ?? Array.from({ length: rows }, (_row, t) => t);
      return new Map(
        positions.map((position, row) => {
          const at = b * rows + row;
          return [position, Array.from({ length: count.data[at]! }, (_entry, j) => index.data[at * slots + j]!)];
        }),
      );
    });
    return [{ path, chosen }];
  });
}

/** A strip for each place among the entries of a token: the entry as a digit, then letters; `·` where there is none. */
export function stripsOf({ path, chosen }: ShownChoice, sequence: number, tokens: number): readonly Strip[] {
  const own = Array.from({ length: tokens }, (_, t) => chosen[sequence]?.get(t) ?? []);
  const most = own.reduce((n, entries) => Math.max(n, entries.length), 1);
  return Array.from({ length: most }, (_, j) => ({
    label: j === 0 ? path : "",
    cells: own.map((entries) => (entries[j] === undefined ? "·" : markOf(entries[j]))).join(""),
  }));
}

/** `layers.0.mlp.chosen: 0 of 12 tokens, 3 of 9, 4 of 1`, the entries with the most tokens first. */
export function loadText({ path, chosen }: ShownChoice, sequence: number, tokens: number): string {
  const loads = new Map<number, number>();
  for (const [t, entries] of chosen[sequence] ?? [])
    if (t < tokens) for (const e of entries) loads.set(e, (loads.get(e) ?? 0) + 1);
  const sorted = [...loads].sort(([e, n], [f, m]) => m - n || e - f);
  const shown = sorted.slice(0, LISTED).map(([e, n], i) => (i === 0 ? `${e} by ${n} tokens` : `${e} by ${n}`));
  const more = sorted.length - shown.length;
  return `${path}: ${shown.length === 0 ? "none" : shown.join(", ")}${more > 0 ? `, ${more} more` : ""}`;
}

/** Entries whose tokens are counted in a line. */
const LISTED = 12;
