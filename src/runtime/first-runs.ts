// Runs that need kernels which no run needed before. A device's driver compiles them all at once beforehand; a software
// device compiles each when it is first dispatched, one after the other, so that there a run is handed over in pieces,
// which tell how far it is, while the kernels behind are still being read.
import type { Buffers } from "./buffers.js";
import { compileAhead } from "./compile-ahead.js";
import type { Device } from "./device.js";
import type { Pipelines } from "./pipelines.js";
import type { LoadSettings, SessionEvent } from "./session-options.js";
import type { Steps } from "./steps.js";

/** What a session lends. */
export interface Lent {
  readonly device: Device;
  readonly steps: Steps;
  readonly buffers: Buffers;
  readonly pipelines: Pipelines;
  readonly tell: (event: SessionEvent) => void;
}

/** Calls into the device whose faults are told. */
type OnDevice = (body: () => Promise<undefined>) => Promise<undefined>;

/** A step and its kernel. */
interface Dispatched {
  readonly step: number;
  readonly kernel: number;
}

export class FirstRuns {
  readonly #lent: Lent;
  /** Choices of steps that have nothing left to compile at the sizes now set. */
  readonly #ready = new Set<Uint8Array>();
  /** In which runs waited for kernels. */
  milliseconds = 0;
  #goesAhead = true;

  constructor(lent: Lent) {
    this.#lent = lent;
  }

  sizesChanged(): void {
    this.#ready.clear();
  }

  isReady(needed: Uint8Array): boolean {
    return this.#ready.has(needed);
  }

  /**
   * Compiles what is known to be needed; `valuesAt`: sizes at extents. On a software device what the first run is
   * likely to need goes on being compiled until a run begins.
   */
  async load(
    { compile, max, likely }: LoadSettings,
    valuesAt: (extents: LoadSettings["max"]) => Float64Array,
  ): Promise<void> {
    const { pipelines, steps, device } = this.#lent;
    const { software } = device.info;
    if (compile === "run") {
      if (likely && software) void compileAhead(this.#lent, valuesAt(likely), () => this.#goesAhead);
      return;
    }
    const missing = pipelines.missing(steps.dispatchesAt(valuesAt(max)).map(({ kernel }) => kernel));
    // A software device says so only when it does it.
    await pipelines.compile(missing, software ? undefined : this.#counting(missing.length));
  }

  /** Compiles no more ahead of what runs ask for. */
  stop(): void {
    this.#goesAhead = false;
  }

  /** Compiles what the steps need at the sizes now set, for whoever dispatches them otherwise. */
  async compile(needed: Uint8Array): Promise<void> {
    this.stop();
    const { pipelines } = this.#lent;
    const kernels = this.#dispatches(needed).map(({ kernel }) => kernel);
    await pipelines.compile(kernels);
    for (const kernel of kernels) pipelines.dispatched(kernel);
  }

  /**
   * Begins a run for which kernels have to be compiled, and waits for those; the first step that is left to be handed
   * over.
   */
  async begin(needed: Uint8Array, onDevice: OnDevice): Promise<number> {
    this.stop();
    const { pipelines, device } = this.#lent;
    const dispatches = this.#dispatches(needed);
    const fresh = pipelines.fresh(dispatches.map(({ kernel }) => kernel));
    if (fresh.length > 0 && device.info.software) return this.#inPieces(dispatches, fresh, needed, onDevice);
    const before = performance.now();
    const missing = pipelines.missing(fresh);
    await pipelines.compile(missing, this.#counting(missing.length));
    if (missing.length > 0) this.milliseconds += performance.now() - before;
    for (const kernel of fresh) pipelines.dispatched(kernel);
    this.#ready.add(needed);
    return 0;
  }

  #dispatches(needed: Uint8Array): readonly Dispatched[] {
    const { steps } = this.#lent;
    return steps.active(needed).flatMap((step) => {
      const kernel = steps.kernel(step);
      return kernel === null ? [] : [{ step, kernel }];
    });
  }

  #counting(total: number): () => void {
    let done = 0;
    return () => this.#lent.tell({ kind: "kernels", done: ++done, total });
  }

  /**
   * Every step whose kernel is new goes by itself, so that its end tells when that was compiled; what stands between
   * them goes together.
   */
  async #inPieces(
    dispatches: readonly Dispatched[],
    fresh: readonly number[],
    needed: Uint8Array,
    onDevice: OnDevice,
  ): Promise<number> {
    const { pipelines } = this.#lent;
    const counting = this.#counting(fresh.length);
    const waiting = new Set(fresh);
    const began = performance.now();
    // A kernel that is refused when steps before it have written states would leave half a run behind; what takes long
    // comes when they are dispatched.
    await pipelines.compile(fresh);
    // Of the time until the last piece ended, what the steps took whose kernels were there: the rest was waiting for
    // kernels, to be read or compiled.
    let [last, running] = [performance.now(), 0];
    const ended = (isNew: boolean, submitted: number): void => {
      const now = performance.now();
      if (isNew) counting();
      else running += now - Math.max(last, submitted);
      last = now;
    };
    const pieces: Promise<void>[] = [];
    const submit = (from: number, end: number, isNew: boolean): void => {
      const submitted = performance.now();
      const piece = this.#submit(needed, from, end, onDevice, () => ended(isNew, submitted));
      piece.catch(() => {}); // waited for below
      pieces.push(piece);
    };
    let first = 0;
    for (const { step, kernel } of dispatches) {
      if (!waiting.delete(kernel)) continue;
      if (step > first) submit(first, step, false);
      submit(step, step + 1, true);
      pipelines.dispatched(kernel);
      first = step + 1;
    }
    await Promise.all(pieces);
    this.milliseconds += last - began - running;
    this.#ready.add(needed);
    return first;
  }

  async #submit(needed: Uint8Array, first: number, end: number, onDevice: OnDevice, ended: () => void): Promise<void> {
    const { device, steps, buffers } = this.#lent;
    const { gpu } = device;
    await onDevice(() => {
      const encoder = gpu.createCommandEncoder();
      steps.encode(encoder, buffers, needed, first, end);
      gpu.queue.submit([encoder.finish()]);
      return device.wait(() => gpu.queue.onSubmittedWorkDone());
    });
    ended();
  }
}
