// Declares how a kernel reads the rows of an expression: what a row needs, what a column needs, and each value.
import type { KernelBuilder } from "./spec.js";
import type { Extents } from "../analysis/extents.js";
import type { Expression } from "../addressing/expression.js";
import { RowText, structFunction, type Inputs } from "./expression-text.js";

/**
 * Declares `RowA`, `rowA`, `ColA`, `colA` and `valueA` of a product's kernel, or the same with another letter. The
 * value is an element, or a vector with the terms of several sums. `place`: the file's parameters that identify a row,
 * the last of which is `row`. `kind`: "fours": values and what depends on the column are vectors of four columns from k
 * on; "apart": loads stand apart, in `TakenA` and `takeA`.
 */
export function declareRows(
  kernel: KernelBuilder,
  expression: Expression,
  extents: Extents,
  inputs: Inputs,
  names: {
    readonly letter: string;
    readonly parameters: string;
    readonly prefix: string;
    readonly kind?: "fours" | "apart" | null;
  },
): void {
  const { letter, parameters, prefix, kind = null } = names;
  const text = new RowText(kernel, expression, extents, inputs, prefix, kind);
  const results = expression.results.map((index) => text.name(index));
  kernel.function(structFunction(`Row${letter}`, `row${letter}(${parameters})`, text.rowFields, text.rowLines));
  kernel.function(structFunction(`Col${letter}`, `col${letter}(k: u32)`, text.columnFields, text.columnLines));
  if (kind === "apart")
    kernel.function(
      structFunction(`Taken${letter}`, `take${letter}(r: Row${letter}, k: u32)`, text.takenFields, text.takenLines),
    );
  const type = kind === "fours" ? "vec4f" : sumsType(results.length);
  const value = results.length === 1 ? results[0]! : `${type}(${results.join(", ")})`;
  const taken = kind === "apart" ? `t: Taken${letter}, ` : "";
  kernel.function(
    `fn value${letter}(r: Row${letter}, c: Col${letter}, ${taken}k: u32) -> ${type} ` +
      `{\n${text.lines.map((l) => `  ${l}\n`).join("")}  return ${value};\n}`,
  );
}

/** The WGSL type of `count` f32 values. */
export const sumsType = (count: number): string => (count <= 1 ? "f32" : `vec${count}f`);
