// Textures that kernels read: texels of eight or sixteen bytes, row by row of a fixed width. They hold weights, or rows
// of a product that an earlier kernel has packed.
import { TEXELS, type TextureFormat } from "./encodings/encoding.js";

export { TEXELS, type TextureFormat };
/** How a kernel binds a texture: weights by format, packed rows for reading or writing. */
export type TextureAccess = TextureFormat | "packed" | "packed_write";
/** How a kernel binds a storage buffer or texture. */
export type Access = "read" | "read_write" | TextureAccess;
export interface TextureShape {
  readonly format: TextureFormat;
  /** Texels per row. */
  readonly width: number;
}
/**
 * Texels per row: of weights, narrow enough that small weights waste little; of packed rows, wide enough for all rows.
 */
export const TEXTURE_WIDTH = 1024;
export const PACKED_WIDTH = 8192;
/** The limits of every WebGPU device: rows of a texture, and textures of a kernel. */
export const MOST_TEXTURE_ROWS = 8192;
export const MOST_TEXTURES = 4;

export const isTexture = (access: Access): access is TextureAccess => access !== "read" && access !== "read_write";
export const isPacked = (access: Access): access is "packed" | "packed_write" =>
  access === "packed" || access === "packed_write";
/** Whether a kernel with this access writes. */
export const writesTo = (access: Access): boolean => access.includes("write");
export const textureShape = (access: TextureAccess): TextureShape =>
  isPacked(access) ? { format: "rgba32float", width: PACKED_WIDTH } : { format: access, width: TEXTURE_WIDTH };

export const rowBytes = ({ format, width }: TextureShape): number => width * TEXELS[format];
/** Whether a texture can hold `bytes` bytes of weights. */
export const fitsTexture = (bytes: number | string, format: TextureFormat): boolean =>
  typeof bytes === "number" &&
  bytes > 0 &&
  bytes % TEXELS[format] === 0 &&
  Math.ceil(bytes / rowBytes(textureShape(format))) <= MOST_TEXTURE_ROWS;
