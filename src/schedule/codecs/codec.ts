// Codecs: WGSL for reading and writing values in an encoding. Kernels compute in f32 whatever the encoding.
import type { DType } from "../../base/dtype.js";
import type { EncodingName } from "../../program/encodings/index.js";
import type { Buffer } from "../plan.js";

type Element = Buffer["element"];

/** Decodes values by functions; used for weights. */
export interface Codec {
  readonly encoding: EncodingName;
  /** The buffer's element type for the function that reads one value, and for the one that reads four. */
  readonly one: Element;
  readonly four: Element;
  /** `fn name(at: u32) -> f32`: value `at` of a buffer. The values of a block stand `stride` apart. */
  readonly readOne: (name: string, buffer: string, stride: number) => string;
  /** `fn name(at: u32) -> vec4f`: values 4·at … 4·at + 3 of a buffer. */
  readonly readFour: (name: string, buffer: string, stride: number) => string;
}

/** A codec that can also encode, for activations: each value is one element of the buffer. */
export interface ElementCodec extends Codec {
  /** The buffer's element type for values of a dtype. */
  readonly element: (dtype: DType) => Element;
  /** The value of an element. */
  readonly load: (element: string) => string;
  /** Four columns from an element of type `four`; null where `readFour` must be used. */
  readonly loadFour: (element: string) => string | null;
  /** Rounds a computed value to an element. */
  readonly store: (value: string, dtype: DType) => string;
  /** Converts four columns, a vec4f, to an element of type `four`; null where each is rounded separately. */
  readonly storeFour: (x: string, dtype: DType) => string | null;
}

/** `fn name(v: f32) -> …`: rounds a value as storing and loading it would. */
export const rounding = (codec: ElementCodec, dtype: DType, name = "rounded"): string =>
  `fn ${name}(v: f32) -> ${codec.element(dtype)} { return ${codec.store("v", dtype)}; }`;
