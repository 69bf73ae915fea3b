// A session: a program with its weights on a device, its buffers made once, ready to run again and again.
import { expectProgram } from "../program/expect.js";
import type { Program, ProgramOutput } from "../program/program.js";
import { subgroupWidth } from "../program/target.js";
import { type Axis, resolveSizes, type RunSizes, type Sizes } from "../size/axes.js";
import { printRational, type Rational } from "../size/rational.js";
import { Buffers } from "./buffers.js";
import type { Device } from "./device.js";
import { DisposedError, InputError, KernelError, UnsupportedError } from "./errors.js";
import { checkLengths, checkLive, checkSeed, inferExtents, type LiveValue } from "./extents.js";
import { BUFFER_USAGE, MAP_READ } from "./gpu-flags.js";
import { flatten, type FlatInput, type InputValue, isNumberArray, packInput } from "./inputs.js";
import { neededSteps, type OutputSelection, placeOutputs, readOutput, type ReadPlace, type Result, selectOutputs } from "./outputs.js";
import { compilePipelines } from "./pipelines.js";
import { inputAxes, parseAxes, SizeTable } from "./sizes.js";
import { Steps } from "./steps.js";
import { Tables } from "./tables.js";
import type { Words } from "./weights/convert.js";
import { locateWeights, uploadWeights, type WeightsInput, type WeightValues } from "./weights.js";

/** What a session reports while it loads, and when its buffers grow. */
export type SessionEvent =
  | { readonly kind: "kernels" | "weights"; readonly done: number; readonly total: number }
  | { readonly kind: "grow"; /** Buffers made anew. */ readonly buffers: number; /** Bytes of all buffers now. */ readonly bytes: number };

export interface LoadOptions {
  /** Extents of axes that the buffers are made for: `{ B: 4, T: 512 }`. By default an axis's bound, and 1 where it has none; a larger run grows the buffers. */
  readonly max?: Readonly<Record<string, number>>;
  /** Live parameters, for the buffers and for runs that give none. */
  readonly live?: Readonly<Record<string, LiveValue>>;
  /** For weights where none are given, and for random values of runs that give no seed: a u32. Default 0. */
  readonly seed?: number;
  /** Ends loading between two steps of it. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: SessionEvent) => void;
}

export interface RunOptions extends OutputSelection {
  /** Tokens of each sequence, u32[B], 0 to T; without it every sequence has T. */
  readonly lengths?: readonly number[] | Uint32Array | Int32Array;
  readonly live?: Readonly<Record<string, LiveValue>>;
  readonly seed?: number;
  /** Drops a run that has not started on the device. */
  readonly signal?: AbortSignal;
}

export type Inputs = Readonly<Record<string, InputValue>> | ReadonlyMap<string, InputValue>;

/** Results by name; without a prototype, for a result may have any name. */
export type Results = Readonly<Record<string, Result>>;

/**
 * Puts a program on a device: checks that it fits, makes all buffers, compiles all kernels, reads the weights. Throws ProgramError for what is no program,
 * UnsupportedError or LimitError before anything is allocated, WeightsError before any weight is read where a checkpoint does not fit, OutOfMemoryError, KernelError, DeviceLostError.
 */
export async function load(program: Program, device: Device, weights?: WeightsInput, options: LoadOptions = {}): Promise<Session> {
  expectProgram(program);
  if (device.lostError) throw device.lostError;
  options.signal?.throwIfAborted();
  checkRequirements(program, device);
  const session = new Session(program, device, options);
  const values = await locateWeights(program, weights, checkSeed(options.seed ?? 0));
  try {
    await session.prepare(values, options);
    return session;
  } catch (error) {
    session.dispose();
    throw device.lostError ?? error;
  } finally {
    await values.close();
  }
}

/** Throws UnsupportedError where the device lacks what the program's kernels rely on. */
function checkRequirements({ requires, target }: Program, { info, target: own }: Device): void {
  const missing: string[] = requires.features.filter((f) => !info.features.includes(f));
  const width = subgroupWidth(own);
  if (requires.subgroupSize !== null && width !== requires.subgroupSize)
    missing.push(`subgroups of ${requires.subgroupSize} (they have ${width ?? "no fixed width"} there)`);
  if (missing.length > 0)
    throw new UnsupportedError(
      `the program was compiled for ${target.device} and needs ${missing.join(" and ")}, which ${info.name} does not have`,
      "compile it for this device (`target: device.target`), or for any (no target)",
    );
}

/** The sizes of a run. */
interface Resolved {
  /** Equal for runs of equal sizes. */
  readonly key: string;
  readonly run: RunSizes;
  readonly sizes: Sizes;
  /** Of each distinct size. */
  readonly values: Float64Array;
}

/** What one call of `run` asks for. */
interface Call {
  readonly resolved: Resolved;
  readonly seed: number;
  readonly outputs: readonly ProgramOutput[];
  readonly words: readonly Words[];
  readonly signal: AbortSignal | undefined;
}

export class Session {
  readonly program: Program;
  readonly device: Device;
  readonly #axes: readonly Axis[];
  readonly #table = new SizeTable();
  /** Size of each slot's bytes. */
  readonly #slotBytes: readonly number[];
  readonly #buffers: Buffers;
  readonly #tables: Tables;
  readonly #onProgress: (event: SessionEvent) => void;
  readonly #seed: number;
  readonly #live: ReadonlyMap<string, Rational>;
  readonly #neededByOutputs = new Map<string, Uint8Array>();
  #steps: Steps | null = null;
  #staging: GPUBuffer | null = null;
  /** Sizes whose uniforms and tables the device has. */
  #current: Resolved | null = null;
  #queue: Promise<unknown> = Promise.resolve();
  #disposed = false;
  #extraBuffers = 0;

  /** Use `load`. */
  constructor(program: Program, device: Device, options: LoadOptions) {
    this.program = program;
    this.device = device;
    this.#axes = parseAxes(program);
    this.#onProgress = options.onProgress ?? (() => {});
    this.#seed = checkSeed(options.seed ?? 0);
    this.#live = checkLive(program, options.live, null);
    this.#slotBytes = program.slots.map((s) => this.#table.index(s.bytes));
    for (const output of program.outputs) for (const size of output.shape) this.#table.index(size);
    const lasting = new Set([...program.states.map((s) => s.slot), ...program.weights.flatMap((w) => w.slots.map((s) => s.slot))]);
    this.#buffers = new Buffers(device, program, lasting);
    this.#tables = new Tables(device, program, this.#axes, this.#buffers);
  }

  /** Buffers made so far and the bytes of those in use: the same after every run that needs no more room. */
  get memory(): { readonly buffers: number; readonly bytes: number } {
    return { buffers: this.#buffers.made + this.#extraBuffers, bytes: this.#buffers.total + (this.#staging?.size ?? 0) };
  }

  /** The part of `load` that talks to the device. */
  async prepare(weights: WeightValues, options: LoadOptions): Promise<void> {
    const most = this.#resolveMost(options.max);
    await this.#buffers.ensure(this.#bytesOf(most));
    options.signal?.throwIfAborted();
    const pipelines = await compilePipelines(this.device, this.program, (done, total) => this.#onProgress({ kind: "kernels", done, total }));
    options.signal?.throwIfAborted();
    await this.#checked("prepare a program", () => {
      this.#steps = new Steps(this.device, this.program, this.#table, pipelines);
      this.#extraBuffers++;
      this.#steps.bind(this.#buffers);
      this.#ensureStaging(placeOutputs(selectOutputs(this.program, {}), this.#table, most.values, most.sizes).bytes);
    });
    await uploadWeights(this.device, this.program, this.#buffers, weights, {
      signal: options.signal,
      progress: (done, total) => this.#onProgress({ kind: "weights", done, total }),
    });
  }

  /**
   * Runs the program once. Calls are taken one after the other, in their order; inputs are copied before `run` returns, so the caller may change them at
   * once. Throws InputError, LimitError, OutOfMemoryError, DeviceLostError, DisposedError.
   */
  run(inputs: Inputs, options: RunOptions = {}): Promise<Results> {
    let call: Call;
    try {
      call = this.#read(inputs, options);
    } catch (error) {
      return Promise.reject(error);
    }
    const turn = this.#queue.then(() => this.#runNow(call));
    // The next run does not care whether this one failed; the caller has the error.
    this.#queue = Promise.allSettled([turn]);
    return turn;
  }

  /** All that is known before the device is asked. */
  #read(given: Inputs, options: RunOptions): Call {
    this.#expectAlive();
    options.signal?.throwIfAborted();
    const inputs = this.#flattenAll(given);
    const extents = inferExtents(this.program, this.#axes, inputs);
    const resolved = this.#resolve({
      extents,
      lengths: checkLengths(options.lengths, this.#axes, extents),
      live: checkLive(this.program, options.live, this.#live),
    });
    return {
      resolved,
      seed: checkSeed(options.seed ?? this.#seed),
      outputs: selectOutputs(this.program, options),
      words: this.program.inputs.map((input) => packInput(input, inputs.get(input.name)!, resolved.sizes)),
      signal: options.signal,
    };
  }

  async #runNow({ resolved: wanted, seed, outputs, words, signal }: Call): Promise<Results> {
    this.#expectAlive();
    signal?.throwIfAborted();
    // A run before this one may have brought the same sizes to the device.
    const resolved = this.#current?.key === wanted.key ? this.#current : wanted;
    const grown = await this.#grow(resolved);
    this.#expectAlive();
    const { places, bytes } = placeOutputs(outputs, this.#table, resolved.values, resolved.sizes);
    const back = await this.#checked("run a program", () => {
      this.#setSizes(resolved, grown, seed);
      this.#writeInputs(words);
      this.#ensureStaging(bytes);
      this.#submit(places, this.#needed(outputs));
      return this.#readBack(bytes);
    }).catch((error: unknown) => {
      // Disposing of the session takes away what the device was about to read back.
      throw this.#disposed ? new DisposedError() : error;
    });
    const results = Object.create(null) as Record<string, Result>;
    for (const place of places) results[place.output.name] = readOutput(place, back, resolved.sizes);
    return results;
  }

  #expectAlive(): void {
    if (this.#disposed) throw new DisposedError();
    if (this.device.lostError) throw this.device.lostError;
  }

  /** Frees the session's buffers; runs under way and later ones fail with DisposedError. The device stays. */
  dispose(): void {
    this.#disposed = true;
    this.#buffers.destroy();
    this.#steps?.destroy();
    this.#staging?.destroy();
    this.#staging = null;
  }

  #flattenAll(given: Inputs): ReadonlyMap<string, FlatInput> {
    if (typeof given !== "object" || given === null || isNumberArray(given) || Array.isArray(given))
      throw new InputError(null, "the inputs are no record of tensors by name", "give `{ tokens: [[1, 2]] }`, or a Map");
    const entries = given instanceof Map ? (given as ReadonlyMap<string, InputValue>) : new Map(Object.entries(given));
    const names = this.program.inputs.map((i) => i.name);
    for (const name of entries.keys())
      if (!names.includes(name)) throw new InputError(name, `the model has no input ${name}`, `it takes ${names.join(", ") || "none"}`);
    return new Map(
      names.map((name) => {
        if (!entries.has(name)) throw new InputError(name, `input ${name} is missing`);
        return [name, flatten(name, entries.get(name))];
      }),
    );
  }

  #resolve(run: RunSizes): Resolved {
    const key = [...run.extents, ...[...run.lengths].map(([a, l]) => `${a}: ${l.join()}`), ...[...run.live].map(([n, v]) => `${n}=${printRational(v)}`)].join(
      " ",
    );
    if (this.#current?.key === key) return this.#current;
    const sizes = resolveSizes(this.#axes, run);
    return { key, run, sizes, values: this.#table.values(sizes) };
  }

  /** Sizes at the extents given, else at the bounds; where those bounds are too large for the device, at 1: such buffers grow when they must. */
  #resolveMost(max: LoadOptions["max"]): Resolved {
    const given = checkMax(this.#axes, max);
    const at = (otherwise: (bound: number | null) => number): Resolved =>
      this.#resolve({
        extents: new Map(inputAxes(this.#axes).map((a) => [a.name, given.get(a.name) ?? otherwise(a.bound)])),
        lengths: new Map(),
        live: this.#live,
      });
    const bounds = at((bound) => bound ?? 1);
    return this.#buffers.limitFault(this.#bytesOf(bounds)) ? at(() => 1) : bounds;
  }

  #bytesOf({ values }: Resolved): readonly number[] {
    return this.#slotBytes.map((index, slot) => {
      const bytes = values[index]!;
      if (Number.isNaN(bytes)) throw new Error(`modc bug: slot ${this.program.slots[slot]!.label} has no whole size`);
      return bytes;
    });
  }

  /** Makes room for a run; the slots that are new. */
  async #grow(resolved: Resolved): Promise<ReadonlySet<number>> {
    if (resolved === this.#current) return new Set();
    const grown = await this.#buffers.ensure(this.#bytesOf(resolved));
    if (grown.size > 0) this.#onProgress({ kind: "grow", buffers: grown.size, bytes: this.#buffers.total });
    return grown;
  }

  #setSizes(resolved: Resolved, grown: ReadonlySet<number>, seed: number): void {
    // Not yet current where anything below throws.
    const changed = resolved !== this.#current;
    this.#current = null;
    if (grown.size > 0) {
      this.#steps!.bind(this.#buffers);
      this.#tables.forget();
    }
    if (changed) {
      this.#steps!.setSizes(resolved.values);
      this.#tables.write(resolved.run, resolved.sizes);
    }
    this.#tables.writeSeed(seed);
    this.#current = resolved;
  }

  #writeInputs(words: readonly Words[]): void {
    this.program.inputs.forEach(({ slot }, i) => {
      if (slot !== null && words[i]!.length > 0) this.device.gpu.queue.writeBuffer(this.#buffers.buffer(slot), 0, words[i] as Float32Array<ArrayBuffer>); // a caller's shared memory is copied by the queue just so
    });
  }

  #needed(outputs: readonly ProgramOutput[]): Uint8Array {
    const key = outputs.map((o) => o.name).join("\n");
    let needed = this.#neededByOutputs.get(key);
    if (!needed) this.#neededByOutputs.set(key, (needed = neededSteps(this.program, outputs)));
    return needed;
  }

  #ensureStaging(bytes: number): void {
    if (this.#staging && this.#staging.size >= bytes) return;
    this.#staging?.destroy();
    this.#staging = this.device.gpu.createBuffer({ label: "results", size: Math.max(16, bytes), usage: BUFFER_USAGE.mapRead | BUFFER_USAGE.copyDst });
    this.#extraBuffers++;
  }

  /** All steps and the copies of what is read, in one submit. */
  #submit(places: readonly ReadPlace[], needed: Uint8Array): void {
    const { gpu } = this.device;
    const encoder = gpu.createCommandEncoder();
    this.#steps!.encode(encoder, this.#buffers, needed);
    for (const { output, offset, bytes, starts } of places) {
      if (bytes > 0) encoder.copyBufferToBuffer(this.#buffers.buffer(output.slot), 0, this.#staging!, offset, bytes);
      for (const { slot, offset: at } of starts)
        encoder.copyBufferToBuffer(this.#buffers.buffer(slot), 0, this.#staging!, at, 4 * (this.#current!.sizes.batch + 1));
    }
    gpu.queue.submit([encoder.finish()]);
  }

  async #readBack(bytes: number): Promise<ArrayBuffer> {
    const staging = this.#staging!;
    const size = Math.max(8, bytes);
    await this.device.wait(() => staging.mapAsync(MAP_READ, 0, size));
    const copy = staging.getMappedRange(0, size).slice(0);
    staging.unmap();
    return copy;
  }

  /** Calls the device within an error scope; throws KernelError for what it refuses. `body` must make all its calls before it returns. */
  async #checked<T>(what: string, body: () => T | Promise<T>): Promise<T> {
    const { gpu } = this.device;
    gpu.pushErrorScope("validation");
    let result: T | Promise<T>;
    let scope: Promise<GPUError | null>;
    try {
      result = body();
    } finally {
      scope = this.device.wait(() => gpu.popErrorScope());
      scope.catch(() => {}); // looked at below, unless `body` threw
    }
    const [value, error] = await Promise.allSettled([result, scope]);
    if (error.status === "fulfilled" && error.value) throw new KernelError(`the device refuses to ${what}: ${error.value.message}`);
    if (value.status === "rejected") throw value.reason;
    if (error.status === "rejected") throw error.reason;
    return value.value;
  }
}

/** Extents by axis; throws InputError for an axis that is none, or beyond its bound. */
function checkMax(axes: readonly Axis[], max: LoadOptions["max"]): ReadonlyMap<string, number> {
  const given = new Map(Object.entries(max ?? {}));
  const known = inputAxes(axes);
  for (const [name, extent] of given) {
    const axis = known.find((a) => a.name === name);
    if (!axis) throw new InputError(null, `max: the model has no axis ${name}`, `it has ${known.map((a) => a.name).join(", ") || "none"}`);
    if (!Number.isSafeInteger(extent) || extent < 1) throw new InputError(null, `max: ${name} is ${String(extent)}: it must be a whole number of at least 1`);
    if (axis.bound !== null && extent > axis.bound) throw new InputError(null, `max: ${name} is ${extent}: the model allows ${axis.bound}`);
  }
  return given;
}
