// Rounds a weight's values as a device stores them.
import type { Words } from "../../ground/base/dtype.js";
import { BLOCK, type BlockEncoding } from "../program/encodings/block-file.js";
import { rounded } from "../program/encodings/rounded.js";
import type { Program, ProgramWeight } from "../program/program.js";

/** The values as kernels read them, if all slots of the weight have one encoding. */
export function asStored({ slots }: Pick<ProgramWeight, "slots">, words: Words): Words {
  const [form, ...others] = new Set(slots.map((s) => s.form));
  if (form === undefined || others.length > 0) return words;
  // Blocks lie along the depth of a product's matrix in all slots: along its rows, or, if not transposed, down them.
  const { layout } = slots[0]!;
  return rounded[form](words, layout.kind === "panels" && !layout.transposed ? layout.width : 1);
}

/** Whether a file can hold the weight in the blocks that kernels read: along its last axis, in all slots. */
export function isInBlocks({ slots, shape }: Pick<ProgramWeight, "slots" | "shape">, form: BlockEncoding): boolean {
  const last = shape.length - 1;
  return (
    slots.length > 0 &&
    slots.every(
      ({ form: own, layout, part }) =>
        own === form &&
        (layout.kind === "given" || layout.transposed) &&
        (part === null || part.axis !== last || part.start % BLOCK === 0),
    )
  );
}

/** Paths of a program's weights that a file can hold so. */
export const pathsInBlocks = ({ weights }: Pick<Program, "weights">, form: BlockEncoding): ReadonlySet<string> =>
  new Set(weights.flatMap((w) => (isInBlocks(w, form) ? [w.path] : [])));
