// What a program is compiled for: the class of a device and what it offers, as plain data that compiler and runtime share.

/**
 * Which tunings fit. `portable`: nothing is known. `mesa-software`: Mesa's lavapipe. `swiftshader`: that one, and other processors that play a
 * GPU. `integrated`: a GPU that shares memory with the processor. `discrete`: a GPU with memory of its own.
 */
export const DEVICE_CLASSES = ["portable", "mesa-software", "swiftshader", "integrated", "discrete"] as const;
export type DeviceClass = (typeof DEVICE_CLASSES)[number];

export interface Target {
  readonly device: DeviceClass;
  /** The narrowest and the widest subgroup that a kernel may meet, as the adapter reports them; null where there are none. */
  readonly subgroups: SubgroupRange | null;
  /** Whether shaders may use f16. */
  readonly f16: boolean;
  readonly limits: Limits;
}

export type SubgroupRange = readonly [min: number, max: number];

/** The width that every subgroup has: what a kernel may rely on. Null where there are none, or where it varies. */
export const subgroupWidth = ({ subgroups }: Pick<Target, "subgroups">): number | null =>
  subgroups !== null && subgroups[0] === subgroups[1] ? subgroups[0] : null;

/** Limits of a device that a schedule must respect, by shorter names than WebGPU's. */
export interface Limits {
  readonly storageBuffersPerStage: number;
  readonly invocationsPerWorkgroup: number;
  readonly workgroupStorageBytes: number;
  /** Of a buffer that a shader reads or writes, as far as one binding reaches. */
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

/** What every WebGPU device has. */
export const PORTABLE: Target = { device: "portable", subgroups: null, f16: false, limits: DEFAULT_LIMITS };

/** How floats lie in memory: as f32, or, of weights and of what kernels hand to kernels, as f16 where that may be. Kernels compute in f32 either way. */
export const PRECISIONS = ["f32", "f16"] as const;
/** What weights are stored in: as it is, or in two bytes a value where kernels can read them so. All arithmetic stays f32. */
export const WEIGHT_PRECISIONS = ["f32", "f16", "bf16"] as const;
export type WeightPrecision = (typeof WEIGHT_PRECISIONS)[number];
export type Precision = (typeof PRECISIONS)[number];

/** What every device has for which a program of such precision can be compiled. */
export const portable = (precision: Precision = "f32"): Target => (precision === "f16" ? { ...PORTABLE, f16: true } : PORTABLE);

/** Features of WebGPU that kernels may use. */
export const FEATURES = ["subgroups", "shader-f16"] as const;
export type Feature = (typeof FEATURES)[number];

/** What a device must have for the kernels of a program. */
export interface Requirements {
  /** Sorted, each once. */
  readonly features: readonly Feature[];
  /** The width every subgroup must have; null where no kernel relies on it. */
  readonly subgroupSize: number | null;
}

/** A program asks for what its target does not have. */
export class TargetError extends Error {
  override readonly name = "TargetError";
  constructor(
    message: string,
    readonly hint: string | null = null,
  ) {
    super(message);
  }
}
