// Observed routes: the tokens that each chose, and a picture with one line for each route.
import { observedRoute } from "../../../runtime/program/observed.js";
import type { Program } from "../../../runtime/program/program.js";
import { chosenFrom } from "../../../ground/size/count-rules.js";
import type { Value, Values } from "../../verify/compare.js";

export interface ShownRoute {
  /** `layers.1.chosen` */
  readonly path: string;
  /** The axis of the route, and its parent axis. */
  readonly axis: string;
  readonly parent: string;
  /** The axis among whose tokens the first of nested routes chose; null if a route in between is not observed. */
  readonly root: string | null;
  /** The chosen tokens of each sequence, as positions on `root`, or on `parent` if there is no root. */
  readonly chosen: readonly (readonly number[])[];
  /** Whether the positions refer to the model's input. */
  readonly absolute: boolean;
}

/** Every observed route, in the program's order. */
export function observedRoutes(program: Pick<Program, "axes" | "outputs">, values: Values): readonly ShownRoute[] {
  const shown: ShownRoute[] = [];
  // A route may be observed under several names; routes chosen on it need only one.
  const byAxis = new Map<string, ShownRoute>();
  const axes = new Map(program.axes.map((a) => [a.name, a]));
  for (const output of program.outputs) {
    const path = observedRoute(output);
    const axis = path === null ? undefined : axes.get(output.packing?.axis ?? "");
    if (path === null || axis?.role !== "sequence") continue;
    const parent = chosenFrom(axis.count);
    if (parent === null) continue;
    const [index, count] = [values.get(output.name), values.get(`${path}.count`)];
    if (!index || !count) continue;
    const outer = byAxis.get(parent);
    const parentAxis = axes.get(parent);
    const isRoute = parentAxis?.role !== "sequence" || chosenFrom(parentAxis.count) !== null;
    const root = outer ? outer.root : isRoute ? null : parent;
    const rootAxis = axes.get(root ?? "");
    const relative = rowsOf(index, count);
    const chosen = outer ? relative.map((rows, b) => rows.map((row) => outer.chosen[b]![row]!)) : relative;
    const absolute = rootAxis?.role === "sequence" && rootAxis.count.kind === "input";
    const route: ShownRoute = { path, axis: axis.name, parent, root, chosen, absolute };
    shown.push(route);
    byAxis.set(axis.name, route);
  }
  return shown;
}

/** The first count[b] entries of each row of index[B, K]. */
function rowsOf(index: Value, count: Value): readonly (readonly number[])[] {
  const width = index.shape[1] ?? 0;
  return Array.from({ length: count.shape[0] ?? 0 }, (_, b) =>
    Array.from({ length: count.data[b]! }, (_row, i) => index.data[b * width + i]!),
  );
}

/** `█` for each chosen token, `·` for each other. */
export function strip(chosen: readonly number[], tokens: number): string {
  const cells = Array<string>(tokens).fill("·");
  for (const token of chosen) cells[token] = "█";
  return cells.join("");
}

/** A line below the text, with a character for each token. */
export interface Strip {
  readonly label: string;
  readonly cells: string;
}

/**
 * Strips below the text, a column for each of `tokens`, in pieces of `width` columns, with `more` strips below those of
 * routes. The routes choose among these tokens.
 */
export function drawRoutes(
  routes: readonly ShownRoute[],
  sequence: number,
  tokens: number,
  text: string | null,
  width: number,
  more: readonly Strip[] = [],
): string {
  const labelOf = (r: ShownRoute): string => `${r.path} ${r.chosen[sequence]?.length ?? 0}/${tokens}`;
  const strips = [
    ...routes.map((r) => ({ label: labelOf(r), cells: strip(r.chosen[sequence] ?? [], tokens) })),
    ...more,
  ];
  const margin = Math.max(0, ...strips.map(({ label }) => label.length)) + 2;
  const piece = Math.max(16, width - margin);
  const lines: string[] = [];
  for (let from = 0; strips.length > 0 && from < tokens; from += piece) {
    if (text !== null) lines.push(`${"".padEnd(margin)}${text.slice(from, from + piece)}`.trimEnd());
    for (const { label, cells } of strips)
      lines.push(`${(from === 0 ? label : "").padEnd(margin)}${cells.slice(from, from + piece)}`);
    if (from + piece < tokens) lines.push("");
  }
  return lines.join("\n");
}
