// What a device keeps of a weight's values.
import type { Words } from "../../base/dtype.js";
import { rounded } from "../../program/encodings/index.js";
import type { ProgramWeight } from "../../program/program.js";

/** The values as kernels read them, where all of its slots hold them in one encoding. */
export function asStored({ slots }: Pick<ProgramWeight, "slots">, words: Words): Words {
  const [form, ...others] = new Set(slots.map((s) => s.form));
  return form === undefined || others.length > 0 ? words : rounded[form](words);
}
