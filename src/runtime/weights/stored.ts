// Rounds a weight's values as a device stores them.
import type { Words } from "../../base/dtype.js";
import { rounded } from "../../program/encodings/rounded.js";
import type { ProgramWeight } from "../../program/program.js";

/** The values as kernels read them, if all slots of the weight have one encoding. */
export function asStored({ slots }: Pick<ProgramWeight, "slots">, words: Words): Words {
  const [form, ...others] = new Set(slots.map((s) => s.form));
  if (form === undefined || others.length > 0) return words;
  // Blocks lie along the depth of a product's matrix in all slots: along its rows, or, if not transposed, down them.
  const { layout } = slots[0]!;
  return rounded[form](words, layout.kind === "panels" && !layout.transposed ? layout.width : 1);
}
