// Another device in place of a lost one, with the programs of an engine and empty caches.
import { type Device, type DeviceLostError, InputError, type WeightsInput } from "../runtime/index.js";
import { CacheMemory } from "./memory.js";
import { modelOf } from "./model.js";
import { checkEngine, type EngineLimits, type EngineOptions, type Paged } from "./options.js";
import { openAnother, placeFor, type EnginePlace } from "./place.js";

/** Losses without an answer between them after which requests are failed rather than read again. */
const MOST_IN_VAIN = 2;
/** Milliseconds after which a replacement that failed is tried again, at first and at most; a request tries at once. */
const RETRY = { first: 1000, most: 30_000 };

/** What an engine knows of its device: whether it is there, and when to look for another. */
export class Recovery {
  readonly #wanted: boolean;
  readonly #wake: () => void;
  /** Devices that were lost. */
  all = 0;
  #there = true;
  #device: Device | null = null;
  /** Replacements since a run was answered last. */
  #inVain = 0;
  #delay = 0;
  /** Whether a replacement failed that is not tried again yet. */
  #rests = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `wanted`: whether a lost device is replaced. `wake`: called when there may be something to do. */
  constructor(wanted: boolean, wake: () => void) {
    this.#wanted = wanted;
    this.#wake = wake;
  }

  /** Whether there is a device. */
  get ready(): boolean {
    return this.#there && !this.#device?.lostError;
  }
  /**
   * Whether it is time to look for another though no request needs it: balancers send none to a server without a
   * device. One that the program destroyed is replaced for a request alone.
   */
  due({ reason }: DeviceLostError): boolean {
    return this.#wanted && reason !== "destroyed" && !this.#rests;
  }
  /** Whether texts may be read again; where not, those to come may. */
  get worthwhile(): boolean {
    if (this.#inVain < MOST_IN_VAIN) return true;
    this.failed();
    return false;
  }

  /** Wakes the engine when the device is lost. */
  watch(device: Device): void {
    this.#device = device;
    void device.lost.then(() => this.#wake());
  }

  /** Whether the loss is a new one. */
  lost(): boolean {
    const known = !this.#there;
    this.#there = false;
    if (!known) this.all++;
    return !known;
  }

  replaced(device: Device): void {
    [this.#there, this.#delay] = [true, 0];
    this.#inVain++;
    this.watch(device);
  }

  failed(): void {
    this.#inVain = 0;
    this.#delay = Math.min(RETRY.most, Math.max(RETRY.first, 2 * this.#delay));
    this.#rests = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#rests = false;
      this.#wake();
    }, this.#delay);
    // Node's, which keeps no process alive; a page's is a number.
    if (typeof this.#timer === "object") this.#timer.unref();
  }

  /** A run was answered. */
  worked(): void {
    this.#inVain = 0;
  }
}

export interface Replacement {
  readonly device: Device;
  readonly paged: Paged;
  readonly memory: CacheMemory;
  readonly place: EnginePlace;
}

/** Null where no other is wanted. Throws what opening and loading throw, and InputError for another model. */
export async function replacement(
  lost: DeviceLostError,
  before: Paged,
  limits: EngineLimits,
  weights: WeightsInput | undefined,
  given: EngineOptions,
): Promise<Replacement | null> {
  const { signal: _, ...options } = given; // it was for loading
  const { recover = openAnother } = options;
  if (!recover) return null;
  const { device, generation } = await recover(lost);
  try {
    const paged = generation ? checkEngine(generation, options)[0] : before;
    expectSame(before, paged);
    const memory = new CacheMemory(paged, limits.cacheMemory);
    return { device, paged, memory, place: await placeFor(paged, device, weights, limits, memory, options) };
  } catch (error) {
    device.destroy();
    throw error;
  }
}

/** Texts go on with it: what they were checked against, and what is said of them, must be the same. */
function expectSame(before: Paged, after: Paged): void {
  if (JSON.stringify(modelOf(before)) !== JSON.stringify(modelOf(after)))
    throw new InputError("recover", "the generation for another device is that of another model");
}
