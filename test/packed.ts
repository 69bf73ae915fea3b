// Tunings that pack the rows of every product by a weight, where by default those of many columns alone do.
import type { Target } from "../src/runtime/program/target.js";
import { candidates, tuningsFor } from "../src/compiler/schedule/tunings/index.js";
import { tuningsFile, type TuningsFile } from "../src/compiler/schedule/tunings/file.js";

/** With tiles of one of the heights and widths that there are, by `seed`; undefined where none are packed. */
export function packingAll(target: Target, seed: number): TuningsFile | undefined {
  const packed = candidates("products", target).filter(({ name }) => name.startsWith("packed "));
  const chosen = packed[seed % Math.max(1, packed.length)];
  return (
    chosen &&
    tuningsFile({ name: "", vendor: "", architecture: "", driver: "" }, target, {
      ...tuningsFor(target),
      products: chosen.tunings,
    })
  );
}
