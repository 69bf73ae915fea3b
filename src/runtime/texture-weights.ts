// Textures of weights (program/textures.ts). Packages are compiled without, and have nothing of this file.
import { textureSlots, type Program } from "../program/program.js";
import { READS_TEXTURES, type Target } from "../program/target.js";
import { rowBytes, TEXELS, TEXTURE_WIDTH, type TextureFormat } from "../program/textures.js";
import { TEXTURE_USAGE } from "./gpu-flags.js";

/** Features of WGSL that kernels may use; older implementations tell nothing of them. */
export function languageFeatures(gpu: GPU): readonly string[] {
  const { wgslLanguageFeatures } = gpu as { wgslLanguageFeatures?: ReadonlySet<string> };
  return wgslLanguageFeatures?.has(READS_TEXTURES) ? [READS_TEXTURES] : [];
}

/** What a target says of textures. */
export const textureTarget = (features: readonly string[]): Pick<Target, "textures"> =>
  features.includes(READS_TEXTURES) ? { textures: true } : {};

/** The format of each slot of a program that is a texture; null where none is. */
export function texturesIn(program: Pick<Program, "kernels" | "steps">): ReadonlyMap<number, TextureFormat> | null {
  const slots = textureSlots(program);
  return slots.size > 0 ? slots : null;
}

/** How a kernel binds one. */
export const textureEntry = (format: TextureFormat): Pick<GPUBindGroupLayoutEntry, "storageTexture"> => ({
  storageTexture: { access: "read-only", format },
});

/** Bytes of the whole rows that so many bytes take. */
export const textureBytes = (bytes: number, format: TextureFormat): number =>
  Math.ceil(bytes / rowBytes(format)) * rowBytes(format);

/** A texture of so many bytes, which are whole rows. */
export const createTexture = (gpu: GPUDevice, label: string, format: TextureFormat, bytes: number): GPUTexture =>
  gpu.createTexture({
    label,
    size: [TEXTURE_WIDTH, bytes / rowBytes(format)],
    format,
    usage: TEXTURE_USAGE.storage | TEXTURE_USAGE.copyDst,
  });

/** Writes values from a byte on, both whole texels: the rest of a row, whole rows, and the beginning of one. */
export function writeTexture(
  queue: GPUQueue,
  texture: GPUTexture,
  byte: number,
  values: ArrayBufferView<ArrayBuffer>,
): void {
  const format = texture.format as TextureFormat; // as it was created
  const each = TEXELS[format];
  const end = (byte + values.byteLength) / each;
  for (let at = byte / each; at < end;) {
    const x = at % TEXTURE_WIDTH;
    const width = Math.min(TEXTURE_WIDTH - x, end - at);
    const rows = width < TEXTURE_WIDTH ? 1 : Math.floor((end - at) / TEXTURE_WIDTH);
    queue.writeTexture(
      { texture, origin: [x, Math.floor(at / TEXTURE_WIDTH)] },
      values,
      { offset: at * each - byte, bytesPerRow: rowBytes(format) },
      [width, rows],
    );
    at += width * rows;
  }
}
