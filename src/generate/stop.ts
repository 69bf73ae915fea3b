// Text as it streams: bytes that become characters, and stop strings, which end a text and are no part of it.
import { InputError } from "../runtime/index.js";

/** What can be shown of a text so far. */
export interface Streamed {
  /** New text, which no stop string can take back. */
  readonly text: string;
  /** The stop string that ends the text; null: it goes on. */
  readonly stop: string | null;
}

/** Throws InputError for an empty stop string, or one with half a character. */
export function checkStops(stops: readonly string[]): void {
  for (const stop of stops) {
    if (typeof stop !== "string" || stop === "")
      throw new InputError("stop", "a stop string must be a text of at least one character");
    if (HALF.test(stop))
      throw new InputError("stop", `a stop string must hold whole characters, found ${JSON.stringify(stop)}`);
  }
}

/**
 * Finds stop strings in a text that comes in pieces, of whatever length: what is found does not depend on where pieces
 * end. The text ends before the stop string that is complete first; of those that end at the same place, before the
 * longest. Text that may yet be the beginning of a stop string is held back, and so is half a surrogate pair.
 */
export class StopMatcher {
  readonly #stops: readonly string[];
  #held = "";
  #stopped = false;

  /** Throws InputError for an empty stop string, or one with half a character. */
  constructor(stops: readonly string[]) {
    checkStops(stops);
    this.#stops = [...new Set(stops)];
  }

  /** What the piece adds; nothing after a stop string. */
  push(piece: string): Streamed {
    if (this.#stopped) return NOTHING;
    this.#held += piece;
    const found = this.#found();
    if (found) {
      const text = this.#held.slice(0, found.end - found.stop.length);
      this.#held = "";
      this.#stopped = true;
      return { text, stop: found.stop };
    }
    const sure = this.#held.length - this.#undecided();
    const text = this.#held.slice(0, sure);
    this.#held = this.#held.slice(sure);
    return { text, stop: null };
  }

  /** What was held back, once the text has ended without a stop string. */
  end(): string {
    const text = this.#held;
    this.#held = "";
    this.#stopped = true;
    return text.replace(HALF, "\ufffd");
  }

  #found(): { readonly stop: string; readonly end: number } | null {
    let first: { readonly stop: string; readonly end: number } | null = null;
    for (const stop of this.#stops) {
      const at = this.#held.indexOf(stop);
      if (at < 0) continue;
      const end = at + stop.length;
      if (!first || end < first.end || (end === first.end && stop.length > first.stop.length)) first = { stop, end };
    }
    return first;
  }

  /** Characters at the end that may be the beginning of a stop string, or of a surrogate pair. */
  #undecided(): number {
    const last = this.#held.charCodeAt(this.#held.length - 1);
    let most = last >= 0xd800 && last < 0xdc00 ? 1 : 0;
    for (const stop of this.#stops)
      for (let n = Math.min(stop.length - 1, this.#held.length); n > most; n--)
        if (this.#held.endsWith(stop.slice(0, n))) {
          most = n;
          break;
        }
    return most;
  }
}

/** Half a surrogate pair without the other; at the end of a text there can be one only. */
const HALF = /\p{Surrogate}/u;

const NOTHING: Streamed = { text: "", stop: null };

/**
 * Characters of UTF-8 bytes that come one by one: what is no character is U+FFFD, as in WHATWG's decoder; no byte order
 * mark is taken away.
 */
export class ByteText {
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  /** The characters that these bytes complete. */
  push(bytes: ArrayLike<number>): string {
    return this.#decoder.decode(Uint8Array.from(bytes), { stream: true });
  }

  /** U+FFFD where the text ends in the middle of a character. */
  end(): string {
    return this.#decoder.decode();
  }
}
