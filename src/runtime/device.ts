// The device: a GPUDevice with everything that must live as long as it, and what is known of it.
import type { Target } from "../program/target.js";
import { classOf } from "./device-class.js";
import { DeviceLostError, NoDeviceError } from "./errors.js";
import { living } from "./living.js";
import { settle, type WaitMode } from "./wait.js";

/**
 * `gpu`: hardware. `software`: a processor that plays a GPU: Mesa's lavapipe where it is installed, else SwiftShader.
 * `swiftshader`: that one, whatever else there is.
 */
export type DeviceKind = "gpu" | "software" | "swiftshader";

export interface OpenDeviceOptions {
  /** What the device must be. Without it, in Node the environment variable MODC_DEVICE decides, else hardware comes first. */
  readonly kind?: DeviceKind;
  /** Your own device; nothing else is opened, and `destroy` leaves it alone. */
  readonly device?: GPUDevice;
  /** Whether SwiftShader may be unpacked from an installed npm package where no driver is found. Default true, or false where MODC_NO_FALLBACK is set. */
  readonly fallback?: boolean;
  /**
   * Whether, on a software device, kernels that are compiled sooner stand in for faster ones until those pay, with the same bits. False for who measures or tests kernels, or knows
   * that they will run for long. Default true.
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

/** Features asked for wherever the adapter has them. */
const WANTED_FEATURES: readonly string[] = ["timestamp-query", "shader-f16", "subgroups", "subgroup-size-control"];

/** What the platform part found: an adapter and the objects that must outlive the device. */
export interface OpenedAdapter {
  readonly adapter: GPUAdapter;
  readonly keep: readonly unknown[];
  /** How to wait on it: see `wait.ts`. */
  readonly waitFor: (software: boolean) => WaitMode;
}

export class Device {
  readonly gpu: GPUDevice;
  readonly info: DeviceInfo;
  readonly waitMode: WaitMode;
  /** Whether kernels may be spared their compilation: see `OpenDeviceOptions.spare`. */
  readonly spares: boolean;
  /** Resolves, and never rejects, when the device is gone. */
  readonly lost: Promise<DeviceLostError>;
  /** Messages of errors that no scope caught, oldest first, at most 100. */
  readonly uncaptured: readonly string[];
  readonly #keep: readonly unknown[];
  readonly #owned: boolean;
  readonly #waiting = new Set<(lost: DeviceLostError) => void>();
  #lostError: DeviceLostError | null = null;

  constructor(parts: {
    readonly gpu: GPUDevice;
    readonly info: DeviceInfo;
    readonly waitMode: WaitMode;
    readonly keep: readonly unknown[];
    readonly owned: boolean;
    readonly spare?: boolean | undefined;
  }) {
    this.gpu = parts.gpu;
    this.info = parts.info;
    this.waitMode = parts.waitMode;
    this.spares = parts.info.software && (parts.spare ?? true);
    this.#keep = parts.keep;
    this.#owned = parts.owned;
    const messages: string[] = [];
    this.uncaptured = messages;
    if (parts.owned) {
      living.add(this);
      // Without a listener that prevents the default, Dawn prints to stdout.
      parts.gpu.addEventListener("uncapturederror", (event) => {
        event.preventDefault();
        if (messages.length < 100) messages.push(event.error.message);
      });
    }
    this.lost = parts.gpu.lost.then((info) => this.#lose(info.reason === "destroyed" ? "destroyed" : "unknown", info.message));
  }

  /** What to compile for, to have programs that fit this device. */
  get target(): Target {
    const { features, subgroups, limits } = this.info;
    return {
      device: classOf(this.info),
      subgroups,
      f16: features.includes("shader-f16"),
      limits: {
        storageBuffersPerStage: limits.maxStorageBuffersPerShaderStage,
        invocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
        workgroupStorageBytes: limits.maxComputeWorkgroupStorageSize,
        storageBindingBytes: limits.maxStorageBufferBindingSize,
        bufferBytes: limits.maxBufferSize,
      },
    };
  }

  /** The reason where the device is gone, else null. */
  get lostError(): DeviceLostError | null {
    return this.#lostError;
  }

  /** Whether the objects behind the device are still held. */
  get alive(): boolean {
    return this.#lostError === null && this.#keep.every((object) => object !== null);
  }

  /**
   * Starts an asynchronous call into the device, before it returns, and waits for it without starving a software device. Throws DeviceLostError once the
   * device is gone.
   */
  async wait<T>(begin: () => Promise<T>): Promise<T> {
    if (this.#lostError) throw this.#lostError;
    let lose: (lost: DeviceLostError) => void = () => {};
    const gone = new Promise<never>((_, reject) => {
      lose = reject;
    });
    this.#waiting.add(lose);
    try {
      return await Promise.race([settle(this.waitMode, begin), gone]);
    } catch (error) {
      // A lost device first aborts what is pending, and only then says that it is lost.
      if (error instanceof Error && error.name === "AbortError") await Promise.race([this.lost, sleep(50)]);
      throw this.#lostError ?? error;
    } finally {
      this.#waiting.delete(lose);
    }
  }

  /** Frees the device with all buffers on it; pending runs fail with DeviceLostError. A device given to `openDevice` stays its owner's. */
  destroy(): void {
    if (this.#owned) this.gpu.destroy();
    this.#lose("destroyed", "");
  }

  #lose(reason: "destroyed" | "unknown", message: string): DeviceLostError {
    this.#lostError ??= new DeviceLostError(reason, message);
    living.delete(this);
    for (const reject of this.#waiting) reject(this.#lostError);
    this.#waiting.clear();
    return this.#lostError;
  }
}

/**
 * Opens the best device there is: in Node through Dawn, in a page through `navigator.gpu`. Throws NoDeviceError, with what is missing
 * and how to get it, where there is none.
 */
export async function openDevice(options: OpenDeviceOptions = {}): Promise<Device> {
  if (options.device) return wrap(options.device, options.spare);
  const opened = await openAdapter(options);
  return request(opened, options.spare);
}

async function openAdapter(options: OpenDeviceOptions): Promise<OpenedAdapter> {
  const page = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
  if (page) return openPageAdapter(page, options.kind ?? null);
  if (inNode()) {
    const node = await import("./device-node.js");
    return node.openNodeAdapter(options);
  }
  throw new NoDeviceError("this browser has no WebGPU", { hint: "use a current Chrome, Edge, Safari or Firefox, over https or localhost" });
}

export const inNode = (): boolean => typeof process !== "undefined" && typeof process.versions?.node === "string";

async function openPageAdapter(gpu: GPU, kind: DeviceKind | null): Promise<OpenedAdapter> {
  const software = kind === "software" || kind === "swiftshader";
  const adapter = await gpu.requestAdapter(software ? { forceFallbackAdapter: true } : { powerPreference: "high-performance" });
  if (!adapter)
    throw new NoDeviceError(`this browser offers no ${software ? "software " : ""}GPU adapter`, {
      hint: "switch hardware acceleration on in the browser's settings",
    });
  if (kind === "gpu" && isSoftware(adapter.info)) throw softwareOnly(adapter.info);
  return { adapter, keep: [gpu], waitFor: () => "native" };
}

/** The error where hardware was asked for and only software found. */
export const softwareOnly = (info: GPUAdapterInfo): NoDeviceError =>
  new NoDeviceError(`no hardware GPU was found, only ${nameOf(info)}`, { hint: "install the driver of your GPU, or ask for a software device" });

async function request({ adapter, keep, waitFor }: OpenedAdapter, spare: boolean | undefined): Promise<Device> {
  const requiredLimits: Record<string, number> = {};
  for (const name of DEVICE_LIMITS) requiredLimits[name] = adapter.limits[name];
  const requiredFeatures = WANTED_FEATURES.filter((f) => adapter.features.has(f)) as GPUFeatureName[];
  let gpu: GPUDevice;
  try {
    gpu = await adapter.requestDevice({ requiredFeatures, requiredLimits, label: "modc" });
  } catch (cause) {
    throw new NoDeviceError(`${nameOf(adapter.info)} refused to open: ${messageOf(cause)}`, { cause });
  }
  const info = describe(gpu, adapter.info);
  return new Device({ gpu, info, waitMode: waitFor(info.software), keep: [...keep, adapter], owned: true, spare });
}

function wrap(gpu: GPUDevice, spare: boolean | undefined): Device {
  // An older implementation does not tell of which adapter a device is.
  const adapterInfo = (gpu as { adapterInfo?: GPUAdapterInfo }).adapterInfo ?? null;
  const info = describe(gpu, adapterInfo);
  return new Device({ gpu, info, waitMode: info.software && inNode() ? "backoff" : "native", keep: [], owned: false, spare });
}

function describe(gpu: GPUDevice, adapter: GPUAdapterInfo | null): DeviceInfo {
  const limits = Object.fromEntries(DEVICE_LIMITS.map((name) => [name, gpu.limits[name]])) as Record<DeviceLimit, number>;
  const min = adapter?.subgroupMinSize ?? 0;
  const max = adapter?.subgroupMaxSize ?? 0;
  return {
    name: adapter ? nameOf(adapter) : "unknown adapter",
    vendor: adapter?.vendor ?? "",
    architecture: adapter?.architecture ?? "",
    driver: adapter?.description ?? "",
    software: adapter !== null && isSoftware(adapter),
    subgroups: gpu.features.has("subgroups") && min > 0 && max > 0 ? [min, max] : null,
    features: [...gpu.features].map(String).sort(),
    limits,
  };
}

/** Whether the adapter is a processor that plays a GPU. */
export const isSoftware = (info: GPUAdapterInfo): boolean =>
  info.isFallbackAdapter || /llvmpipe|lavapipe|swiftshader|softpipe|basic render/i.test(`${info.description} ${info.device} ${info.architecture}`);

/** A short name: the description up to the driver's version, or what else the adapter says. */
export function nameOf(info: GPUAdapterInfo): string {
  const words = info.description.split(/[:(]| driver\b/)[0]!.trim();
  return words || info.device || info.architecture || info.vendor || "unknown adapter";
}

const sleep = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));
