// What is known of a device: what may be asked for, what an adapter says of itself, its features and limits.
import { NoDeviceError } from "./errors.js";
import type { WaitMode } from "./wait.js";

/**
 * `gpu`: hardware. `software`: a processor that plays a GPU: Mesa's lavapipe where it is installed, else SwiftShader.
 * `swiftshader`: that one, whatever else there is.
 */
export type DeviceKind = "gpu" | "software" | "swiftshader";

export interface OpenDeviceOptions {
  /**
   * What the device must be. Without it, in Node the environment variable MODC_DEVICE decides, else hardware comes
   * first.
   */
  readonly kind?: DeviceKind;
  /** Your own device; nothing else is opened, and `destroy` leaves it alone. */
  readonly device?: GPUDevice;
  /**
   * Whether SwiftShader may be unpacked from an installed npm package where no driver is found. Default true, or false
   * where MODC_NO_FALLBACK is set.
   */
  readonly fallback?: boolean;
  /**
   * Whether, on a software device, kernels that are compiled sooner stand in for faster ones until those pay, with the
   * same bits. False for who measures or tests kernels, or knows that they will run for long. Default true.
   */
  readonly spare?: boolean;
}

export interface DeviceInfo {
  /** As the driver calls it: `llvmpipe`, `NVIDIA H100`. */
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  /** Name and version of the driver, as far as it tells. */
  readonly driver: string;
  /** True where the device shares the processor with this program. */
  readonly software: boolean;
  /** Smallest and largest width of a subgroup; null where there are none or nobody says. */
  readonly subgroups: readonly [number, number] | null;
  /** Enabled features, sorted. */
  readonly features: readonly string[];
  readonly limits: Readonly<Record<DeviceLimit, number>>;
}

/** Limits a compiled program may meet. */
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

/** What the platform part found: an adapter and the objects that must outlive the device. */
export interface OpenedAdapter {
  readonly adapter: GPUAdapter;
  readonly keep: readonly unknown[];
  /** How to wait on it: see `wait.ts`. */
  readonly waitFor: (software: boolean) => WaitMode;
}

/** Whether the adapter is a processor that plays a GPU. */
export const isSoftware = (info: GPUAdapterInfo): boolean =>
  info.isFallbackAdapter ||
  /llvmpipe|lavapipe|swiftshader|softpipe|basic render/i.test(
    `${info.description} ${info.device} ${info.architecture}`,
  );

/** A short name: the description up to the driver's version, or what else the adapter says. */
export function nameOf(info: GPUAdapterInfo): string {
  const words = info.description.split(/[:(]| driver\b/)[0]!.trim();
  return words || info.device || info.architecture || info.vendor || "unknown adapter";
}

/** The error where hardware was asked for and only software found. */
export const softwareOnly = (info: GPUAdapterInfo): NoDeviceError =>
  new NoDeviceError(`no hardware GPU was found, only ${nameOf(info)}`, {
    hint: "install the driver of your GPU, or ask for a software device",
  });
