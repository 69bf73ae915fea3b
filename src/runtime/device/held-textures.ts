// Textures (program/textures.ts). Packages are compiled without, and have nothing of this file.
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

/** Features of WGSL that kernels may use; older implementations tell nothing of them. */
export function languageFeatures(gpu: GPU): readonly string[] {
  const { wgslLanguageFeatures } = gpu as { wgslLanguageFeatures?: ReadonlySet<string> };
  return wgslLanguageFeatures?.has(READS_TEXTURES) ? [READS_TEXTURES] : [];
}

/** What a target says of textures. */
export const textureTarget = (features: readonly string[]): Pick<Target, "textures"> =>
  features.includes(READS_TEXTURES) ? { textures: true } : {};

/** The shape of each slot of a program that is a texture; null where none is. */
export function texturesIn(program: Pick<Program, "kernels" | "steps">): ReadonlyMap<number, TextureShape> | null {
  const slots = textureSlots(program);
  return slots.size > 0 ? slots : null;
}

/** How a kernel binds one; null: what it binds is a buffer. */
export const textureEntry = (access: Access): Pick<GPUBindGroupLayoutEntry, "storageTexture"> | null =>
  isTexture(access)
    ? { storageTexture: { access: writesTo(access) ? "write-only" : "read-only", format: textureShape(access).format } }
    : null;

/** Bytes of the whole rows that so many bytes take. */
export const textureBytes = (bytes: number, shape: TextureShape): number =>
  Math.max(1, Math.ceil(bytes / rowBytes(shape))) * rowBytes(shape);

/** The error for the first slot of packed rows that no device is sure to hold; null where all fit. */
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

/** Going backwards: no step before one that packs rows packs any of those that are read behind it. */
export function forgetPacked(step: ProgramStep, { kernels }: Pick<Program, "kernels">, live: Set<number>): void {
  if (step.kind === "dispatch")
    step.slots.forEach((slot, i) => {
      if (kernels[step.kernel]!.access[i] === "packed_write") live.delete(slot);
    });
}

/** Whether a kernel packs rows for the step right after it, and is to run only where that does. */
export const packsRows = ({ access }: ProgramKernel): boolean => access.includes("packed_write");

/** Takes the workgroups from steps that pack rows for one that does not run. */
export const leavePacking = (steps: readonly { readonly packs?: boolean }[], amounts: Float64Array): void =>
  steps.forEach(({ packs }, i) => {
    if (packs && amounts[i + 1] === 0) amounts[i] = 0;
  });

/** A texture of so many bytes, which are whole rows. */
export const createTexture = (gpu: GPUDevice, label: string, shape: TextureShape, bytes: number): GPUTexture =>
  gpu.createTexture({
    label,
    size: [shape.width, bytes / rowBytes(shape)],
    format: shape.format,
    usage: TEXTURE_USAGE.storage | TEXTURE_USAGE.copyDst,
  });

/** Writes values from a byte on, both whole texels: the rest of a row, whole rows, and the beginning of one. */
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
