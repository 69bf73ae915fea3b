// What a device keeps of a weight's values where it stores them in two bytes.
import type { ProgramWeight } from "../../program/program.js";
import type { Words } from "./convert.js";
import { fromBrain, fromHalf, toBrain, toHalf } from "./half.js";

/** The values as kernels read them, where all of its slots hold them in one form: rounded to nearest even. */
export function asStored({ slots }: Pick<ProgramWeight, "slots">, words: Words): Words {
  const forms = new Set(slots.map((s) => s.form));
  const [form] = forms;
  if (form === undefined || form === "word" || forms.size > 1) return words;
  const rounded =
    form === "f16" ? (value: number) => fromHalf(toHalf(value)) : (value: number) => fromBrain(toBrain(value));
  return Float32Array.from(words, rounded);
}
