// A built model: loads its package's files onto a device, and runs.
import { openDevice, type Device } from "../runtime/device.js";
import type { DeviceLostError } from "../runtime/errors.js";
import type { LiveValue } from "../runtime/extents.js";
import type { Inputs, Results, RunOptions } from "../runtime/session-options.js";
import { load as loadSession } from "../runtime/load.js";
import type { Session } from "../runtime/session.js";
import { readFile, readManifest, textOf, type FileOptions, type Places } from "./files.js";
import { PackageError } from "./errors.js";
import { PROGRAMS, type Manifest } from "./manifest.js";
import { readPrograms, type Programs } from "./programs.js";
import { shardedWeights } from "./shards.js";

/** What loading has done so far: bytes of files, kernels compiled, weights on the device. */
export interface LoadProgress {
  readonly stage: "download" | "kernels" | "weights";
  readonly done: number;
  readonly total: number;
}

export interface LoadModelOptions {
  /** Your own device. By default the best there is: through `navigator.gpu` in a page, through the package `webgpu` in Node. */
  readonly device?: GPUDevice;
  /** Extents of axes that buffers are made for, such as `{ B: 1, T: 256 }`; a larger run grows them. */
  readonly max?: Readonly<Record<string, number>>;
  readonly live?: Readonly<Record<string, LiveValue>>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: LoadProgress) => void;
}

/** A model on a device. */
export interface LoadedModel {
  /** Runs it once: inputs and results by name. */
  run(inputs: Inputs, options?: RunOptions): Promise<Results>;
  /** The name of the device. */
  readonly device: string;
  /** Resolves when the device is gone, after which `run` rejects with the same error: load again. */
  readonly lost: Promise<DeviceLostError>;
  /** Frees everything it holds on the device, and the device where `load` opened it. */
  dispose(): void;
}

export interface PackagedModel {
  readonly name: string;
  load(options?: LoadModelOptions): Promise<LoadedModel>;
}

/** `places`: where the files of the package lie. */
export function createModel(name: string, places: Places): PackagedModel {
  return { name, load: (options = {}) => load(places, options) };
}

async function load(places: Places, options: LoadModelOptions): Promise<LoadedModel> {
  const { signal } = options;
  signal?.throwIfAborted();
  const report = options.onProgress ?? (() => {});
  // The device first: without one nothing needs to be fetched.
  const device = await openDevice(options.device ? { device: options.device } : {});
  try {
    const { manifest, programs, read } = await open(places, signal, report);
    const run = programs.get("run");
    if (!run) throw new PackageError("bad-package", PROGRAMS, `${PROGRAMS} has no program to run`);
    const weights = shardedWeights(manifest, read);
    const session = await loadSession(run, device, weights, {
      ...(options.max ? { max: options.max } : {}),
      ...(options.live ? { live: options.live } : {}),
      ...(signal ? { signal } : {}),
      onProgress: (event) => {
        if (event.kind !== "grow") report({ stage: event.kind, done: event.done, total: event.total });
      },
    });
    await weights.close();
    return loaded(session, device);
  } catch (error) {
    device.destroy();
    throw error;
  }
}

const loaded = (session: Session, device: Device): LoadedModel => ({
  run: (inputs, options) => session.run(inputs, options),
  device: device.info.name,
  lost: device.lost,
  dispose() {
    session.dispose();
    device.destroy();
  },
});

interface Opened {
  readonly manifest: Manifest;
  readonly programs: Programs;
  /** The bytes of a file, checked. */
  readonly read: (name: string) => Promise<Uint8Array>;
}

async function open(places: Places, signal: AbortSignal | undefined, report: (progress: LoadProgress) => void): Promise<Opened> {
  const came = new Map<string, number>();
  let total = 0;
  const options: FileOptions = {
    places,
    signal,
    progress(file, bytes) {
      came.set(file, bytes);
      if (total > 0) report({ stage: "download", done: [...came.values()].reduce((a, b) => a + b, 0), total });
    },
  };
  const manifest = await readManifest(options);
  came.clear();
  const text = await readFile(manifest, PROGRAMS, options);
  const kernels = new Map<string, Promise<string>>();
  const wanted = new Set([...manifest.shards, PROGRAMS, ...manifest.files.map((f) => f.name).filter((name) => name.endsWith(".wgsl"))]);
  total = manifest.files.reduce((sum, f) => (wanted.has(f.name) ? sum + f.bytes : sum), 0);
  const read = async (name: string): Promise<Uint8Array> => {
    const bytes = await readFile(manifest, name, options);
    options.progress(name, bytes.length);
    return bytes;
  };
  options.progress(PROGRAMS, text.length);
  const kernel = (name: string): Promise<string> => {
    let found = kernels.get(name);
    if (!found) kernels.set(name, (found = read(name).then((bytes) => textOf(name, bytes))));
    return found;
  };
  return { manifest, programs: await readPrograms(textOf(PROGRAMS, text), kernel), read };
}
