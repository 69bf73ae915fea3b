// Weights that kernels read as textures: four values of f32 a texel, row by row of a fixed width.
import type { Program, SizeText } from "./program.js";

export const TEXTURE_FORMAT = "rgba32float";
/** Texels of a row, of 16 bytes each. */
export const TEXTURE_WIDTH = 1024;
export const TEXTURE_ROW_BYTES = 16 * TEXTURE_WIDTH;
/** The most rows that every WebGPU device has (`maxTextureDimension2D`). */
const MOST_ROWS = 8192;

export const textureRows = (bytes: number): number => Math.ceil(bytes / TEXTURE_ROW_BYTES);
/** Whether a texture can hold so many bytes. */
export const fitsTexture = (bytes: SizeText): boolean =>
  typeof bytes === "number" && bytes > 0 && bytes % 16 === 0 && textureRows(bytes) <= MOST_ROWS;

/** Slots that kernels read as textures. */
export function textureSlots({ kernels, steps }: Pick<Program, "kernels" | "steps">): ReadonlySet<number> {
  const slots = new Set<number>();
  for (const step of steps)
    if (step.kind === "dispatch")
      kernels[step.kernel]!.access.forEach((access, i) => access === "texture" && slots.add(step.slots[i]!));
  return slots;
}
