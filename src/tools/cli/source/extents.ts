// The extents a command uses: `--batch`, `--length`, and `--at` for other axes.
import { capacityOf, generationExtents } from "../../../runtime/program/axes-of-generation.js";
import type { Axis } from "../../../ground/size/axes.js";
import type { ProgramName } from "../../../runtime/program/names.js";
import { BeyondBound } from "./beyond-bound.js";
import { UserError, misuse } from "../terminal/exit.js";
import { UsageError } from "../tree/usage.js";
import type { ExtentFlags } from "../tree/options.js";

/** Programs of generation, by the tokens of a sequence that a run reads: its whole text, or one. */
const READS: Readonly<Partial<Record<ProgramName, "all" | "one">>> = {
  prompt: "all",
  step: "one",
  draft: "one",
  "verify-draft": "all",
};

/**
 * The extent of each input axis: that of the flags, else 1 for the batch and the bound for others, with at most `usual`
 * tokens. `usual` null: only the bound.
 */
export function chosenExtents(
  axes: readonly Axis[],
  flags: ExtentFlags,
  usual: number | null,
): ReadonlyMap<string, number> {
  const reads = flags.program && READS[flags.program];
  if (reads) return extentsOfGeneration(axes, flags, reads, usual);
  const open = axes.filter((axis) => axis.role !== "sequence" || axis.count.kind === "input");
  const extents = new Map(flags.at);
  const ofRole = (role: Axis["role"]): readonly Axis[] => open.filter((axis) => axis.role === role);
  const byRole = [
    ["--batch", flags.batch, ofRole("batch")],
    ["--length", flags.length, ofRole("sequence")],
  ] as const;
  for (const [name, n] of extents) {
    if (!open.some((axis) => axis.name === name))
      throw new UserError(
        `--at: the model has no axis ${name}`,
        `it has ${open.map((axis) => axis.name).join(", ") || "none"}`,
      );
    // With several input sequences, `--length` is ambiguous and refused.
    const other = byRole.find(([, , axes]) => axes.length === 1 && axes[0]!.name === name);
    if (other)
      throw new UsageError(
        "renamed-option",
        `--at ${name}=${n}: ${WHAT[other[0]]} is set by ${other[0]}`,
        `write ${other[0]} ${n}`,
      );
  }
  for (const [option, extent, axes] of byRole) {
    if (extent === undefined) continue;
    const [axis, another] = axes;
    if (!axis)
      throw new UserError(
        `${option}: the model has no ${option === "--batch" ? "batch" : "sequence"} axis among its inputs`,
        "leave it out: the sizes of its inputs are parameters, --set name=value",
      );
    if (another)
      throw misuse(
        `${option}: the model has several sequence axes`,
        `--at ${axes.map((a) => `${a.name}=${extent}`).join(",")}`,
      );
    extents.set(axis.name, extent);
  }
  return new Map(
    open.map((axis) => {
      const value = extents.get(axis.name) ?? usualExtent(axis, usual);
      if (value === null)
        throw new UserError(
          `${axis.name} has no bound, so its size must be given`,
          ofRole("sequence").length === 1 && axis.role === "sequence" ? "--length 2048" : `--at ${axis.name}=2048`,
        );
      if (axis.bound !== null && value > axis.bound) {
        const option = byRole.find(([, extent, axes]) => extent !== undefined && axes[0] === axis)?.[0];
        const asked = option === undefined ? `--at ${axis.name}=${value}` : `${option} ${value}`;
        throw new BeyondBound({ option: asked, axis: axis.name, extent: value, bound: axis.bound, model: "the model" });
      }
      return [axis.name, value];
    }),
  );
}

/** For generation, `--length` is the length of the text after the run: of the whole prompt, or after a step. */
function extentsOfGeneration(
  axes: readonly Axis[],
  flags: ExtentFlags,
  reads: "all" | "one",
  usual: number | null,
): ReadonlyMap<string, number> {
  if (flags.at !== undefined)
    throw misuse(`--at has no effect on --program ${flags.program!}`, "give --batch and --length instead");
  const root = axes.find((a) => a.role === "sequence" && axes.some((b) => b.name === capacityOf(a.name)));
  const bound = axes.find((a) => a.name === capacityOf(root?.name ?? ""))?.bound ?? null;
  const sequences = flags.batch ?? 1;
  const length = flags.length ?? Math.min(usual ?? bound ?? 2048, bound ?? Infinity);
  if (bound !== null && length > bound) throw new UserError(`--length is ${length}: the model allows ${bound}`);
  return generationExtents(axes, sequences, reads === "one" ? 1 : length, length);
}

const WHAT = { "--batch": "the number of sequences", "--length": "the length of a sequence" } as const;

function usualExtent(axis: Axis, usual: number | null): number | null {
  if (axis.role === "batch") return 1;
  return usual !== null && axis.role === "sequence" ? Math.min(usual, axis.bound ?? usual) : axis.bound;
}

/** `B=1 T=512` */
export const printExtents = (extents: ReadonlyMap<string, number>): string =>
  [...extents].map(([name, n]) => `${name}=${n}`).join(" ");
