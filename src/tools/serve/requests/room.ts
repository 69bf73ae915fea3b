// Room for the texts of a request, asked for before they are encoded: a full server does no work for those it refuses.
import { QueueFullError, type Engine } from "../../../generation/engine/index.js";
import { queueFull } from "./errors.js";
import type { Metrics } from "./metrics.js";

/** The place of a request's texts, from before they are encoded until they have ended. */
export interface Reserved {
  /** The engine has them. */
  submitted(): void;
  /** One of them has ended. */
  ended(): void;
  /** Gives back what is still taken: the request is over, or was never begun. */
  release(): void;
}

export class Room {
  readonly #engine: Engine;
  readonly #most: number;
  readonly #metrics: Metrics;
  /** Texts that are being encoded, and those that the engine has and that have not ended. */
  #encoding = 0;
  #running = 0;

  /** `most`: texts under way and waiting; Infinity: what the engine takes. */
  constructor(engine: Engine, most: number, metrics: Metrics) {
    this.#engine = engine;
    this.#most = most;
    this.#metrics = metrics;
  }

  /** Throws RequestError where there is no room for so many texts. */
  take(texts: number): Reserved {
    const { active, queued } = this.#engine.state;
    // Both may be too high: the engine's count by texts that have just ended, this one's by ends that nobody has read.
    const taken = this.#encoding + Math.min(this.#running, active + queued);
    const free = Math.max(0, this.#most - taken);
    if (texts > free) {
      const fault = new QueueFullError(queued + this.#encoding, retryAfter(this.#metrics.lastWait));
      throw free === 0 ? queueFull(fault) : queueFull(fault, fewer(texts, free));
    }
    let [encoding, running] = [texts, 0];
    this.#encoding += texts;
    const drop = (count: number): void => {
      running -= count;
      this.#running -= count;
    };
    const submitted = (): void => {
      this.#encoding -= encoding;
      this.#running += encoding;
      running += encoding;
      encoding = 0;
    };
    return {
      submitted,
      ended: () => drop(Math.min(1, running)),
      release() {
        submitted();
        drop(running);
      },
    };
  }
}

/** What is said where some of a request's texts have room. */
export const fewer = (texts: number, free: number): string =>
  `the request asks for ${texts} choices, but there is room for ${free} now`;

/** Whole seconds, from how long texts wait. */
const retryAfter = (seconds: number): number => Math.max(1, Math.min(600, Math.ceil(seconds)));
