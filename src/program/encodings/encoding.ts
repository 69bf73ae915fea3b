// What an encoding says: how values lie in memory, and how the runtime packs those of a weight so.
import type { Words } from "../../base/dtype.js";

export interface Encoding {
  /** So many values lie together in so many bytes, with all that they share, such as a scale. */
  readonly block: { readonly values: number; readonly bytes: number };
  /** Packs the values of a slot as they come; those of a block stand `stride` apart (`blockStride` of a layout). */
  readonly pack: (write: WritePiece, stride: number) => Packer;
}

/** Writes whole words to a slot, from this byte on. */
export type WritePiece = (piece: Words | Uint16Array, byte: number) => void;

export interface Packer {
  /** Values from place `at` on, each once, in pieces of any length and in any order. */
  readonly add: (values: Words, at: number) => void;
  /** Writes what waits for values that never come. */
  readonly finish: () => void;
}

/** Whether a weight of this shape falls into whole blocks, whichever way they lie. */
export const fits = ({ block }: Encoding, shape: readonly number[]): boolean =>
  shape.slice(-2).every((extent) => extent % block.values === 0);

/** Bytes of so many values, in whole words. */
export const bytesOf = ({ block }: Encoding, values: number): number =>
  4 * Math.ceil(((values / block.values) * block.bytes) / 4);
