// Opens a device in Node: Dawn through the `webgpu` package, with SwiftShader if no driver is found.
import { existsSync, readFileSync } from "node:fs";
import { basename, resolve } from "node:path";
import { importDawn } from "./dawn-node.js";
import {
  isSoftware,
  softwareOnly,
  nameOf,
  type DeviceKind,
  type OpenDeviceOptions,
  type OpenedAdapter,
} from "./device-info.js";
import { driverManifests } from "./drivers-node.js";
import { NoDeviceError } from "./errors.js";
import { ALL_FEATURES, TESTED_FEATURES, F16, failed, provenBy, wordsOf, type SelfTest } from "./self-test.js";
import { loadVulkan, SYSTEM_LOADER, SWIFTSHADER_PACKAGE, unpackSwiftShader } from "./swiftshader-node.js";
import type { WaitMode } from "./wait.js";
import type { Tested } from "./self-test-node.js";

/** The drivers that an instance of Dawn sees: the system's, Mesa's lavapipe only, or SwiftShader only. */
type Driver = "system" | "lavapipe" | "swiftshader";
/** Whether an instance of Dawn offers the features that Dawn considers unsafe, matrix units among them. */
type Safety = "safe" | "unsafe";

/** The package that provides Dawn to Node, in the tested version. */
export const DAWN_PACKAGE = "webgpu@0.6.2";
const KINDS = "it may be gpu, software or swiftshader";
const INSTALL = `npm install ${DAWN_PACKAGE}`;

// One instance (`create()`) for each driver and safety, since an instance loads drivers only once. Instances must stay
// referenced.
const instances = new Map<string, Promise<GPU>>();

/** An adapter of the requested kind. Throws NoDeviceError. */
export async function openNodeAdapter(options: OpenDeviceOptions): Promise<OpenedAdapter> {
  // Dawn first: without it no driver helps.
  await importDawn(INSTALL);
  const kind = options.kind ?? kindFromEnvironment();
  const fallback = options.fallback ?? !process.env["MODC_NO_FALLBACK"];
  const { driver } = options;
  const matrices = options.matrices === true && !isSafe(options);
  const find = (safety: Safety): Promise<FoundAdapter | null> =>
    driver === undefined ? findAdapter(kind, fallback, safety) : openDriver(driver, safety);
  const { threads } = options;
  const counted = threads === undefined || process.env["LP_NUM_THREADS"] ? {} : { LP_NUM_THREADS: String(threads) };
  const open = async (): Promise<OpenedAdapter> => {
    const found = await find(matrices ? "unsafe" : "safe");
    if (!found && driver !== undefined) throw new NoDeviceError(`the driver of ${driver} has no device`);
    if (!found) throw kind === "swiftshader" ? noSwiftShader() : noAdapter(kind);
    const { adapter } = found;
    if (kind === "gpu" && isSoftware(adapter.info)) throw softwareOnly(adapter.info);
    const { proven, selfTest } = matrices
      ? { proven: TESTED_FEATURES, selfTest: null }
      : await prove(adapter, found.env, options);
    const hidden = proven.some((feature) => !adapter.features.has(feature));
    const all = hidden ? await find("unsafe") : null;
    const best = all && isSame(adapter.info, all.adapter.info) ? all : found;
    const waitFor = (software: boolean): WaitMode => (software ? "backoff" : "native");
    return { adapter: best.adapter, proven, selfTest, gpu: best.gpu, waitFor };
  };
  return oneAtATime(() => withEnvironment(counted, open));
}

let last: Promise<unknown> = Promise.resolve();

/** Serializes concurrent requests: while an adapter is searched for, the environment names only its driver. */
function oneAtATime<T>(body: () => Promise<T>): Promise<T> {
  const result = last.then(body);
  last = result.catch(() => null);
  return result;
}

interface FoundAdapter {
  readonly adapter: GPUAdapter;
  readonly gpu: GPU;
  /** The environment in which the adapter's driver was found. */
  readonly env: NodeJS.ProcessEnv;
}

async function findAdapter(kind: DeviceKind | null, fallback: boolean, safety: Safety): Promise<FoundAdapter | null> {
  switch (kind) {
    case "swiftshader":
      return openSwiftShader();
    case "software":
      return (await openLavapipe(safety)) ?? (fallback ? openSwiftShader() : null);
    case "gpu":
      return askSystem(safety);
    case null:
      return (await askSystem(safety)) ?? (fallback ? openSwiftShader() : null);
    default:
      kind satisfies never;
      throw new NoDeviceError(`there is no kind of device ${String(kind)}`, { hint: KINDS });
  }
}

/**
 * Asks the system's drivers. Without any driver or loader Dawn is not asked, since it would print errors to standard
 * error although nothing is wrong.
 */
async function askSystem(safety: Safety): Promise<FoundAdapter | null> {
  return process.platform === "linux" && (driverManifests(process.env).length === 0 || !loadVulkan(SYSTEM_LOADER))
    ? null
    : ask("system", safety);
}

async function ask(driver: Driver | { readonly manifest: string }, safety: Safety): Promise<FoundAdapter | null> {
  const key = `${safety} ${typeof driver === "string" ? driver : driver.manifest}`;
  let instance = instances.get(key);
  if (!instance) instances.set(key, (instance = createInstance(safety)));
  const gpu = await instance;
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  return adapter && { adapter, gpu, env: { ...process.env } };
}

function kindFromEnvironment(): DeviceKind | null {
  const text = process.env["MODC_DEVICE"];
  if (!text) return null;
  if (text === "gpu" || text === "software" || text === "swiftshader") return text;
  throw new NoDeviceError(`MODC_DEVICE is ${JSON.stringify(text)}`, { hint: KINDS });
}

async function createInstance(safety: Safety): Promise<GPU> {
  const { create } = await importDawn(INSTALL);
  // Full timestamp resolution: by default Dawn quantizes to 65.5 µs.
  const toggles = ["disable-dawn-features=timestamp_quantization"];
  return create(safety === "safe" ? toggles : [...toggles, ALL_FEATURES]);
}

/** The adapter of Mesa's software driver; null if the driver is not installed. */
async function openLavapipe(safety: Safety): Promise<FoundAdapter | null> {
  const manifest = lavapipeManifest();
  const adapter =
    manifest === null || !loadVulkan(SYSTEM_LOADER) ? null : await withDriver(manifest, () => ask("lavapipe", safety));
  return adapter && isSoftware(adapter.adapter.info) ? adapter : null;
}

/** The manifest of Mesa's lavapipe if it is installed, even if the environment names other drivers. */
function lavapipeManifest(): string | null {
  if (process.platform !== "linux") return null;
  const { VK_DRIVER_FILES: _files, VK_ICD_FILENAMES: _names, ...env } = process.env;
  return driverManifests(env).find((path) => /^lvp_icd.*\.json$/.test(basename(path))) ?? null;
}

/** The adapter of this manifest's driver only; null if the driver has none. */
async function openDriver(manifest: string, safety: Safety): Promise<FoundAdapter | null> {
  const path = resolve(manifest);
  if (!existsSync(path)) throw new NoDeviceError(`there is no driver's manifest ${manifest}`);
  return loadVulkan(SYSTEM_LOADER) ? withDriver(path, () => ask({ manifest: path }, safety)) : null;
}

/** The adapter of SwiftShader; null if SwiftShader is not available on this machine. */
async function openSwiftShader(): Promise<FoundAdapter | null> {
  const shader = unpackSwiftShader();
  if (!shader) return null;
  // If the system has no Vulkan loader, the loader in the driver's folder is used.
  return loadVulkan(SYSTEM_LOADER) || loadVulkan(shader.loader)
    ? withDriver(shader.manifest, () => ask("swiftshader", "safe"))
    : null;
}

/** Runs `body` with only this driver's manifest visible to the Vulkan loader, then restores the environment. */
const withDriver = <T>(manifest: string, body: () => Promise<T>): Promise<T> =>
  withEnvironment({ VK_DRIVER_FILES: manifest, VK_ICD_FILENAMES: manifest }, body);

/**
 * Runs `body` with these environment variables, which drivers read when they are loaded, then restores the earlier
 * values.
 */
async function withEnvironment<T>(variables: Readonly<Record<string, string>>, body: () => Promise<T>): Promise<T> {
  const before = Object.keys(variables).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, variables);
  try {
    return await body();
  } finally {
    for (const [name, value] of before)
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
  }
}

function noAdapter(kind: "gpu" | "software" | null): NoDeviceError {
  const what =
    kind === "gpu"
      ? "no hardware GPU with a Vulkan, Metal or Direct3D 12 driver was found"
      : "no GPU and no software device was found";
  return new NoDeviceError(what, { hint: mendingCommand(kind) });
}

const noSwiftShader = (): NoDeviceError =>
  process.platform === "linux" && process.arch === "x64"
    ? new NoDeviceError(`SwiftShader was not found: it comes with ${SWIFTSHADER_PACKAGE}`, {
        hint: `npm install --no-save ${SWIFTSHADER_PACKAGE}`,
      })
    : new NoDeviceError(`SwiftShader runs on Linux x64 only, this is ${process.platform} ${process.arch}`);

/** The command that installs a device on this machine. */
export function mendingCommand(kind: "gpu" | "software" | null): string {
  if (kind === "gpu") return "install the driver of your GPU";
  if (process.platform !== "linux")
    return process.platform === "win32"
      ? "install a driver with Direct3D 12"
      : "a Mac needs macOS 11 or later for Metal";
  const root = process.getuid?.() === 0 ? "" : "sudo ";
  const system = linuxFamily();
  if (/debian|ubuntu/.test(system))
    return `${root}apt-get install -y --no-install-recommends libvulkan1 mesa-vulkan-drivers`;
  if (/fedora|rhel/.test(system)) return `${root}dnf install -y vulkan-loader mesa-vulkan-drivers`;
  if (/arch/.test(system)) return `${root}pacman -S --noconfirm vulkan-icd-loader vulkan-swrast`;
  if (/suse/.test(system)) return `${root}zypper install -y libvulkan1 libvulkan_lvp`;
  return process.arch === "x64" ? `npm install --no-save ${SWIFTSHADER_PACKAGE}` : "install Mesa's Vulkan drivers";
}

/** ID and ID_LIKE of /etc/os-release; empty if the file cannot be read. */
function linuxFamily(): string {
  try {
    return readFileSync("/etc/os-release", "utf8")
      .split("\n")
      .filter((line) => /^ID(_LIKE)?=/.test(line))
      .join(" ");
  } catch {
    return ""; // not every system has this file
  }
}

interface Proven {
  readonly proven: readonly string[];
  readonly selfTest: SelfTest | null;
}

/** Whether to avoid the features that some GPU drivers get wrong. */
const isSafe = ({ safe = Boolean(process.env["MODC_SAFE"]) }: Pick<OpenDeviceOptions, "safe">): boolean => safe;

/**
 * The features that may be requested. A software device lists 16-bit floats only if they work, and has no matrix units
 * unless the instance of Dawn enables them: it is tested only if `retest` is set. A GPU is tested once for each version
 * of its driver and of Dawn; a failed verdict is reported when it is found.
 */
export async function prove(adapter: GPUAdapter, env: NodeJS.ProcessEnv, options: OpenDeviceOptions): Promise<Proven> {
  const { retest = false, warn = emitWarning } = options;
  if (isSafe(options)) return { proven: [], selfTest: null };
  if (options.f16 === true) return { proven: [F16], selfTest: null };
  const { info } = adapter;
  if (isSoftware(info) && !(retest && adapter.features.has(F16))) return { proven: [F16], selfTest: null };
  const { storedResult } = await import("./self-test-node.js");
  const selfTest = (retest ? null : storedResult(info, env)) ?? (await test(info, env, warn));
  return { proven: selfTest === null ? [] : provenBy(selfTest), selfTest };
}

/** Runs the test and stores its result; null if the test did not reach this adapter. */
async function test(
  info: GPUAdapterInfo,
  env: NodeJS.ProcessEnv,
  warn: (text: string) => void,
): Promise<SelfTest | null> {
  const { attempt, storeResult } = await import("./self-test-node.js");
  const say = (what: string): void =>
    warn(
      `the self-test of ${nameOf(info)} ${what}: modc does not use the untested features; \`modc doctor\` tests again`,
    );
  const attempted = await attempt(env);
  if (attempted === null || (attempted.adapter !== null && !isSame(info, attempted.adapter))) {
    say(attempted === null ? "cannot be started" : "found another device");
    return null;
  }
  storeResult(info, attempted.test, env);
  if (failed(attempted.test)) say(`failed (${wordsOf(attempted.test)})`);
  return attempted.test;
}

const emitWarning = (text: string): void => process.emitWarning(text, "ModcWarning");

type Named = Pick<Tested, "vendor" | "device" | "description">;

/** Whether two instances of Dawn found the same adapter. */
const isSame = (a: Named, b: Named): boolean =>
  a.vendor === b.vendor && a.device === b.device && a.description === b.description;
