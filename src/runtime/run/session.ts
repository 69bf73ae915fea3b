// A session: a program on a device with its weights and buffers, which can run many times.
import { callListener } from "../../ground/base/listener.js";
import type { Program } from "../program/program.js";
import type { Axis, RunSizes } from "../../ground/size/axes.js";
import type { Rational } from "../../ground/numerics/rational.js";
import { Allocator } from "../steps/allocator.js";
import { Buffers, type Move } from "../steps/buffers.js";
import { readCall, Selections, type Call } from "./call.js";
import { checked } from "../device/checked.js";
import type { Device } from "../device/device.js";
import { DisposedError } from "../device/errors.js";
import { checkInFlight, checkLive, checkMax, checkSeed } from "./extents.js";
import type { Inputs } from "./inputs.js";
import { expectBytes, growthMessage, type Predicted } from "./prediction.js";
import { readOutput, type Result, type Results } from "./outputs.js";
import { FirstRuns } from "./first-runs.js";
import { Pipelines } from "../steps/pipelines.js";
import { RunQueue } from "./run-queue.js";
import { profileSteps, type Profile, type ProfileOptions } from "../profile/profile.js";
import { Resolver, Setting, type Resolved } from "./setting.js";
import { parseAxes, SizeTable, slotBytes } from "../steps/sizes.js";
import type { LoadSettings, RunOptions, SessionEvent } from "./session-options.js";
import { Staging } from "../steps/staging.js";
import { StateRoom } from "./state-room.js";
import { readStates } from "../steps/read-states.js";
import { sharedSlots, stateBuffers, writeStates, type SlotOwner, type StateValue } from "../steps/states.js";
import { Steps } from "../steps/steps.js";
import { Tables } from "../steps/tables.js";
import { uploadWeights, type WeightValues } from "../weights/weights.js";

/** Options of loading. */
export interface LoadOptions extends LoadSettings {
  /** A session whose states this session shares by name; calls of both run in order. It must outlive this session. */
  readonly statesOf?: Session;
  /**
   * A session whose weights this session shares if both store them alike; other weights are loaded again. It must
   * outlive this session.
   */
  readonly weightsOf?: Session;
}

export class Session {
  readonly program: Program;
  readonly device: Device;
  readonly #axes: readonly Axis[];
  readonly #table = new SizeTable();
  readonly #resolver: Resolver;
  /** The sizes of the states; if another session owns the states, that session's. */
  readonly #room: StateRoom;
  readonly #slotBytes: (values: Float64Array) => readonly number[];
  readonly #allocator: Allocator;
  readonly #buffers: Buffers;
  readonly #staging: Staging;
  readonly #predicted: Predicted;
  readonly #tables: Tables;
  readonly #onProgress: (event: SessionEvent) => void;
  readonly #seed: number;
  readonly #live: ReadonlyMap<string, Rational>;
  readonly #selections: Selections;
  readonly #pipelines: Pipelines;
  #steps: Steps | null = null;
  #firstRuns: FirstRuns | null = null;
  #setting: Setting | null = null;
  readonly #queue: RunQueue;
  readonly #statesOf: Session | null;
  readonly #owners: readonly Session[];
  readonly #shared: ReadonlySet<number>;
  #disposed = false;

  /** Use `load`. */
  constructor(program: Program, device: Device, options: LoadOptions) {
    this.program = program;
    this.device = device;
    this.#axes = parseAxes(program);
    this.#onProgress = (event) => callListener(() => options.onProgress?.(event));
    this.#seed = checkSeed(options.seed ?? 0);
    this.#live = checkLive(program, options.live, null);
    this.#slotBytes = slotBytes(program, this.#table);
    for (const output of program.outputs) for (const size of output.shape) this.#table.index(size);
    this.#selections = new Selections(program, this.#table);
    this.#resolver = new Resolver(this.#axes, this.#table, this.#live);
    const { statesOf = null, weightsOf = null } = options;
    const inFlight = checkInFlight(options.inFlight);
    [this.#statesOf, this.#owners] = [statesOf, [statesOf, weightsOf].filter((owner) => owner !== null)];
    for (const owner of this.#owners) owner.#expectAlive();
    this.#queue = new RunQueue(statesOf && statesOf.#queue);
    const slotsOf = (of: Session | null): SlotOwner | null => of && { program: of.program, buffers: of.#buffers };
    const shared = sharedSlots(program, slotsOf(statesOf), slotsOf(weightsOf));
    this.#shared = new Set(shared.keys());
    this.#pipelines = new Pipelines(device, program);
    this.#allocator = new Allocator(device);
    this.#buffers = new Buffers(device, this.#allocator, program, shared);
    this.#staging = new Staging(device, this.#allocator, { count: inFlight });
    const uniformAlignment = device.info.limits.minUniformBufferOffsetAlignment;
    this.#predicted = { program, axes: this.#axes, uniformAlignment, shared: this.#shared, slots: [] };
    this.#tables = new Tables(device, program, this.#axes, this.#buffers);
    this.#room = statesOf ? statesOf.#room : new StateRoom(program, this.#axes, this.#resolveMost(options.max).run);
  }

  /** Buffers created so far, and bytes of the buffers in use; runs that need no more room change neither. */
  get memory(): { readonly buffers: number; readonly bytes: number } {
    return { buffers: this.#allocator.made, bytes: this.#allocator.bytes };
  }

  /** Milliseconds that runs have waited for kernels to be compiled. */
  get compiling(): number {
    return this.#firstRuns?.milliseconds ?? 0;
  }

  /** The part of `load` that uses the device. */
  async prepare(weights: WeightValues, options: LoadOptions): Promise<void> {
    const most = this.#resolveMost(options.max);
    await this.#buffers.ensure(this.#slotBytes(most.values));
    options.signal?.throwIfAborted();
    await checked(this.device, "prepare a program", async () => {
      const [device, buffers, pipelines, tell] = [this.device, this.#buffers, this.#pipelines, this.#onProgress];
      const steps = (this.#steps = new Steps(device, this.#allocator, this.program, this.#table, pipelines));
      this.#firstRuns = new FirstRuns({ device, steps, buffers, pipelines, tell });
      this.#setting = new Setting(steps, this.#tables, this.#firstRuns);
      steps.bind(buffers);
      const staged = this.#staging.ensure(this.#stagingOf(most));
      buffers.replacedElsewhere();
      if (!this.#statesOf) this.#room.begin(device, buffers);
      await staged;
    });
    this.#expectBytes(most.run);
    // Other threads compile while this one reads weights.
    const compiled = this.#firstRuns!.load(options, (extents) => this.#resolveMost(extents).values);
    compiled.catch(() => {}); // awaited below, unless reading the weights throws
    await uploadWeights(this.device, this.program, this.#buffers, weights, {
      signal: options.signal,
      shared: this.#shared,
      progress: (done, total) => this.#onProgress({ kind: "weights", done, total }),
    });
    await compiled;
    options.signal?.throwIfAborted();
  }

  /**
   * Runs the program once. Calls run in order. Inputs are copied before `run` returns, so the caller may change them
   * afterwards. Throws InputError, LimitError, OutOfMemoryError, DeviceLostError, DisposedError.
   */
  run(inputs: Inputs, options: RunOptions = {}): Promise<Results> {
    return this.#enqueue(inputs, options, (call) => this.#start(call)).then(({ results }) => results);
  }

  /**
   * Reads all states, or the named states, after the earlier runs. Throws InputError for a name that is not a state,
   * and the errors of `run`.
   */
  readStates(
    names: readonly string[] = this.program.states.map((s) => s.name),
  ): Promise<ReadonlyMap<string, StateValue>> {
    const { device, program } = this;
    return this.#afterAll(async () => readStates(device, this.#buffers, program, names, this.#room.shapeOf));
  }

  /**
   * Replaces the values of the named states after the earlier runs. Throws InputError, and writes nothing, if a value
   * does not fit.
   */
  writeStates(values: ReadonlyMap<string, Pick<StateValue, "data">>): Promise<void> {
    return this.#afterAll(async () =>
      writeStates(this.device, this.#buffers, this.program.states, values, this.#room.shapeOf),
    );
  }

  /** Calls `body` in its turn, before later runs, with a function that returns the buffer of a state. */
  onStates(body: (device: Device, buffer: (state: string) => GPUBuffer) => void): Promise<void> {
    const bufferOf = stateBuffers(this.program, this.#buffers);
    return this.#queue.next(() => this.#onDevice("write states", () => body(this.device, bufferOf)));
  }

  /**
   * Resets the states to their initial values, except states that start as weights, with these extents of their axes;
   * other axes keep theirs. `shrink`: also replaces buffers that are larger than the states need. Sessions that share
   * the states must have no run under way. Throws InputError, LimitError, OutOfMemoryError.
   */
  resetStates(extents: Readonly<Record<string, number>> = {}, { shrink = false } = {}): Promise<void> {
    const begin = (): void => this.#room.begin(this.device, this.#buffers);
    return this.#changeRoom(extents, () => new Map(), begin, shrink);
  }

  /**
   * Makes room for more rows in the states along these axes. The present rows of each sequence stay its first rows.
   * Otherwise like `resetStates`.
   */
  growStates(extents: Readonly<Record<string, number>>): Promise<void> {
    return this.#changeRoom(
      extents,
      (run) => this.#room.movesTo(run),
      (moves) => this.#room.beginRows(this.device, this.#buffers, moves),
    );
  }

  #changeRoom(
    extents: Readonly<Record<string, number>>,
    movesTo: (run: RunSizes) => ReadonlyMap<number, readonly Move[]>,
    begin: (moves: ReadonlyMap<number, readonly Move[]>) => void,
    shrink = false,
  ): Promise<void> {
    if (this.#statesOf) return this.#statesOf.#changeRoom(extents, movesTo, begin, shrink);
    return this.#afterAll(async () => {
      const resolved = this.#resolver.resolve(this.#room.with(extents));
      const bytes = this.#slotBytes(resolved.values);
      this.#buffers.expectRoom(bytes);
      const moves = movesTo(resolved.run);
      await this.#staging.ensure(this.#stagingOf(resolved));
      const grown = await this.#buffers.ensure(bytes, moves, shrink);
      this.#bind(grown);
      if (grown.size > 0) this.#expectBytes(resolved.run, shrink ? grown : undefined);
      this.#room.set(resolved.run);
      begin(moves);
      this.#setting!.forget();
    });
  }

  /**
   * Runs the program several times and returns the median times of its steps. Restores the states afterwards. Throws
   * the errors of `run`.
   */
  profile(inputs: Inputs, options: ProfileOptions & RunOptions = {}): Promise<Profile> {
    return this.#enqueue(inputs, options, (call) => this.#profileNow(call, options));
  }

  /** Calls `body` in its turn, with no run under way. */
  #afterAll<T>(body: () => Promise<T>): Promise<T> {
    return this.#queue.alone(async () => {
      this.#expectAlive();
      return checked(this.device, "reach the states of a program", body);
    });
  }

  #enqueue<T>(inputs: Inputs, options: RunOptions, begin: (call: Call) => Promise<T>): Promise<T> {
    let call: Call;
    try {
      call = this.#checkCall(inputs, options);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#queue.next(() => begin(call));
  }

  /** Checks a call without using the device. */
  #checkCall(given: Inputs, options: RunOptions): Call {
    this.#expectAlive();
    options.signal?.throwIfAborted();
    return readCall(given, options, {
      program: this.program,
      axes: this.#axes,
      live: this.#live,
      seed: this.#seed,
      selections: this.#selections,
      resolve: (run) => {
        const resolved = this.#resolver.resolve(run);
        this.#room.expect(resolved.run);
        return resolved;
      },
    });
  }

  /** Submits a run once a staging buffer is free. The results resolve later, so that the next run may start. */
  async #start(call: Call): Promise<{ readonly results: Promise<Results> }> {
    const staging = await this.#staging.take();
    const resolved = await this.#makeRoom(call).catch((error: unknown) => {
      this.#staging.giveBack(staging);
      throw error;
    });
    const { places, copies, bytes } = call.selection.at(resolved);
    const { needed } = call.selection;
    // If anything changed, set the sizes first, since the kernels of the run depend on them.
    const known = !this.#setting!.changes(resolved, call.promises) && this.#firstRuns!.isReady(needed);
    let first = 0;
    try {
      if (!known) {
        await this.#onDevice("write the inputs of a program", () => this.#write(call, resolved));
        first = await this.#firstRuns!.begin(needed, (body) => this.#onDevice("run a program", body));
        this.#expectAlive();
      }
    } catch (error) {
      this.#staging.giveBack(staging);
      throw error;
    }
    const run = this.#onDevice("run a program", () => {
      if (known) this.#write(call, resolved);
      const encoder = this.device.gpu.createCommandEncoder();
      this.#steps!.encode(encoder, this.#buffers, needed, first);
      this.#setting!.ran();
      return this.#staging.read(staging, encoder, this.#buffers, copies, bytes);
    });
    const reading = this.#queue.hold(run.finally(() => this.#staging.giveBack(staging)));
    const results = reading.then((back) => {
      const byName = Object.create(null) as Record<string, Result>;
      for (const output of places) byName[output.output.name] = readOutput(output, back, resolved.sizes);
      return byName;
    });
    results.catch(() => {}); // the caller gets the error
    if (!this.#staging.inOneTurn(bytes)) await Promise.allSettled([reading]);
    return { results };
  }

  async #profileNow(call: Call, options: ProfileOptions): Promise<Profile> {
    await this.#queue.drained();
    const resolved = await this.#makeRoom(call);
    await this.#onDevice("write the inputs of a program", () => this.#write(call, resolved, false));
    await this.#firstRuns!.compile(call.selection.needed);
    const [{ program, device }, buffers, { needed }] = [this, this.#buffers, call.selection];
    const parts = { program, device, buffers, steps: this.#steps!, axes: this.#axes, run: resolved.run, needed };
    return this.#onDevice("profile a program", () => profileSteps({ ...parts, signal: call.signal }, options));
  }

  /** Grows the buffers for a call if needed. Returns the sizes of the run. */
  async #makeRoom(call: Call): Promise<Resolved> {
    this.#expectAlive();
    call.signal?.throwIfAborted();
    const { resolved } = call;
    if (resolved !== this.#setting!.sizes) await this.#queue.drained();
    await this.#grow(resolved);
    this.#expectAlive();
    return resolved;
  }

  #onDevice<T>(what: string, body: () => T | Promise<T>): Promise<T> {
    return this.#allocator
      .sealed(() => checked(this.device, what, body))
      .catch((error: unknown) => {
        // If the session is disposed of, the staging buffer of a pending read is destroyed.
        throw this.#disposed ? new DisposedError() : error;
      });
  }

  #write({ seed, words, promises }: Call, resolved: Resolved, spare = true): void {
    this.#setting!.set(resolved, promises, seed, spare);
    this.program.inputs.forEach(({ slot }, i) => {
      if (slot !== null && words[i]!.length > 0) this.#tables.writeInput(slot, words[i]!);
    });
  }

  #expectAlive(): void {
    if (this.#disposed) throw new DisposedError();
    for (const owner of this.#owners) owner.#expectAlive();
    if (this.device.lostError) throw this.device.lostError;
  }

  /** Frees the session's buffers; runs under way and later ones fail with DisposedError. The device stays. */
  dispose(): void {
    this.#disposed = true;
    this.#firstRuns?.stop();
    this.#buffers.destroy();
    this.#steps?.destroy();
    this.#staging.destroy();
  }

  /**
   * Sizes at the extents in `max`, with the bound for other axes. If the bounds are too large for the device, other
   * axes have extent 1, and the buffers grow on demand.
   */
  #resolveMost(max: LoadOptions["max"]): Resolved {
    const fits = (resolved: Resolved): boolean => this.#buffers.limitFault(this.#slotBytes(resolved.values)) === null;
    return this.#resolver.most(checkMax(this.#axes, max), fits);
  }

  #stagingOf(resolved: Resolved): number {
    return this.#selections.of({ observe: true }).at(resolved).bytes;
  }

  /** Grows the buffers for a run. */
  async #grow(resolved: Resolved): Promise<void> {
    this.#bind(this.#buffers.replacedElsewhere());
    if (resolved === this.#setting!.sizes) return;
    const before = this.#allocator.made;
    const grown = await this.#buffers.ensure(this.#slotBytes(resolved.values));
    this.#bind(grown);
    if (grown.size > 0) this.#expectBytes(resolved.run);
    await this.#staging.ensure(this.#stagingOf(resolved));
    const [buffers, bytes] = [this.#allocator.made - before, this.#allocator.bytes];
    if (buffers > 0)
      this.#onProgress({
        kind: "grow",
        buffers,
        bytes,
        message: growthMessage(this.program.model, resolved.run, bytes),
      });
  }

  #expectBytes(run: RunSizes, exact?: ReadonlySet<number>): void {
    expectBytes(this.#predicted, run, this.#allocator.bytes - this.#staging.allBytes, exact);
  }

  /** Binds the present buffers of the slots, immediately: the old buffers are gone, even if the run fails. */
  #bind(slots: ReadonlySet<number>): void {
    if (slots.size > 0) this.#setting!.newBuffers(this.#buffers);
  }
}
