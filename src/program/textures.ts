// Weights that kernels read as textures: texels of eight or sixteen bytes, row by row of a fixed width.
import type { EncodingName } from "./encodings/index.js";

/** Formats, with the bytes of a texel. */
export const TEXELS = { rgba32float: 16, rg32uint: 8, rgba32uint: 16 } as const;
export type TextureFormat = keyof typeof TEXELS;
/** Texels of a row. */
export const TEXTURE_WIDTH = 1024;
/** The most rows, and textures of a kernel, that every WebGPU device has. */
const MOST_ROWS = 8192;
export const MOST_TEXTURES = 4;

/** The texture that holds weights in panels: of each encoding what one load of a product reads. */
export const TEXTURE_OF: Readonly<Record<EncodingName, TextureFormat>> = {
  word: "rgba32float",
  f16: "rg32uint",
  bf16: "rg32uint",
  q8: "rgba32uint",
  q4: "rgba32uint",
};

export const rowBytes = (format: TextureFormat): number => TEXTURE_WIDTH * TEXELS[format];
/** Whether a texture can hold so many bytes. */
export const fitsTexture = (bytes: number | string, format: TextureFormat): boolean =>
  typeof bytes === "number" &&
  bytes > 0 &&
  bytes % TEXELS[format] === 0 &&
  Math.ceil(bytes / rowBytes(format)) <= MOST_ROWS;
