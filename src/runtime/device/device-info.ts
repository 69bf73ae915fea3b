// Types of devices: options for opening one, and its name, features and limits.
import type { MatrixShape } from "../program/target.js";
import { NoDeviceError } from "./errors.js";
import type { SelfTest } from "./self-test.js";
import type { WaitMode } from "./wait.js";

/**
 * `gpu`: hardware. `software`: a GPU emulated on the processor: Mesa's lavapipe where it is installed, else
 * SwiftShader. `swiftshader`: SwiftShader even if there are others.
 */
export type DeviceKind = "gpu" | "software" | "swiftshader";

export interface OpenDeviceOptions {
  /**
   * The kind of device required. Default: in Node the environment variable MODC_DEVICE; without it, hardware if there
   * is any.
   */
  readonly kind?: DeviceKind;
  /** Your own device. No other is opened, and `destroy` does not destroy it. */
  readonly device?: GPUDevice;
  /**
   * Whether SwiftShader may be unpacked from an installed npm package where no driver is found. Default true, or false
   * where MODC_NO_FALLBACK is set.
   */
  readonly fallback?: boolean;
  /**
   * Whether a software device may use kernels that compile faster in place of kernels that run faster, until compiling
   * the latter pays off. Results have the same bits. Set false to measure or test kernels, or for long runs. Default
   * true.
   */
  readonly spare?: boolean;
  /**
   * Whether to do without the features of a GPU that drivers are known to get wrong, 16-bit floats and matrix units. In
   * Node they are otherwise asked for once a self-test in a process of its own has passed. Default false, or true where
   * MODC_SAFE is set.
   */
  readonly safe?: boolean;
  /** In Node whether that self-test runs anew, on a software device too, whatever it found before. Default false. */
  readonly retest?: boolean;
  /** Told in one line where a self-test fails. Default: a warning of Node's. */
  readonly warn?: (text: string) => void;
  /** In Node the manifest of a Vulkan driver, of which the device is to be; no other is asked. */
  readonly driver?: string;
  /** In Node whether 16-bit floats are asked for without a self-test. Without effect where `safe` is. Default false. */
  readonly f16?: boolean;
  /**
   * In Node whether matrix units are asked for without a self-test, which a software device has none of: for tests of
   * the kernels that use them. Without effect where `safe` is. Default false.
   */
  readonly matrices?: boolean;
  /**
   * In Node the threads of Mesa's software device, for a program that interrupts them often: a kernel is shared out
   * among them, and waits for the last. Counts for the first device that the process opens, and where LP_NUM_THREADS is
   * not set. Default: one for each processor.
   */
  readonly threads?: number;
}

export interface DeviceInfo {
  /** The driver's name for it: `llvmpipe`, `NVIDIA H100`. */
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  /** Name and version of the driver, where it reports them. */
  readonly driver: string;
  /** True where the device shares the processor with this program. */
  readonly software: boolean;
  /** Smallest and largest subgroup size; null where there are no subgroups or the sizes are unknown. */
  readonly subgroups: readonly [number, number] | null;
  /** Enabled features, those of WGSL that kernels may use, and forms that a self-test has proven, sorted. */
  readonly features: readonly string[];
  /** What its matrix units compute; empty where it has none or was not asked for them. */
  readonly matrices: readonly MatrixShape[];
  readonly limits: Readonly<Record<DeviceLimit, number>>;
}

/** The limits that a compiled program may reach. */
export const DEVICE_LIMITS = [
  "maxStorageBuffersPerShaderStage",
  "maxBindingsPerBindGroup",
  "maxStorageBufferBindingSize",
  "maxUniformBufferBindingSize",
  "maxBufferSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
  "minUniformBufferOffsetAlignment",
  "minStorageBufferOffsetAlignment",
] as const;
export type DeviceLimit = (typeof DEVICE_LIMITS)[number];

/** An adapter as Node or a page opens it, with the objects that must outlive the device. */
export interface OpenedAdapter {
  readonly adapter: GPUAdapter;
  /** Those of `TESTED_FEATURES` that may be asked for; null: 16-bit floats of a software device. */
  readonly proven: readonly string[] | null;
  /** What a self-test found that was run or kept; null: it was not needed, or there is none here. */
  readonly selfTest: SelfTest | null;
  readonly gpu: GPU;
  /** How to wait for the device: see `wait.ts`. */
  readonly waitFor: (software: boolean) => WaitMode;
}

/** Whether the adapter is emulated on the processor. */
export const isSoftware = (info: GPUAdapterInfo): boolean =>
  info.isFallbackAdapter ||
  /llvmpipe|lavapipe|swiftshader|softpipe|basic render/i.test(
    `${info.description} ${info.device} ${info.architecture}`,
  );

/** A short name: the description without the driver's version, else the architecture or vendor. */
export function nameOf(info: GPUAdapterInfo): string {
  const words = info.description.split(/[:(]| driver\b/)[0]!.trim();
  return words || info.device || info.architecture || info.vendor || "unknown adapter";
}

/** The error where hardware was required and only a software device found. */
export const softwareOnly = (info: GPUAdapterInfo): NoDeviceError =>
  new NoDeviceError(`no hardware GPU was found, only ${nameOf(info)}`, {
    hint: "install the driver of your GPU, or ask for a software device",
  });
