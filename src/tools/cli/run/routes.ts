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
  /** The axis of which the tokens are in the end: one that is not of a route, such as an input's. */
  readonly origin: string;
  /**
   * The chosen tokens of each sequence, as positions on `origin` if all routes in between are observed, else as
   * positions on `parent`.
   */
  readonly chosen: readonly (readonly number[])[];
  /** Whether the positions refer to `origin`. */
  readonly placed: boolean;
  /** Whether they refer to the model's input, too. */
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
    const originAxis = axes.get(originOf(axes, parent));
    const placed = outer?.placed ?? originAxis?.name === parent;
    const isInput = originAxis?.role === "sequence" && originAxis.count.kind === "input";
    const relative = rowsOf(index, count);
    const chosen = outer ? relative.map((rows, b) => rows.map((row) => outer.chosen[b]![row]!)) : relative;
    const route: ShownRoute = {
      path,
      axis: axis.name,
      parent,
      origin: originAxis?.name ?? parent,
      chosen,
      placed,
      absolute: placed && isInput,
    };
    shown.push(route);
    byAxis.set(axis.name, route);
  }
  return shown;
}

/** The axis from which routes, and routes of these, chose the tokens of an axis. */
function originOf(axes: ReadonlyMap<string, Program["axes"][number]>, name: string): string {
  const axis = axes.get(name);
  const parent = axis?.role === "sequence" ? chosenFrom(axis.count) : null;
  return parent === null ? name : originOf(axes, parent);
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
 * Strips of routes of one origin below the text, a column for each token, in pieces of `width` columns, with `more`
 * strips below those of routes. `tokens`: the length of the sequence on the origin. For routes on an unobserved parent
 * only counts are shown.
 */
export function drawRoutes(
  routes: readonly ShownRoute[],
  sequence: number,
  tokens: number,
  text: string | null,
  width: number,
  more: readonly Strip[] = [],
): string {
  const drawn = routes.filter((r) => r.placed);
  const labelOf = (r: ShownRoute): string => `${r.path} ${r.chosen[sequence]?.length ?? 0}/${tokens}`;
  const strips = [
    ...drawn.map((r) => ({ label: labelOf(r), cells: strip(r.chosen[sequence] ?? [], tokens) })),
    ...more,
  ];
  const margin = Math.max(0, ...strips.map(({ label }) => label.length)) + 2;
  const piece = Math.max(16, width - margin);
  const lines: string[] = routes.filter((r) => !r.placed).map((r) => `${labelOf(r)}, of an unobserved route`);
  for (let from = 0; strips.length > 0 && from < tokens; from += piece) {
    if (text !== null) lines.push(`${"".padEnd(margin)}${text.slice(from, from + piece)}`.trimEnd());
    for (const { label, cells } of strips)
      lines.push(`${(from === 0 ? label : "").padEnd(margin)}${cells.slice(from, from + piece)}`);
    if (from + piece < tokens) lines.push("");
  }
  return lines.join("\n");
}
