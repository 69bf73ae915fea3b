// Codecs: WGSL for reading and writing values in an encoding. Kernels compute in f32 whatever the encoding.
import type { DType } from "../../../ground/base/dtype.js";
import type { EncodingName } from "../../../runtime/program/encodings/index.js";
import type { Buffer } from "../plan/plan.js";
import type { Elements } from "./elements.js";

type Element = Buffer["element"];

/** Decodes values by functions; used for weights. */
export interface Codec {
  readonly encoding: EncodingName;
  /** The buffer's element type for the function that reads one value, and for the one that reads four. */
  readonly one: Element;
  readonly four: Element;
  /** `fn name(at: u32) -> f32`: value `at` of a buffer. The values of a block stand `stride` apart. */
  readonly readOne: (name: string, buffer: string, stride: number) => string;
  /** `fn name(at: u32) -> vec4f`: values 4·at … 4·at + 3. */
  readonly readFour: (name: string, elements: Elements, stride: number) => string;
  readonly matrix: MatrixCodec;
}

/** Loads of a matrix in panels for products, four columns at once. */
export interface MatrixCodec {
  readonly element: Element;
  /** The number of rows in one load. A load has four columns of each row. */
  readonly rows: number;
  /** The number of rows whose terms are added up before the sum is added to the total. */
  readonly block: number;
  /** Whether `addBlock` multiplies the sums of a block by scales before it adds them. */
  readonly scaled: boolean;
  /**
   * Declarations:
   * - `alias Loaded`; `fn loadB(at: u32) -> Loaded`.
   * - `fn columnsB(x: Loaded, i: u32) -> vec4f`: the i-th row of a load, without scales, times a power of two that the
   *   codec chooses (2^24 for q8, 2^28 for q4; sums then overflow from activations of about 10^27).
   * - `fn addBlock(sum: vec4f, part: vec4f, at: u32) -> vec4f`: adds the sums over a block. `at` is the block's first
   *   load. Applies the block's scales, divided by that power.
   * `stride`: columns of a panel. `bytes`: integers are converted byte by byte, for which GPUs have instructions, to
   * the same values. Then `addBlock` is replaced by `Scale`, the scales of a load, `fn scaleB(at: u32) -> Scale`, and
   * `fn scaleOf(s: Scale) -> vec4f`, also divided by that power.
   */
  readonly functions: (elements: Elements, stride: number, bytes: boolean) => string;
}

/** Rows of products that are added up at once, which keeps rounding small. */
const SUMMED = 64;

/** The declarations for blocks without scales. */
export const NO_SCALE = `alias Scale = u32;
fn scaleB(at: u32) -> Scale { return 0u; }
fn scaleOf(s: Scale) -> vec4f { return vec4f(1.0); }`;

/** A matrix whose values are decoded one by one. `columns`: four loaded values, `x`, as products read them. */
export const valueByValue = ({ four, readFour }: Pick<Codec, "four" | "readFour">, columns = "x"): MatrixCodec => ({
  element: four,
  rows: 1,
  block: SUMMED,
  scaled: false,
  functions: (elements, stride, bytes) => `alias Loaded = vec4f;
${readFour("loadB", elements, stride)}
fn columnsB(x: Loaded, i: u32) -> vec4f { return ${columns}; }
${bytes ? NO_SCALE : "fn addBlock(sum: vec4f, part: vec4f, at: u32) -> vec4f { return sum + part; }"}`,
});

/** A codec that can also encode, for activations: each value is one element of the buffer. */
export interface ElementCodec extends Codec {
  /** The buffer's element type for values of a dtype. */
  readonly element: (dtype: DType) => Element;
  /** The value of an element. */
  readonly load: (element: string) => string;
  /** Four columns from an element of type `four`; null if `readFour` must be used. */
  readonly loadFour: (element: string) => string | null;
  /** Rounds a computed value to an element. */
  readonly store: (value: string, dtype: DType) => string;
  /** Converts four columns, a vec4f, to an element of type `four`; null if each is rounded separately. */
  readonly storeFour: (x: string, dtype: DType) => string | null;
}

/** `fn name(v: f32) -> …`: rounds a value as storing and loading it would. */
export const rounding = (codec: ElementCodec, dtype: DType, name = "rounded"): string =>
  `fn ${name}(v: f32) -> ${codec.element(dtype)} { return ${codec.store("v", dtype)}; }`;
