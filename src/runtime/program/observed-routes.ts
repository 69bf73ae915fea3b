// Observed routes of a run: the tokens that each chose, by their positions on the axis where the first of nested routes
// chose.
import { chosenFrom } from "../../ground/size/count-rules.js";
import { observedRoute } from "./observed.js";
import type { Program } from "./program.js";

interface Value {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

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
export function observedRoutes(
  program: Pick<Program, "axes" | "outputs">,
  values: ReadonlyMap<string, Value>,
): readonly ShownRoute[] {
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
