// Streaming text: decodes bytes to characters, and finds stop strings, which end a text and are not part of it.
import { InputError } from "../../runtime/index.js";

/** The part of a text that can be shown. */
export interface Streamed {
  /** New text that cannot become part of a stop string. */
  readonly text: string;
  /** The stop string that ended the text; null if there was none. */
  readonly stop: string | null;
}

/** Throws InputError for an empty stop string, or one with an unpaired surrogate. */
export function checkStops(stops: readonly string[]): void {
  for (const stop of stops) {
    if (typeof stop !== "string" || stop === "")
      throw new InputError("stop", "a stop string must be a text of at least one character");
    if (UNPAIRED_SURROGATE.test(stop))
      throw new InputError("stop", `a stop string must hold whole characters, found ${JSON.stringify(stop)}`);
  }
}

/**
 * Finds stop strings in a text that arrives in pieces; the result does not depend on the piece boundaries. The text
 * ends before the stop string that is completed first; of several that end at the same place, before the longest. Text
 * that may be the beginning of a stop string is withheld, and so is a high surrogate.
 */
export class StopMatcher {
  readonly #stops: readonly string[];
  #withheld = "";
  #stopped = false;

  /** Throws InputError for an empty stop string, or one with an unpaired surrogate. */
  constructor(stops: readonly string[]) {
    checkStops(stops);
    this.#stops = [...new Set(stops)];
  }

  /** The text that becomes certain with this piece; nothing after a stop string. */
  push(piece: string): Streamed {
    if (this.#stopped) return NOTHING;
    this.#withheld += piece;
    const found = this.#found();
    if (found) {
      const text = this.#withheld.slice(0, found.end - found.stop.length);
      this.#withheld = "";
      this.#stopped = true;
      return { text, stop: found.stop };
    }
    const certain = this.#withheld.length - this.#undecidedLength();
    const text = this.#withheld.slice(0, certain);
    this.#withheld = this.#withheld.slice(certain);
    return { text, stop: null };
  }

  /** The withheld text, when the text has ended without a stop string. */
  end(): string {
    const text = this.#withheld;
    this.#withheld = "";
    this.#stopped = true;
    return text.replace(UNPAIRED_SURROGATE, "\ufffd");
  }

  #found(): { readonly stop: string; readonly end: number } | null {
    let first: { readonly stop: string; readonly end: number } | null = null;
    for (const stop of this.#stops) {
      const at = this.#withheld.indexOf(stop);
      if (at < 0) continue;
      const end = at + stop.length;
      if (!first || end < first.end || (end === first.end && stop.length > first.stop.length)) first = { stop, end };
    }
    return first;
  }

  /** The number of characters at the end that may be the beginning of a stop string or of a surrogate pair. */
  #undecidedLength(): number {
    const last = this.#withheld.charCodeAt(this.#withheld.length - 1);
    let most = last >= 0xd800 && last < 0xdc00 ? 1 : 0;
    for (const stop of this.#stops)
      for (let n = Math.min(stop.length - 1, this.#withheld.length); n > most; n--)
        if (this.#withheld.endsWith(stop.slice(0, n))) {
          most = n;
          break;
        }
    return most;
  }
}

/** An unpaired surrogate; in a stream only the last character can be one. */
const UNPAIRED_SURROGATE = /\p{Surrogate}/u;

const NOTHING: Streamed = { text: "", stop: null };

/**
 * Decodes UTF-8 bytes that arrive one by one: invalid bytes become U+FFFD, as in WHATWG's decoder; a byte order mark is
 * kept.
 */
export class ByteText {
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  /** The characters that these bytes complete. */
  push(bytes: ArrayLike<number>): string {
    return this.#decoder.decode(Uint8Array.from(bytes), { stream: true });
  }

  /** U+FFFD if the text ends in the middle of a character, else nothing. */
  end(): string {
    return this.#decoder.decode();
  }
}

/** A streaming decoder of one sequence's tokens. */
export interface TokenDecoder {
  /** The characters that a token completes; often none. */
  add(token: number): string;
  /** The remaining text after the last token. */
  finish(): string;
}

/** Collects the text of one sequence that can be shown. */
export class TextWriter {
  readonly #matcher: StopMatcher;
  #fresh = "";
  #stopped = false;

  constructor(
    readonly decoder: TokenDecoder,
    stop: readonly string[],
  ) {
    this.#matcher = new StopMatcher(stop);
  }

  /** Whether a stop string ended the text. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Adds a token; returns whether a stop string has ended the text. */
  add(token: number): boolean {
    return this.#write(this.decoder.add(token));
  }

  /** Adds the withheld text, unless a stop string ended the text. */
  finish(): void {
    if (!this.#stopped && !this.#write(this.decoder.finish())) this.#fresh += this.#matcher.end();
  }

  /** Returns the text since the last call. */
  take(): string {
    const text = this.#fresh;
    this.#fresh = "";
    return text;
  }

  #write(piece: string): boolean {
    const { text, stop } = this.#matcher.push(piece);
    this.#fresh += text;
    this.#stopped ||= stop !== null;
    return this.#stopped;
  }
}
