// Recovery from the loss of a device: whether there is a device, when to look for another, and the same model on it.
import { Retry } from "../../ground/base/retry.js";
import { type Device, type DeviceLostError, InputError, openDevice } from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Recovered } from "../types.js";
import type { Sequence } from "./sequence.js";
import { modelOf } from "./use.js";

/** Opens another device in place of a lost one, and the generation for it if that differs. */
export type Recover = (lost: DeviceLostError) => Promise<{ readonly device: Device; readonly generation?: Generation }>;

/**
 * The same model on another device, which `open` loads it onto; null if none is wanted. `recover`: by default the best
 * available device. Throws what opening and loading throw, and InputError for another model.
 */
export async function replacement<T>(
  lost: DeviceLostError,
  before: Generation,
  { recover = async () => ({ device: await openDevice() }) }: { readonly recover?: Recover | null },
  open: (generation: Generation, device: Device) => Promise<T>,
): Promise<T | null> {
  if (!recover) return null;
  const { device, generation = before } = await recover(lost);
  try {
    // Sequences continue: what they were checked against, and what was reported of them, must be the same.
    if (JSON.stringify(modelOf(before)) !== JSON.stringify(modelOf(generation)))
      throw new InputError("recover", "the generation for the other device is of another model");
    return await open(generation, device);
  } catch (error) {
    device.destroy();
    throw error;
  }
}

/** Sequences that are read again on another device. */
export class Restoring {
  readonly #lost: DeviceLostError;
  /** How far each was read. */
  readonly #left: Map<Sequence, number>;
  readonly #tokens: number;
  readonly #began = performance.now();

  constructor(lost: DeviceLostError, sequences: readonly Sequence[]) {
    this.#lost = lost;
    this.#left = new Map(sequences.map((sequence) => [sequence, sequence.length]));
    this.#tokens = sequences.reduce((sum, { length }) => sum + length, 0);
  }

  /** The event to report after an answer that changed these sequences; null before all are read again. */
  after(changed: readonly Sequence[], device: Device): Recovered | null {
    for (const sequence of changed)
      if (sequence.over || sequence.read >= (this.#left.get(sequence) ?? 0)) this.#left.delete(sequence);
    if (this.#left.size > 0) return null;
    const milliseconds = performance.now() - this.#began;
    return { lost: this.#lost, device, tokens: this.#tokens, milliseconds };
  }
}

export class Recovery {
  readonly #wanted: boolean;
  readonly #mostInVain: number;
  readonly #wake: () => void;
  readonly #retry = new Retry();
  /** Devices that were lost. */
  losses = 0;
  #hasDevice = true;
  #device: Device | null = null;
  /** Replacements since a run was answered last. */
  #inVain = 0;

  /**
   * `wanted`: whether a lost device is replaced. `mostInVain`: replacements without an answered run between them,
   * before a loss ends all sequences. `wake`: called when there may be something to do.
   */
  constructor(wanted: boolean, mostInVain: number, wake: () => void) {
    this.#wanted = wanted;
    this.#mostInVain = mostInVain;
    this.#wake = wake;
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
    return this.#wanted && reason !== "destroyed" && !this.#retry.rests;
  }

  /** Whether texts may be read again on another device; where not, those to come may. */
  get mayReadAgain(): boolean {
    return this.#inVain < this.#mostInVain;
  }

  /** Wakes the engine when the device is lost. */
  watch(device: Device): void {
    this.#device = device;
    void device.lost.then(() => this.#wake());
  }

  /** Notes a loss; whether it is a new one. */
  noteLoss(): boolean {
    const isNew = this.#hasDevice;
    this.#hasDevice = false;
    if (isNew) this.losses++;
    return isNew;
  }

  replaced(device: Device): void {
    this.#retry.stop();
    this.#hasDevice = true;
    this.#inVain++;
    this.watch(device);
  }

  /** No other device could be had, or none is looked for now: that is done again later. */
  failed(): void {
    this.#inVain = 0;
    this.#retry.after(this.#wake);
  }

  /** A run was answered. */
  worked(): void {
    this.#inVain = 0;
  }
}
