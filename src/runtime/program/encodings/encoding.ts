// The interface of an encoding: the layout of its values in memory, and how the runtime packs a weight.
import type { Words } from "../../../ground/base/dtype.js";
import type { BlockType } from "./block-file.js";

export const ENCODING_NAMES = ["word", "f16", "bf16", "q8", "q4"] as const;
export type EncodingName = (typeof ENCODING_NAMES)[number];

export interface Encoding {
  /** A block: the number of values that are stored together, and their bytes, including shared data such as a scale. */
  readonly block: { readonly values: number; readonly bytes: number };
  /** The type of files with the same values; null: the file's name of the weight's own type. */
  readonly file: "F16" | "BF16" | BlockType | null;
  /** The format of weights in panels as a texture: a texel holds what one load of a product reads. */
  readonly texture: TextureFormat;
  /** Whether f16 holds the values, exactly or nearly, so that matrix units may multiply them in f16. */
  readonly nearF16: boolean;
  /** Loads the packer of slots. Asynchronous, since rarely needed packers are separate modules. */
  readonly packing: () => Promise<Pack>;
}

/**
 * Creates a packer for the values of a slot, which arrive in pieces. The values of a block are `stride` apart
 * (`blockStride` of a layout); `count`: values of the slot.
 */
export type Pack = (write: WritePiece, stride: number, count: number) => Packer;

/** Writes whole words to a slot, from byte `byte` on. */
export type WritePiece = (piece: Words | Uint16Array, byte: number) => void;

export interface Packer {
  /** Adds the values from index `at` on. Pieces have any length and order; each value is added once. */
  readonly add: (values: Words, at: number) => void;
  /**
   * Describes the first number of a weight that the encoding cannot represent; null, or absent, if it represents all.
   */
  readonly unheld?: (
    weight: { readonly path: string; readonly shape: readonly number[] },
    values: Words,
  ) => string | null;
  /** Writes incomplete words, whose remaining values do not exist. */
  readonly finish?: () => void;
}

/** Whether `extent` values in a row, along which blocks extend, are whole blocks. */
export const fits = ({ block }: Encoding, extent: number): boolean => extent % block.values === 0;

/** Bytes of `values` values, rounded up to whole words. */
export const bytesOf = ({ block }: Encoding, values: number): number =>
  4 * Math.ceil(((values / block.values) * block.bytes) / 4);

export const TEXELS = { rgba32float: 16, rg32uint: 8, rgba32uint: 16 } as const;
export type TextureFormat = keyof typeof TEXELS;
