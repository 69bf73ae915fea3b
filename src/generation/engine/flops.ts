// Floating-point operations of generated tokens, from the work recorded in the step program.
import type { Program } from "../../runtime/program/program.js";
import { parseSize } from "../../ground/size/parse-size.js";
import { add, parseRational, type Rational, toNumber, ZERO } from "../../ground/numerics/rational.js";
import { evaluateSize } from "../../ground/size/size.js";

/** Sizes summed over many steps, by axis. */
export interface StepSizes {
  /** The sum of rows over all steps. */
  readonly rows: ReadonlyMap<string, number>;
  /** Extents; for capacity axes the average number of rows per sequence. */
  readonly extents: ReadonlyMap<string, number>;
}

/**
 * Floating-point operations of all steps; a multiply-add counts as two. `dense`: were all experts real ones, where some
 * do nothing.
 */
export function flopsOf(
  program: Pick<Program, "works" | "live">,
  { rows, extents }: StepSizes,
  { dense }: { readonly dense: boolean },
): number {
  // valid: checked when the program was parsed
  const live = new Map(program.live.map((l) => [l.name, parseRational(l.default)!]));
  let sum: Rational = ZERO;
  for (const { flops, denseFlops = flops } of program.works) {
    const text = dense ? denseFlops : flops;
    const value = evaluateSize(typeof text === "number" ? text : parseSize(text), (atom) => {
      if (atom.kind === "live") return live.get(atom.name)!;
      return (atom.kind === "rows" ? rows : extents).get(atom.axis) ?? rows.get(atom.axis) ?? 0;
    });
    sum = add(sum, value);
  }
  return toNumber(sum);
}
