// Runs that need kernels which no earlier run used. A GPU's driver compiles these kernels in parallel before the run. A
// software device compiles each at its first dispatch, so the run is submitted in pieces: progress is reported after
// each piece, while later kernels are still being parsed.
import type { Buffers } from "../steps/buffers.js";
import { compileAhead } from "./compile-ahead.js";
import type { Device } from "../device/device.js";
import type { Pipelines } from "../steps/pipelines.js";
import type { LoadSettings, SessionEvent } from "./session-options.js";
import type { Steps } from "../steps/steps.js";

/** The parts of a session that this needs. */
export interface SessionParts {
  readonly device: Device;
  readonly steps: Steps;
  readonly buffers: Buffers;
  readonly pipelines: Pipelines;
  readonly tell: (event: SessionEvent) => void;
}

/** Runs `body` in an error scope of the device. */
type OnDevice = (body: () => Promise<undefined>) => Promise<undefined>;

/** A step and its kernel. */
interface Dispatched {
  readonly step: number;
  readonly kernel: number;
}

export class FirstRuns {
  readonly #lent: SessionParts;
  /** Sets of needed steps whose kernels are all compiled at the current sizes. */
  readonly #ready = new Set<Uint8Array>();
  /** Milliseconds in which runs waited for kernels. */
  milliseconds = 0;
  #goesAhead = true;

  constructor(lent: SessionParts) {
    this.#lent = lent;
  }

  sizesChanged(): void {
    this.#ready.clear();
  }

  isReady(needed: Uint8Array): boolean {
    return this.#ready.has(needed);
  }

  /**
   * Compiles the kernels of a run at `max`. `valuesAt` returns the sizes at extents. On a software device the kernels
   * that the first run is likely to need are compiled in the background until a run begins.
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
    // A software device compiles later, at the first dispatch, so it reports no progress here.
    await pipelines.compile(missing, software ? undefined : this.#counting(missing.length));
  }

  /** Stops compiling ahead of runs. */
  stop(): void {
    this.#goesAhead = false;
  }

  /** Compiles the kernels of these steps at the current sizes, for callers that dispatch the steps themselves. */
  async compile(needed: Uint8Array): Promise<void> {
    this.stop();
    const { pipelines } = this.#lent;
    const kernels = this.#dispatches(needed).map(({ kernel }) => kernel);
    await pipelines.compile(kernels);
    for (const kernel of kernels) pipelines.dispatched(kernel);
  }

  /**
   * Compiles the kernels that a run still needs and, on a software device, submits its first steps. Returns the first
   * step that is not yet submitted.
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
   * Submits each step with a new kernel alone, so that its end shows when the kernel was compiled, and groups the steps
   * between two such steps.
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
    // Compile all first: if a kernel were refused after earlier steps have written states, half a run would be done.
    // Compilation is quick here, since its slow part happens at dispatch.
    await pipelines.compile(fresh);
    // `running` is the time of steps with compiled kernels. The rest was spent waiting for kernels to be parsed or
    // compiled.
    let last = performance.now();
    let running = 0;
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
      piece.catch(() => {}); // awaited below
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
