// The target of compilation: a device's class, features and limits, as plain data shared by compiler and runtime.
import { EXIT, ModcError } from "../../ground/base/errors.js";
import { ENCODING_NAMES, type EncodingName } from "./encodings/index.js";

/**
 * Classes of devices, by which tunings are chosen. `portable`: unknown. `mesa-software`: Mesa's lavapipe.
 * `swiftshader`: SwiftShader and other software GPUs. `integrated`: a GPU with narrow or varying subgroups, or small
 * workgroups. `discrete`: a GPU with wide subgroups and large workgroups.
 */
export const DEVICE_CLASSES = ["portable", "mesa-software", "swiftshader", "integrated", "discrete"] as const;
export type DeviceClass = (typeof DEVICE_CLASSES)[number];

export interface Target {
  readonly device: DeviceClass;
  /** The smallest and largest subgroup size of the adapter; null without subgroups. */
  readonly subgroups: SubgroupRange | null;
  /** Whether shaders may request one of these subgroup sizes; absent: they may not. */
  readonly pins?: boolean;
  /** Whether shaders may use f16. */
  readonly f16: boolean;
  /** The products of small matrices that the device's matrix units compute; absent without matrix units. */
  readonly matrices?: readonly MatrixShape[];
  /** Whether matrix units load operands from arrays of vectors; absent: only from arrays of 16-bit floats. */
  readonly matrixVectors?: boolean;
  /** Whether shaders may read storage textures; absent: they may not. */
  readonly textures?: boolean;
  readonly limits: Limits;
}

/** Element types of a matrix unit's inputs and sums. */
export const MATRIX_TYPES = ["f32", "f16", "u32", "i32", "u8", "i8"] as const;
export type MatrixType = (typeof MATRIX_TYPES)[number];

/** A product that matrix units compute at once: m × k by k × n, computed by all invocations of a subgroup together. */
export interface MatrixShape {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly input: MatrixType;
  readonly output: MatrixType;
}

export type SubgroupRange = readonly [min: number, max: number];

/** The subgroup fields of a target. */
export type Subgroups = Pick<Target, "subgroups" | "pins">;

/**
 * The subgroup size on which kernels may rely: the device's only size, or the size that shaders request. Null without
 * subgroups, or if the size varies and shaders cannot request one.
 */
export const subgroupWidth = (target: Subgroups): number | null =>
  target.subgroups !== null && target.subgroups[0] === target.subgroups[1] ? target.subgroups[0] : pinnedWidth(target);

/**
 * Of several sizes, kernels request the narrowest from this size on: lanes of narrower subgroups have more registers
 * each, and matrix units need 8 or 16 (Intel) or 32 (AMD), the narrowest size that these devices list from 8 on.
 */
export const LEAST_PINNED = 8;

/** The subgroup size that kernels request; null if the device has only one size, or shaders may not request one. */
export function pinnedWidth({ subgroups, pins }: Subgroups): number | null {
  if (subgroups === null || pins !== true || subgroups[0] === subgroups[1]) return null;
  const width = 2 ** Math.ceil(Math.log2(Math.max(LEAST_PINNED, subgroups[0])));
  return width <= subgroups[1] ? width : null;
}

/**
 * The size that kernels whose lanes hold many values say, though they rely on none: where subgroups may be narrow, half
 * as wide ones have twice the registers a lane. Null: as the driver likes.
 */
export const roomyWidth = (target: Subgroups & Pick<Target, "device">): number | null =>
  target.device === "integrated" ? pinnedWidth(target) : null;

/** Limits of a device that a schedule must respect, with shorter names than WebGPU's. */
export interface Limits {
  readonly storageBuffersPerStage: number;
  readonly invocationsPerWorkgroup: number;
  readonly workgroupStorageBytes: number;
  /** The reachable bytes of one binding of a storage buffer. */
  readonly storageBindingBytes: number;
  readonly bufferBytes: number;
}

/** WebGPU's default limits (W3C, 3.6.2): every device has them. */
export const DEFAULT_LIMITS: Limits = {
  storageBuffersPerStage: 8,
  invocationsPerWorkgroup: 256,
  workgroupStorageBytes: 16_384,
  storageBindingBytes: 134_217_728,
  bufferBytes: 268_435_456,
};

/** The features and limits of every WebGPU device. */
export const PORTABLE: Target = { device: "portable", subgroups: null, f16: false, limits: DEFAULT_LIMITS };

/** Types of values that kernels pass to other kernels. */
export const ACTIVATION_TYPES = ["f32", "f16"] as const;
export type ActivationType = (typeof ACTIVATION_TYPES)[number];
/** Types of weights in memory. */
export type WeightType = "f32" | Exclude<EncodingName, "word">;
export const WEIGHT_TYPES: readonly WeightType[] = /* @__PURE__ */ ENCODING_NAMES.map((name) =>
  name === "word" ? "f32" : name,
);

/** Storage types of floats. Sums, norms, softmax, choices and all arithmetic are f32 in any case. */
export interface Precision {
  /**
   * The type of the weights of products and tables, on any device; f16 and bf16 take two bytes. In q8 and q4, 32
   * integers of eight or four bits along the depth share a scale in f16, as in GGUF's Q8_0 and Q4_0: 34 and 18 bytes
   * for 32 values. Weights that a choice depends on stay f32. Default: `activations`.
   */
  readonly weights?: WeightType;
  /** The type of values that kernels pass to other kernels; f16 needs a device with `shader-f16`. Default f32. */
  readonly activations?: ActivationType;
  /**
   * The type to which products and attention may round operands that matrix units multiply; sums are f32 in any case.
   * f16: any operands except those that choices depend on; numbers above 65504 become infinite, and numbers below 6e-5
   * lose digits. f32, the default: only products with weights or activations stored in f16, q8 or q4. No effect on a
   * device without matrix units.
   */
  readonly products?: ActivationType;
}

/** All storage types, none absent. */
export type StorageTypes = Required<Precision>;

/** Resolves both storage types. Throws TargetError for an invalid combination, and TypeError for an unknown type. */
export function storageTypes({ weights, activations = "f32", products = "f32" }: Precision): StorageTypes {
  const both = { weights: weights ?? activations, activations, products };
  for (const [name, type] of Object.entries({ activations, products }))
    if (!ACTIVATION_TYPES.includes(type))
      throw new TypeError(`precision.${name} is ${JSON.stringify(type)}: it is ${ACTIVATION_TYPES.join(" or ")}`);
  if (!WEIGHT_TYPES.includes(both.weights))
    throw new TypeError(`precision.weights is ${JSON.stringify(weights)}: it is ${WEIGHT_TYPES.join(", ")}`);
  if (activations === "f16" && both.weights !== "f16")
    throw new TargetError(
      `activations in f16 need weights in f16, not ${both.weights}`,
      "store both in f16, or the activations in f32",
    );
  return both;
}

/** The target that every device with this precision satisfies. */
export const portable = ({ activations }: Precision = {}): Target =>
  activations === "f16" ? { ...PORTABLE, f16: true } : PORTABLE;

/** WGSL's language feature that shaders need to read a storage texture. */
export const READS_TEXTURES = "readonly_and_readwrite_storage_textures";
/** WebGPU's feature that shaders need to request a subgroup size. */
export const PINS = "subgroup-size-control";
/** A name of modc, not of WebGPU: by the self-test, matrix units can load operands stored as vectors of words. */
export const MATRIX_VECTORS = "subgroup_matrix_vectors";
/** Features of WebGPU and of WGSL, and forms of access, that kernels may use. */
export const FEATURES = [
  "subgroups",
  "shader-f16",
  "chromium-experimental-subgroup-matrix",
  READS_TEXTURES,
  PINS,
  MATRIX_VECTORS,
] as const;
export type Feature = (typeof FEATURES)[number];

/** The features that a device must have for the kernels of a program. */
export interface Requirements {
  /** Sorted, without duplicates. */
  readonly features: readonly Feature[];
  /**
   * The width that every subgroup must have or, if `subgroup-size-control` is required, may have, since kernels request
   * it. Null if no kernel relies on a width.
   */
  readonly subgroupSize: number | null;
  /** The least width of every subgroup; absent if kernels rely on no width, or on one exact width. */
  readonly leastSubgroup?: number;
  /**
   * Products that the device's matrix units must compute, without duplicates; absent if no kernel uses matrix units.
   */
  readonly matrices?: readonly MatrixShape[];
}

export const sameShape = (a: MatrixShape, b: MatrixShape): boolean =>
  a.m === b.m && a.n === b.n && a.k === b.k && a.input === b.input && a.output === b.output;

/** `8 × 8 × 8 of f16 in f32` */
export const printShape = ({ m, n, k, input, output }: MatrixShape): string =>
  `${m} × ${n} × ${k} of ${input} in ${output}`;

/** A program requires a feature that its target lacks. */
export class TargetError extends ModcError<"target"> {
  override readonly name = "TargetError";

  constructor(message: string, hint: string | null = null) {
    super("target", message, { hint, exit: EXIT.usage });
  }
}
