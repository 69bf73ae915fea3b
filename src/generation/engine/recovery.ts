// Recovery from the loss of a device: whether there is a device, when to look for another, and the same model on it.
import { Retry } from "../../ground/base/retry.js";
import { type Device, type DeviceLostError, InputError, openDevice } from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Recover, Recovered } from "../types.js";
import type { Caches } from "./caches/caches.js";
import type { Core, LossHandler, Opened } from "./core.js";
import { noOtherDevice } from "./errors.js";
import { disposePlace } from "./place.js";
import { endUnfitting, putBack } from "./room.js";
import type { Sequence } from "./sequences/sequence.js";
import { modelOf } from "./summary.js";

export interface RecoveryOptions<C extends Caches> {
  /** By default the best available device; null: a loss ends all sequences. */
  readonly recover?: Recover | null | undefined;
  /** Loads a generation onto a device, in place of the lost one. */
  readonly open: (generation: Generation, device: Device, signal: AbortSignal) => Promise<Opened<C>>;
  /** Replacements without an answer between them, before a loss ends all sequences. */
  readonly mostInVain: number;
  /** Called when the device is lost. */
  readonly lost?: () => void;
  /** Called when sequences continue on another device. */
  readonly onRecovered?: ((event: Recovered) => void) | undefined;
  /** Called when there may be something to do. */
  readonly wake?: () => void;
}

/** Sequences that are read again on another device. */
interface Restoring {
  readonly lost: DeviceLostError;
  /** How far each is to be read. */
  readonly left: Map<Sequence, number>;
  readonly tokens: number;
  readonly began: number;
}

export class Recovery<C extends Caches> implements LossHandler<C> {
  readonly #options: RecoveryOptions<C>;
  readonly #retry = new Retry();
  losses = 0;
  #hasDevice = true;
  #device: Device | null = null;
  /** The device that was opened in place of a lost one. */
  #replacement: Device | null = null;
  /** Replacements since a run was answered last. */
  #inVain = 0;
  #restoring: Restoring | null = null;
  readonly #stopped = new AbortController();

  constructor(options: RecoveryOptions<C>) {
    this.#options = options;
  }

  /** Whether there is a device. */
  get ready(): boolean {
    return this.#hasDevice && !this.#device?.lostError;
  }

  /**
   * Whether it is time to look for another though no request needs it: balancers send none to a server without a
   * device. One that the program destroyed is replaced for a request alone.
   */
  due({ reason }: DeviceLostError): boolean {
    return this.#options.recover !== null && reason !== "destroyed" && !this.#retry.rests;
  }

  watch(device: Device): void {
    this.#device = device;
    void device.lost.then(() => this.#options.wake?.());
  }

  note(): void {
    if (!this.#hasDevice) return;
    this.#hasDevice = false;
    this.losses++;
    this.#options.lost?.();
  }

  /** Reports that sequences continue on another device, once all of them are read again. */
  worked(changed: readonly Sequence[]): void {
    this.#inVain = 0;
    if (!this.#restoring) return;
    const { lost, left, tokens, began } = this.#restoring;
    for (const sequence of changed)
      if (sequence.over || sequence.read >= (left.get(sequence) ?? 0)) left.delete(sequence);
    if (left.size > 0) return;
    this.#restoring = null;
    this.#options.onRecovered?.({ lost, device: this.#device!, tokens, milliseconds: performance.now() - began });
  }

  async recover(core: Core<C>, lost: DeviceLostError): Promise<void> {
    this.note();
    for (const sequence of core.roster.active.toReversed()) putBack(core, sequence);
    const active = core.roster.waiting.filter(({ cached }) => cached !== null);
    const began = performance.now();
    const left = new Map(active.map((sequence) => [sequence, sequence.length]));
    const tokens = active.reduce((sum, { length }) => sum + length, 0);
    const own = active.find(({ group }) => group)?.settled.signal;
    const signal = AbortSignal.any([this.#stopped.signal, ...(own ? [own] : [])]);
    try {
      if (this.#options.recover === null) return core.failAll(lost);
      if (this.#inVain >= this.#options.mostInVain) throw lost;
      const opened = await this.#replaced(core.opened.generation, lost, signal);
      core.replace(opened);
      this.#replacement?.destroy();
      this.#replacement = opened.place.device;
      this.#restoring = active.length > 0 ? { lost, left, tokens, began } : null;
      this.#retry.stop();
      this.#hasDevice = true;
      this.#inVain++;
      this.watch(opened.place.device);
      endUnfitting(core);
    } catch (error) {
      // Whoever aborted it has ended its sequences. Later ones wait for a recovery of their own.
      if (signal.aborted) return;
      this.#inVain = 0;
      this.#retry.after(() => this.#options.wake?.());
      core.failAll(error === lost ? lost : noOtherDevice(lost, error));
    }
  }

  /**
   * The same model on another device. Throws what opening and loading throw, the reason of the signal, and InputError
   * for another model.
   */
  async #replaced(before: Generation, lost: DeviceLostError, signal: AbortSignal): Promise<Opened<C>> {
    const { open } = this.#options;
    const recover: Recover = this.#options.recover ?? (async () => ({ device: await openDevice() }));
    const arrival = await unlessAborted(signal, recover(lost), (late) => late.device.destroy());
    const { device, generation = before } = arrival;
    try {
      // Sequences continue, so the model that they were checked against must be the same.
      const same = JSON.stringify(modelOf(before)) === JSON.stringify(modelOf(generation));
      if (!same || !before.pages !== !generation.pages)
        throw new InputError(
          "recover",
          "the generation for the other device belongs to another model, or has other caches",
        );
      return await unlessAborted(signal, open(generation, device, signal), ({ place }) => disposePlace(place));
    } catch (error) {
      device.destroy();
      throw error;
    }
  }

  /** Looks for no other device. A recovery under way ends at once, and a device that arrives later is destroyed. */
  stop(): void {
    this.#retry.stop();
    this.#stopped.abort();
  }

  dispose(): void {
    this.stop();
    this.#replacement?.destroy();
    this.#replacement = null;
  }
}

/** What a promise gives. If the signal aborts before, throws its reason, and `late` takes what the promise gives. */
async function unlessAborted<T>(signal: AbortSignal, promise: Promise<T>, late: (value: T) => void): Promise<T> {
  let abort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason as Error);
  });
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort();
  try {
    const value = await Promise.race([promise, aborted]);
    signal.throwIfAborted();
    return value;
  } catch (error) {
    if (signal.aborted) promise.then(late, () => {}); // its error came too late for anyone
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
