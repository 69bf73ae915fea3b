// What an engine knows of its device: whether it is there, and when to look for another.
import { Retry } from "../../ground/base/retry.js";
import type { Device, DeviceLostError } from "../../runtime/index.js";

/** So many replacements without an answered run between them: at the next loss requests are failed, not read again. */
const MOST_IN_VAIN = 2;

export class Recovery {
  readonly #wanted: boolean;
  readonly #wake: () => void;
  readonly #retry = new Retry();
  /** Devices that were lost. */
  losses = 0;
  #hasDevice = true;
  #device: Device | null = null;
  /** Replacements since a run was answered last. */
  #inVain = 0;

  /** `wanted`: whether a lost device is replaced. `wake`: called when there may be something to do. */
  constructor(wanted: boolean, wake: () => void) {
    this.#wanted = wanted;
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
    return this.#inVain < MOST_IN_VAIN;
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
