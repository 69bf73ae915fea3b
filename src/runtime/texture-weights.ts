// Textures of weights (program/textures.ts). Packages are compiled without, and have nothing of this file.
import { READS_TEXTURES, type Target } from "../program/target.js";
import { TEXTURE_FORMAT, TEXTURE_ROW_BYTES, TEXTURE_WIDTH } from "../program/textures.js";
import { TEXTURE_USAGE } from "./gpu-flags.js";

/** Features of WGSL that kernels may use; older implementations tell nothing of them. */
export function languageFeatures(gpu: GPU): readonly string[] {
  const { wgslLanguageFeatures } = gpu as { wgslLanguageFeatures?: ReadonlySet<string> };
  return wgslLanguageFeatures?.has(READS_TEXTURES) ? [READS_TEXTURES] : [];
}

/** What a target says of textures. */
export const textureTarget = (features: readonly string[]): Pick<Target, "textures"> =>
  features.includes(READS_TEXTURES) ? { textures: true } : {};

/** How a kernel binds one. */
export const textureEntry = (): Pick<GPUBindGroupLayoutEntry, "storageTexture"> => ({
  storageTexture: { access: "read-only", format: TEXTURE_FORMAT },
});

/** A texture of so many whole rows. */
export const createTexture = (gpu: GPUDevice, label: string, rows: number): GPUTexture =>
  gpu.createTexture({
    label,
    size: [TEXTURE_WIDTH, rows],
    format: TEXTURE_FORMAT,
    usage: TEXTURE_USAGE.storage | TEXTURE_USAGE.copyDst,
  });

/** Writes words from a byte on, both whole texels: the rest of a row, whole rows, and the beginning of one. */
export function writeTexture(
  queue: GPUQueue,
  texture: GPUTexture,
  byte: number,
  words: ArrayBufferView<ArrayBuffer>,
): void {
  const end = (byte + words.byteLength) / 16;
  for (let at = byte / 16; at < end;) {
    const x = at % TEXTURE_WIDTH;
    const width = Math.min(TEXTURE_WIDTH - x, end - at);
    const rows = width < TEXTURE_WIDTH ? 1 : Math.floor((end - at) / TEXTURE_WIDTH);
    queue.writeTexture(
      { texture, origin: [x, Math.floor(at / TEXTURE_WIDTH)] },
      words,
      { offset: at * 16 - byte, bytesPerRow: TEXTURE_ROW_BYTES },
      [width, rows],
    );
    at += width * rows;
  }
}
