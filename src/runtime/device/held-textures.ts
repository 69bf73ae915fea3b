// Device side of textures (program/textures.ts). Packages compiled without textures omit this file.
import { textureSlots, type Program, type ProgramKernel, type ProgramStep } from "../program/program.js";
import { READS_TEXTURES, type Target } from "../program/target.js";
import {
  isTexture,
  MOST_TEXTURE_ROWS,
  rowBytes,
  TEXELS,
  textureShape,
  writesTo,
  type Access,
  type TextureFormat,
  type TextureShape,
} from "../program/textures.js";
import { LimitError } from "./errors.js";
import { TEXTURE_USAGE } from "./gpu-flags.js";

/** WGSL features that kernels may use. Older implementations do not report them. */
export function languageFeatures(gpu: GPU): readonly string[] {
  const { wgslLanguageFeatures } = gpu as { wgslLanguageFeatures?: ReadonlySet<string> };
  return wgslLanguageFeatures?.has(READS_TEXTURES) ? [READS_TEXTURES] : [];
}

/** The texture fields of a target. */
export const textureTarget = (features: readonly string[]): Pick<Target, "textures"> =>
  features.includes(READS_TEXTURES) ? { textures: true } : {};

/** The shape of each slot that is a texture; null if the program has no textures. */
export function texturesIn(program: Pick<Program, "kernels" | "steps">): ReadonlyMap<number, TextureShape> | null {
  const slots = textureSlots(program);
  return slots.size > 0 ? slots : null;
}

/** The bind group layout entry of a texture; null: the access is a buffer's. */
export const textureEntry = (access: Access): Pick<GPUBindGroupLayoutEntry, "storageTexture"> | null =>
  isTexture(access)
    ? { storageTexture: { access: writesTo(access) ? "write-only" : "read-only", format: textureShape(access).format } }
    : null;

/** The data's bytes, rounded up to whole rows of texels. */
export const textureBytes = (bytes: number, shape: TextureShape): number =>
  Math.max(1, Math.ceil(bytes / rowBytes(shape))) * rowBytes(shape);

/** The error for the first slot of packed rows that some devices cannot hold; null if all slots fit. */
export function textureFault(textures: ReturnType<typeof texturesIn>, needed: readonly number[]): LimitError | null {
  for (const [slot, shape] of textures ?? []) {
    const [bytes, allowed] = [needed[slot]!, MOST_TEXTURE_ROWS * rowBytes(shape)];
    if (bytes > allowed)
      return new LimitError(
        { label: "packed rows", limit: "maxTextureDimension2D", needed: bytes, allowed, unit: "bytes", sizes: true },
        "give fewer or shorter inputs at once",
      );
  }
  return null;
}

/**
 * Liveness, backwards: a step that packs rows writes all rows that later steps read, so before it the texture is dead.
 */
export function forgetPacked(step: ProgramStep, { kernels }: Pick<Program, "kernels">, live: Set<number>): void {
  if (step.kind === "dispatch")
    step.slots.forEach((slot, i) => {
      if (kernels[step.kernel]!.access[i] === "packed_write") live.delete(slot);
    });
}

/** Whether a kernel packs rows for the next step. Such a kernel runs only if the next step runs. */
export const packsRows = ({ access }: ProgramKernel): boolean => access.includes("packed_write");

/** Sets the workgroups of a packing step to 0 if the next step does not run. */
export const leavePacking = (steps: readonly { readonly packs?: boolean }[], amounts: Float64Array): void =>
  steps.forEach(({ packs }, i) => {
    if (packs && amounts[i + 1] === 0) amounts[i] = 0;
  });

/** A texture of `bytes` bytes, a multiple of a row. */
export const createTexture = (gpu: GPUDevice, label: string, shape: TextureShape, bytes: number): GPUTexture =>
  gpu.createTexture({
    label,
    size: [shape.width, bytes / rowBytes(shape)],
    format: shape.format,
    usage: TEXTURE_USAGE.storage | TEXTURE_USAGE.copyDst,
  });

/** Writes whole texels from a byte offset on: the rest of a row, whole rows, and the start of a row. */
export function writeTexture(
  queue: GPUQueue,
  texture: GPUTexture,
  byte: number,
  values: ArrayBufferView<ArrayBuffer>,
): void {
  const shape: TextureShape = { format: texture.format as TextureFormat, width: texture.width }; // as it was created
  const { width: across } = shape;
  const each = TEXELS[shape.format];
  const end = (byte + values.byteLength) / each;
  for (let at = byte / each; at < end;) {
    const x = at % across;
    const width = Math.min(across - x, end - at);
    const rows = width < across ? 1 : Math.floor((end - at) / across);
    queue.writeTexture(
      { texture, origin: [x, Math.floor(at / across)] },
      values,
      { offset: at * each - byte, bytesPerRow: rowBytes(shape) },
      [width, rows],
    );
    at += width * rows;
  }
}
