// What must hold of the bindings of all steps.
import { invariant } from "../../../ground/base/invariant.js";
import type { Target } from "../../../runtime/program/target.js";
import { isPacked, isTexture, writesTo } from "../../../runtime/program/textures.js";
import type { Step } from "../plan.js";
import type { Storage } from "./slots.js";

/** No slot is a texture here and a buffer there. */
export function expectOneAccess(steps: readonly Step<Storage>[]): void {
  const formats = new Map<Storage, string>();
  for (const step of steps)
    if (step.kind === "dispatch")
      step.buffers.forEach((own, i) => {
        const { access } = step.kernel.buffers[i]!;
        const format = isPacked(access) ? "packed" : isTexture(access) ? access : "buffer";
        invariant((formats.get(own) ?? format) === format, `${own.label} is bound as ${format} and otherwise`);
        formats.set(own, format);
      });
}

/** What packs rows stands directly before the step that reads them: another may stand in for both. */
export function expectPackedNext(steps: readonly Step<Storage>[]): void {
  const boundAs = (step: Step<Storage> | undefined, as: "packed" | "packed_write"): Storage | undefined =>
    step?.kind === "dispatch" ? step.buffers.find((_, i) => step.kernel.buffers[i]!.access === as) : undefined;
  steps.forEach((step, i) => {
    const own = boundAs(step, "packed_write");
    invariant(own === undefined || boundAs(steps[i + 1], "packed") === own, "rows are packed for another step");
  });
}

/** A kernel binds no more buffers than the target allows, and none twice that it writes. */
export function checkBindings(step: Step<Storage>, { storageBuffersPerStage }: Target["limits"]): void {
  if (step.kind !== "dispatch") return;
  const { buffers, file } = step.kernel;
  const count = buffers.filter((b) => !isTexture(b.access)).length;
  invariant(
    count <= storageBuffersPerStage,
    `${file} needs ${count} storage buffers, the limit is ${storageBuffersPerStage}`,
  );
  const written = step.buffers.filter((_, i) => writesTo(buffers[i]!.access));
  invariant(
    written.every((s) => step.buffers.filter((o) => o === s).length === 1),
    `${file} would bind a buffer that it writes twice`,
  );
}
