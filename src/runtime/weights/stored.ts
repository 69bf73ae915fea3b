// Rounds a weight's values as a device stores them.
import type { Words } from "../../base/dtype.js";
import { rounded } from "../../program/encodings/index.js";
import type { ProgramWeight } from "../../program/program.js";

/** The values as kernels read them, if all slots of the weight have one encoding. */
export function asStored({ slots }: Pick<ProgramWeight, "slots">, words: Words): Words {
  const [form, ...others] = new Set(slots.map((s) => s.form));
  return form === undefined || others.length > 0 ? words : rounded[form](words);
}
