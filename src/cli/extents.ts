// At which batch and length a command looks: `--batch`, `--length`, `--at`.
import { MOST_EXTENT, type Axis } from "../size/axes.js";
import { extentsOf, wholeNumber } from "./arguments.js";
import { EXIT, UserError } from "./exit.js";

export interface ExtentFlags {
  readonly at?: string;
  readonly batch?: string;
  readonly length?: string;
}

/**
 * The extent of each axis that a caller decides: what the flags say, else 1 for the batch, and for others their bound, the tokens at most `usual`.
 * `usual` null: the bound, and nothing else.
 */
export function chosenExtents(axes: readonly Axis[], flags: ExtentFlags, usual: number | null): ReadonlyMap<string, number> {
  const open = axes.filter((axis) => axis.role !== "sequence" || axis.count.kind === "input");
  const given = new Map(flags.at === undefined ? [] : extentsOf("--at", flags.at));
  for (const name of given.keys())
    if (!open.some((axis) => axis.name === name))
      throw new UserError(`--at: the model has no axis ${name}`, `it has ${open.map((axis) => axis.name).join(", ") || "none"}`);
  const short = [
    ["--batch", flags.batch, "batch"],
    ["--length", flags.length, "sequence"],
  ] as const;
  for (const [option, text, role] of short) {
    if (text === undefined) continue;
    const axis = open.find((a) => a.role === role);
    if (!axis) throw new UserError(`${option}: the model has no ${role === "batch" ? "batch" : "sequence"} axis`);
    if (given.has(axis.name)) throw new UserError(`${option} and --at both give ${axis.name}`, null, EXIT.usage);
    given.set(axis.name, wholeNumber(option, text, 1, MOST_EXTENT));
  }
  return new Map(
    open.map((axis) => {
      const value = given.get(axis.name) ?? usualExtent(axis, usual);
      if (value === null) throw new UserError(`${axis.name} has no bound: say how long it is`, `--at ${axis.name}=2048`);
      if (axis.bound !== null && value > axis.bound) throw new UserError(`${axis.name} is ${value}: the model allows ${axis.bound}`);
      return [axis.name, value];
    }),
  );
}

function usualExtent(axis: Axis, usual: number | null): number | null {
  if (axis.role === "batch") return 1;
  return usual !== null && axis.role === "sequence" ? Math.min(usual, axis.bound ?? usual) : axis.bound;
}

/** `B=1 T=512` */
export const printExtents = (extents: ReadonlyMap<string, number>): string => [...extents].map(([name, n]) => `${name}=${n}`).join(" ");
