// Floating-point operations of generated tokens, from what the program of a step says of its work.
import type { Program } from "../program/program.js";
import { parseSize } from "../size/parse-size.js";
import { add, parseRational, type Rational, toNumber, ZERO } from "../size/rational.js";
import { evaluateSize } from "../size/size.js";

/** Sizes of many steps together, whole numbers by axis. */
export interface StepSizes {
  /** Rows of all steps. */
  readonly rows: ReadonlyMap<string, number>;
  /** Extents: of the axes of caches, the rows that a sequence had on average. */
  readonly extents: ReadonlyMap<string, number>;
}

/** Operations of all steps; a multiply-add is two. */
export function flopsOf(program: Pick<Program, "works" | "live">, { rows, extents }: StepSizes): number {
  const live = new Map(program.live.map((l) => [l.name, parseRational(l.default)!])); // parsed when the program was
  let sum: Rational = ZERO;
  for (const { flops } of program.works) {
    const value = evaluateSize(typeof flops === "number" ? flops : parseSize(flops), (atom) => {
      if (atom.kind === "live") return live.get(atom.name)!;
      return (atom.kind === "rows" ? rows : extents).get(atom.axis) ?? rows.get(atom.axis) ?? 0;
    });
    sum = add(sum, value);
  }
  return toNumber(sum);
}
