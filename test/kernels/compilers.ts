// Two WGSL compilers that need no GPU: Dawn's with its null backend, and naga, which Firefox and wgpu use.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { create } from "webgpu";

/** What a compiler says against a shader; null where it accepts it. */
export type Check = (wgsl: string) => Promise<string | null>;

// Dawn crashes where these are collected while the device lives; one `create()` a process for each set of toggles.
const kept: unknown[] = [];
let instance: GPU | null = null;

/** Dawn under WebGPU's default limits and with these features alone, as far as a pipeline. */
export async function openDawn(requiredFeatures: GPUFeatureName[] = []): Promise<Check> {
  instance ??= create(["backend=null"]);
  const gpu = instance;
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new Error("Dawn has no null backend here");
  const device = await adapter.requestDevice({ requiredFeatures });
  kept.push(gpu, adapter, device);
  return async (wgsl) => {
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ code: wgsl });
    device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
    return (await device.popErrorScope())?.message ?? null;
  };
}

let unsafe: GPU | null = null;

/** Dawn with these features, also features that Dawn considers unsafe, up to a shader module. */
export async function openDawnModules(requiredFeatures: readonly string[]): Promise<Check> {
  unsafe ??= create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
  const gpu = unsafe;
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new Error("Dawn has no null backend here");
  const device = await adapter.requestDevice({ requiredFeatures: requiredFeatures as GPUFeatureName[] });
  kept.push(gpu, adapter, device);
  return async (wgsl) => {
    device.pushErrorScope("validation");
    device.createShaderModule({ code: wgsl });
    return (await device.popErrorScope())?.message ?? null;
  };
}

const SET = "__wbg_set_wasm";
const START = "__wbindgen_start";

/** The part of the package's module that is used; it is written for bundlers, so its wasm is instantiated here. */
interface Naga {
  [SET](exports: unknown): void;
  compileShader(wgsl: string, format: string): string;
}

// The package's module keeps views of the memory of one wasm instance.
let opened: Promise<Check> | null = null;

export const openNaga = (): Promise<Check> => (opened ??= startNaga());

async function startNaga(): Promise<Check> {
  const folder = dirname(createRequire(import.meta.url).resolve("wgsl-wasm-transpiler-bundler/package.json"));
  // untyped JavaScript
  const naga = (await import(pathToFileURL(join(folder, "wgsl_wasm_transpiler_bg.js")).href)) as Naga;
  const { instance } = await WebAssembly.instantiate(readFileSync(join(folder, "wgsl_wasm_transpiler_bg.wasm")), {
    "./wgsl_wasm_transpiler_bg.js": { ...naga },
  });
  naga[SET](instance.exports);
  (instance.exports as { [START](): void })[START]();
  return async (wgsl) => {
    try {
      naga.compileShader(wgsl, "spirv-asm");
      return null;
    } catch (error) {
      return String(error);
    }
  };
}
