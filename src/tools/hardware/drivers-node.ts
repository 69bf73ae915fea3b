// Drivers and layer of the null devices: the packages to install, and the environment of a process whose Vulkan device
// is a GPU that the machine does not have.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { layerFiles } from "../../ground/embedded.js";
import { userCache } from "../../ground/files/cache-node.js";
import { driverManifests } from "../../runtime/device/drivers-node.js";
import { NoDeviceError } from "../../runtime/device/errors.js";
import type { Gpu } from "./isa/cards.js";

export type Environment = Readonly<Record<string, string | undefined>>;

const INSTALL = "apt-get install -y --no-install-recommends gcc libc6-dev libvulkan1 libvulkan-dev mesa-vulkan-drivers";

/** Mesa's ANV and its stub of the kernel driver, as scripts/mesa-intel.mjs builds them. */
const INTEL_LIBRARIES = { driver: "libvulkan_intel.so", stub: "libintel_noop_drm_shim.so" };
export const INTEL_HINT =
  "in a checkout of modc `node scripts/mesa-intel.mjs` builds it from Debian's source; MODC_INTEL_DRIVER names " +
  "another folder that has it; the driver loads libdrm2, libexpat1, libzstd1 and zlib1g";

function intelFolder(env: Environment): string | null {
  const folder = env["MODC_INTEL_DRIVER"]
    ? resolve(env["MODC_INTEL_DRIVER"])
    : join(userCache(env), "mesa-intel-25.0.7");
  return Object.values(INTEL_LIBRARIES).every((name) => existsSync(join(folder, name))) ? folder : null;
}

/** Why this machine cannot open a null device of the vendor, with the packages to install; null if it can. */
export function missingForNullDevice(env: Environment, vendor: Gpu["vendor"] = "AMD"): NoDeviceError | null {
  const lacks = (what: string, hint = INSTALL): NoDeviceError => new NoDeviceError(what, { hint });
  if (process.platform !== "linux")
    return lacks("only Linux has drivers that open cards without hardware", "use Linux");
  if (vendor === "AMD" && radvManifest(env) === null)
    return lacks("Mesa's RADV, the driver of AMD's cards, is not installed");
  if (vendor === "Intel" && intelFolder(env) === null)
    return lacks("Mesa's driver for Intel GPUs, with the stub kernel driver, is not installed", INTEL_HINT);
  if (spawnSync(compilerOf(env), ["--version"], { stdio: "ignore" }).status !== 0)
    return lacks(`there is no C compiler \`${compilerOf(env)}\`; the Vulkan layer needs one`);
  return null;
}

const compilerOf = (env: Environment): string => env["CC"] || "cc";

function radvManifest(env: Environment): string | null {
  const { VK_DRIVER_FILES: _files, VK_ICD_FILENAMES: _names, ...rest } = env;
  return driverManifests(rest).find((path) => /^radeon_icd.*\.json$/.test(basename(path))) ?? null;
}

/** The folder of the compiled layer, in the user's cache. The layer is compiled once for each version of its source. */
function layerFolder(env: Environment): string {
  const source = layerFiles["layer.c"]!;
  const version = createHash("sha256").update(source).digest("hex").slice(0, 16);
  const folder = join(userCache(env), "hardware", version);
  if (existsSync(join(folder, "layer.json"))) return folder;
  const fresh = `${folder}-${process.pid}`;
  mkdirSync(fresh, { recursive: true });
  writeFileSync(join(fresh, "layer.c"), source);
  const { status, stderr } = spawnSync(
    compilerOf(env),
    ["-O2", "-shared", "-fPIC", "-o", join(fresh, "libmodc_layer.so"), join(fresh, "layer.c"), "-lpthread"],
    { encoding: "utf8" },
  );
  if (status !== 0) {
    rmSync(fresh, { recursive: true, force: true });
    const headers = /vulkan\/\w+\.h/.test(stderr ?? "");
    throw new NoDeviceError(
      headers
        ? "the headers of Vulkan are not installed"
        : `the layer cannot be compiled: ${(stderr ?? "").split("\n")[0]!}`,
      { hint: INSTALL },
    );
  }
  const layer = {
    name: "VK_LAYER_MODC_null",
    type: "GLOBAL",
    api_version: "1.4.0",
    library_path: "./libmodc_layer.so",
    implementation_version: "1",
    description: "a driver without hardware",
  };
  writeFileSync(join(fresh, "layer.json"), JSON.stringify({ file_format_version: "1.2.0", layer }));
  try {
    renameSync(fresh, folder);
  } catch (error) {
    // Another process compiled the layer first.
    if (!existsSync(join(folder, "layer.json"))) throw error;
    rmSync(fresh, { recursive: true, force: true });
  }
  return folder;
}

/** The environment of a process whose Vulkan device is the GPU. The compiler's reports go to the folder `out`. */
export function nullEnvironment(
  gpu: Gpu,
  out: string,
  env: Environment,
  { commands = false }: { readonly commands?: boolean } = {},
): NodeJS.ProcessEnv {
  const missing = missingForNullDevice(env, gpu.vendor);
  if (missing) throw missing;
  const layer = layerFolder(env);
  mkdirSync(join(out, "code"), { recursive: true });
  const inherited = Object.entries(env).filter(([name]) => !/^(VK_|RADV_|MESA_|MODC_|INTEL_|LD_PRELOAD)/.test(name));
  return {
    ...Object.fromEntries(inherited),
    ...(gpu.vendor === "AMD"
      ? { RADV_FORCE_FAMILY: gpu.id, VK_DRIVER_FILES: radvManifest(env)! }
      : intelEnvironment(gpu, out, intelFolder(env)!)),
    VK_ADD_LAYER_PATH: layer,
    VK_LOADER_LAYERS_ENABLE: "VK_LAYER_MODC_null",
    MESA_SHADER_CACHE_DISABLE: "1",
    XDG_RUNTIME_DIR: env["XDG_RUNTIME_DIR"] ?? out,
    MODC_LAYER_LOG: join(out, "log.jsonl"),
    MODC_LAYER_CODE: join(out, "code"),
    ...(commands && { MODC_LAYER_COMMANDS: "1" }),
  };
}

function intelEnvironment(gpu: Gpu, out: string, folder: string): NodeJS.ProcessEnv {
  const manifest = join(out, "intel_icd.json");
  const ICD = { library_path: join(folder, INTEL_LIBRARIES.driver), api_version: "1.4.305" };
  writeFileSync(manifest, JSON.stringify({ file_format_version: "1.0.1", ICD }));
  // LD_PRELOAD is split at spaces and colons, and the user's folder may contain either.
  const stub = join(out, INTEL_LIBRARIES.stub);
  symlinkSync(join(folder, INTEL_LIBRARIES.stub), stub);
  return {
    LD_PRELOAD: stub,
    INTEL_STUB_GPU_PLATFORM: gpu.id,
    VK_DRIVER_FILES: manifest,
  };
}
