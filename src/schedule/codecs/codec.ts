// How kernels read and write values in an encoding, as WGSL. In a kernel they are f32, whatever they are in memory.
import type { DType } from "../../base/dtype.js";
import type { EncodingName } from "../../program/encodings/index.js";
import type { Buffer } from "../plan.js";

type Element = Buffer["element"];

/** Reads values, those of weights among them, by functions. */
export interface Codec {
  readonly encoding: EncodingName;
  /** What a buffer consists of for the function that reads one value, and for that which reads four columns. */
  readonly one: Element;
  readonly four: Element;
  /** `fn name(at: u32) -> f32`: value `at` of a buffer. The values of a block stand `stride` apart. */
  readonly readOne: (name: string, buffer: string, stride: number) => string;
  /** `fn name(at: u32) -> vec4f`: values 4·at … 4·at + 3 of a buffer. */
  readonly readFour: (name: string, buffer: string, stride: number) => string;
}

/** Reads and writes what kernels hand to kernels, too: each value is an element of its buffer. */
export interface ElementCodec extends Codec {
  /** What a buffer of such values consists of. */
  readonly element: (dtype: DType) => Element;
  /** The value of an element. */
  readonly load: (element: string) => string;
  /** Four columns of an element of `four`; null where `readFour` must do that. */
  readonly loadFour: (element: string) => string | null;
  /** The element nearest to a value of arithmetic that is stored as this type. */
  readonly store: (value: string, dtype: DType) => string;
  /** Four columns, a vec4f, as `four` has them; null where each is rounded by itself. */
  readonly storeFour: (x: string, dtype: DType) => string | null;
}

/** `fn name(v: f32) -> …`: what storing a value does to it. */
export const rounding = (codec: ElementCodec, dtype: DType, name = "rounded"): string =>
  `fn ${name}(v: f32) -> ${codec.element(dtype)} { return ${codec.store("v", dtype)}; }`;
