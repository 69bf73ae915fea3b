// Types of devices: options for opening one, and its name, features and limits.
import type { MatrixShape } from "../program/target.js";
import { NoDeviceError } from "./errors.js";
import type { SelfTest } from "./self-test.js";
import type { WaitMode } from "./wait.js";

/**
 * `gpu`: hardware. `software`: a GPU emulated on the processor: Mesa's lavapipe if it is installed, else SwiftShader.
 * `swiftshader`: SwiftShader even if there are other devices.
 */
export type DeviceKind = "gpu" | "software" | "swiftshader";

export interface OpenDeviceOptions {
  /**
   * The kind of device required. Default: in Node the environment variable MODC_DEVICE; if it is unset, hardware if
   * there is any.
   */
  readonly kind?: DeviceKind;
  /** The caller's own device. No other device is opened, and `destroy` does not destroy it. */
  readonly device?: GPUDevice;
  /**
   * Whether SwiftShader may be unpacked from an installed npm package if no driver is found. Default true, or false if
   * MODC_NO_FALLBACK is set.
   */
  readonly fallback?: boolean;
  /**
   * Whether a software device may use kernels that compile faster in place of kernels that run faster, until compiling
   * the latter pays off. Results have the same bits. Set false to measure or test kernels, or for long runs. Default
   * true.
   */
  readonly spare?: boolean;
  /**
   * Whether to avoid the features that some GPU drivers get wrong: 16-bit floats and matrix units. Otherwise Node
   * requests them after a self-test in a separate process has passed. Default false, or true if MODC_SAFE is set.
   */
  readonly safe?: boolean;
  /** In Node, whether to rerun the self-test, on a software device too, whatever its stored result. Default false. */
  readonly retest?: boolean;
  /** Called with one line if a self-test fails. Default: Node's process warning. */
  readonly warn?: (text: string) => void;
  /** In Node, the manifest of a Vulkan driver: only this driver's device is opened. */
  readonly driver?: string;
  /** In Node, whether to request 16-bit floats without a self-test. No effect if `safe` is set. Default false. */
  readonly f16?: boolean;
  /**
   * In Node, whether to request matrix units without a self-test, for tests of the kernels that use them. Software
   * devices have no matrix units. No effect if `safe` is set. Default false.
   */
  readonly matrices?: boolean;
  /**
   * In Node, the number of threads of Mesa's software device, for a program that interrupts them often: each kernel is
   * split over the threads and waits for the slowest. Takes effect for the first device that the process opens, unless
   * LP_NUM_THREADS is set. Default: one thread per processor.
   */
  readonly threads?: number;
}

export interface DeviceInfo {
  /** The driver's name for it: `llvmpipe`, `NVIDIA H100`. */
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  /** Name and version of the driver, if it reports them. */
  readonly driver: string;
  /** Whether the device shares the processor with this program. */
  readonly software: boolean;
  /** Smallest and largest subgroup size; null if there are no subgroups or the sizes are unknown. */
  readonly subgroups: readonly [number, number] | null;
  /** Enabled features, WGSL features that kernels may use, and forms that passed a self-test, sorted. */
  readonly features: readonly string[];
  /** The products that its matrix units compute; empty if it has no matrix units or they were not requested. */
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
  /** The `TESTED_FEATURES` that may be requested; null: 16-bit floats if the device is software, else none. */
  readonly proven: readonly string[] | null;
  /** The result of a self-test, new or stored; null: no self-test was needed, or none is available here. */
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

/** A short name: the description without the driver's version; without a description, the architecture or vendor. */
export function nameOf(info: GPUAdapterInfo): string {
  const words = info.description.split(/[:(]| driver\b/)[0]!.trim();
  return words || info.device || info.architecture || info.vendor || "unknown adapter";
}

/** The error if hardware was required but only a software device was found. */
export const softwareOnly = (info: GPUAdapterInfo): NoDeviceError =>
  new NoDeviceError(`no hardware GPU was found, only ${nameOf(info)}`, {
    hint: "install the driver of your GPU, or ask for a software device",
  });
