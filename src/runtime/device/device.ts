// The device: a GPUDevice with the objects that must live as long as the device, and its description.
import { MATRIX_VECTORS, PINS, type Target, type DeviceClass } from "../program/target.js";
import {
  DEVICE_LIMITS,
  isSoftware,
  nameOf,
  softwareOnly,
  type DeviceInfo,
  type DeviceLimit,
  type OpenDeviceOptions,
  type OpenedAdapter,
} from "./device-info.js";
import { DeviceLostError, NoDeviceError } from "./errors.js";
import { living } from "./living.js";
import { matricesOf } from "./matrices.js";
import { F16, MATRICES, type SelfTest } from "./self-test.js";
import { languageFeatures, textureTarget } from "./held-textures.js";
import { settle, type WaitMode } from "./wait.js";

/** Features that are requested if the adapter has them, in addition to features that passed a self-test. */
const WANTED_FEATURES: readonly string[] = ["timestamp-query", "subgroups"];

export class Device {
  readonly gpu: GPUDevice;
  readonly info: DeviceInfo;
  readonly waitMode: WaitMode;
  /** The result of the features' self-test; null if none was needed. */
  readonly selfTest: SelfTest | null;
  /** Whether the compilation of kernels may be avoided: see `OpenDeviceOptions.spare`. */
  readonly spares: boolean;
  /** Resolves when the device is lost; never rejects. */
  readonly lost: Promise<DeviceLostError>;
  /** Messages of errors that no error scope caught, oldest first, at most 100. */
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
    readonly selfTest?: SelfTest | null;
  }) {
    this.gpu = parts.gpu;
    this.info = parts.info;
    this.waitMode = parts.waitMode;
    this.selfTest = parts.selfTest ?? null;
    this.spares = parts.info.software && (parts.spare ?? true);
    this.#keep = parts.keep;
    this.#owned = parts.owned;
    const messages: string[] = [];
    this.uncaptured = messages;
    if (parts.owned) {
      living.add(this);
      // Unless a listener prevents the default, Dawn prints to stdout.
      parts.gpu.addEventListener("uncapturederror", (event) => {
        event.preventDefault();
        if (messages.length < 100) messages.push(event.error.message);
      });
    }
    this.lost = parts.gpu.lost.then((info) =>
      this.#lose(info.reason === "destroyed" ? "destroyed" : "unknown", info.message),
    );
  }

  /** The target to compile programs for this device with. */
  get target(): Target {
    const { features, subgroups, matrices, limits } = this.info;
    return {
      device: classOf(this.info),
      subgroups,
      ...(subgroups !== null && subgroups[0] < subgroups[1] && features.includes(PINS) && { pins: true }),
      f16: features.includes("shader-f16"),
      ...(matrices.length > 0 && { matrices }),
      ...(matrices.length > 0 && features.includes(MATRIX_VECTORS) && { matrixVectors: true }),
      ...textureTarget(features),
      limits: {
        storageBuffersPerStage: limits.maxStorageBuffersPerShaderStage,
        invocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
        workgroupStorageBytes: limits.maxComputeWorkgroupStorageSize,
        storageBindingBytes: limits.maxStorageBufferBindingSize,
        bufferBytes: limits.maxBufferSize,
      },
    };
  }

  /** The error if the device is lost, else null. */
  get lostError(): DeviceLostError | null {
    return this.#lostError;
  }

  /** Whether the objects that keep the device alive are still held. */
  get alive(): boolean {
    return this.#lostError === null && this.#keep.every((object) => object !== null);
  }

  /**
   * Calls `begin`, which synchronously starts an asynchronous call of the device; then waits for it without starving a
   * software device. Throws DeviceLostError once the device is lost.
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
      // A lost device aborts pending calls and rejects new ones before it resolves `lost`.
      const mayBeLost = error instanceof Error && (error.name === "AbortError" || error.name === "OperationError");
      if (mayBeLost) await Promise.race([this.lost, sleep(SURELY_LOST_MS)]);
      throw this.#lostError ?? error;
    } finally {
      this.#waiting.delete(lose);
    }
  }

  /**
   * Frees the device with all its buffers; pending runs fail with DeviceLostError. A device passed to `openDevice`
   * stays with its owner.
   */
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

/** Within this time after aborted or rejected calls, a lost device resolves `lost`, even on a busy machine. */
const SURELY_LOST_MS = 500;

/**
 * Opens the best device available: in Node through Dawn, in a page through `navigator.gpu`. If there is none, throws
 * NoDeviceError, which says what is missing and how to install it.
 */
export async function openDevice(options: OpenDeviceOptions = {}): Promise<Device> {
  if (options.device) return wrap(options.device, options.spare);
  const opened = await openAdapter(options);
  return request(opened, options.spare);
}

async function openAdapter(options: OpenDeviceOptions): Promise<OpenedAdapter> {
  const page = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
  if (page) return openPageAdapter(page, options);
  if (inNode()) {
    const node = await import("./device-node.js");
    return node.openNodeAdapter(options);
  }
  throw new NoDeviceError("this browser has no WebGPU", {
    hint: "use a current Chrome, Edge, Safari or Firefox, over https or localhost",
  });
}

export const inNode = (): boolean => typeof process !== "undefined" && typeof process.versions?.node === "string";

async function openPageAdapter(gpu: GPU, { kind, safe }: OpenDeviceOptions): Promise<OpenedAdapter> {
  const software = kind === "software" || kind === "swiftshader";
  const adapter = await gpu.requestAdapter(
    software ? { forceFallbackAdapter: true } : { powerPreference: "high-performance" },
  );
  if (!adapter)
    throw new NoDeviceError(`this browser offers no ${software ? "software " : ""}GPU adapter`, {
      hint: "switch hardware acceleration on in the browser's settings",
    });
  if (kind === "gpu" && isSoftware(adapter.info)) throw softwareOnly(adapter.info);
  // A browser itself withholds features that its driver is known to get wrong.
  return {
    adapter,
    proven: safe ? [] : [F16],
    selfTest: null,
    gpu,
    waitFor: () => "native",
  };
}

async function request(
  { adapter, proven, selfTest, gpu: root, waitFor }: OpenedAdapter,
  spare: boolean | undefined,
): Promise<Device> {
  const requiredLimits: Record<string, number> = {};
  for (const name of DEVICE_LIMITS) requiredLimits[name] = adapter.limits[name];
  const safe = proven ?? (isSoftware(adapter.info) ? [F16] : []);
  const requiredFeatures = [...WANTED_FEATURES, ...safe].filter((f) => adapter.features.has(f)) as GPUFeatureName[];
  let gpu: GPUDevice;
  try {
    gpu = await adapter.requestDevice({ requiredFeatures, requiredLimits, label: "modc" });
  } catch (cause) {
    throw new NoDeviceError(`${nameOf(adapter.info)} refused to open: ${messageOf(cause)}`, { cause });
  }
  const forms = gpu.features.has(MATRICES) && safe.includes(MATRIX_VECTORS) ? [MATRIX_VECTORS] : [];
  const info = describe(gpu, adapter.info, languageFeatures(root), forms);
  const waitMode = waitFor(info.software);
  return new Device({ gpu, info, waitMode, keep: [root, adapter], owned: true, spare, selfTest });
}

function wrap(gpu: GPUDevice, spare: boolean | undefined): Device {
  // Older implementations do not have `adapterInfo`.
  const adapterInfo = (gpu as { adapterInfo?: GPUAdapterInfo }).adapterInfo ?? null;
  const info = describe(gpu, adapterInfo);
  return new Device({
    gpu,
    info,
    waitMode: info.software && inNode() ? "backoff" : "native",
    keep: [],
    owned: false,
    spare,
  });
}

function describe(
  gpu: GPUDevice,
  adapter: GPUAdapterInfo | null,
  language: readonly string[] = [],
  forms: readonly string[] = [],
): DeviceInfo {
  const limits = Object.fromEntries(DEVICE_LIMITS.map((name) => [name, gpu.limits[name]])) as Record<
    DeviceLimit,
    number
  >;
  const min = adapter?.subgroupMinSize ?? 0;
  const max = adapter?.subgroupMaxSize ?? 0;
  return {
    name: adapter ? nameOf(adapter) : "unknown adapter",
    vendor: adapter?.vendor ?? "",
    architecture: adapter?.architecture ?? "",
    driver: adapter?.description ?? "",
    software: adapter !== null && isSoftware(adapter),
    subgroups: gpu.features.has("subgroups") && min > 0 && max > 0 ? [min, max] : null,
    features: [...gpu.features, ...language, ...forms].map(String).sort(),
    matrices: adapter !== null && gpu.features.has(MATRICES) ? matricesOf(adapter) : [],
    limits,
  };
}

const sleep = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

/** The properties of an adapter that determine its class. */
type Identity = Pick<DeviceInfo, "name" | "driver" | "software" | "subgroups"> & {
  readonly limits: Pick<DeviceInfo["limits"], "maxComputeInvocationsPerWorkgroup" | "maxComputeWorkgroupStorageSize">;
};

/**
 * A GPU is discrete if all its subgroups are wide and its workgroups large, as the tunings of large GPUs require,
 * whatever its memory; it is integrated if subgroup sizes vary or workgroups are smaller. A GPU that reports no
 * subgroup sizes is `portable`.
 */
export function classOf({ name, driver, software, subgroups, limits }: Identity): DeviceClass {
  if (software) return /llvmpipe|lavapipe/i.test(`${name} ${driver}`) ? "mesa-software" : "swiftshader";
  if (subgroups === null) return "portable";
  const large = limits.maxComputeInvocationsPerWorkgroup >= 1024 && limits.maxComputeWorkgroupStorageSize >= 32_768;
  return subgroups[0] >= 32 && large ? "discrete" : "integrated";
}
