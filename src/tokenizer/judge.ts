// Judges whether a tokenizer encodes every text in little time on the calling thread. One that it cannot vouch for runs
// in a worker that is ended after a bound, or is refused where there is none.
import { quotedName } from "../size/shown.js";
import type { Description } from "./description.js";
import { patternCost } from "./pattern-cost.js";

export interface Judged {
  /** The first part that nobody can vouch for, as the end of a sentence; null: there is none. */
  readonly doubt: string | null;
  /** The most characters of a text, once normalized, that take less than about 50 ms, whatever they are. */
  readonly quick: number;
}

/** More parts, or parts in parts, are not judged. */
const MAX_PARTS = 32;
const MAX_NESTING = 8;
/** Characters that a part may add to a text, or to each word. */
const MAX_ADDED = 64;
/** Longer pieces make Unigram and WordPiece take long. */
const MAX_PIECE = { unigram: 64, wordPiece: 256 } as const;
/** Items around a text. */
const MAX_AROUND = 64;
/** The most steps of the patterns for each character, as a share of the length of the text. */
const MAX_LONG = 24;
/** The length of a quick text, if no part makes it longer. */
const QUICK = 2048;

/** How many times longer a part may make a text. */
const GROWTH: ReadonlyMap<string, number> = new Map([
  ["BertNormalizer", 3],
  ["Lowercase", 2],
]);
/** Thrown for the first part in doubt. */
class Doubt extends Error {
  override readonly name = "Doubt";
}

const doubt = (message: string): never => {
  throw new Doubt(message);
};

/** `longest`: characters of the longest piece. */
export function judge(description: Description, longest: number): Judged {
  try {
    const parts = new Parts();
    parts.normalizer(description["normalizer"], 0);
    parts.preTokenizer(description["pre_tokenizer"], 0);
    postProcessor(description["post_processor"]);
    model(description.model, longest);
    return { doubt: null, quick: Math.floor(QUICK / parts.growth) };
  } catch (fault) {
    if (fault instanceof Doubt) return { doubt: fault.message, quick: 0 };
    throw fault;
  }
}

type Part = Readonly<Record<string, unknown>>;

/** What cannot be a part is left to the library, which refuses it. */
const partOf = (value: unknown): Part | null =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Part) : null;

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? (value as readonly unknown[]) : []);

const lengthOf = (value: unknown): number => (typeof value === "string" ? value.length : 0);

class Parts {
  growth = 1;
  #parts = 0;
  #long = 0;

  normalizer(value: unknown, depth: number): void {
    const part = this.#begin(value, depth);
    if (part === null) return;
    const type = String(part["type"]);
    if (type === "Sequence") for (const own of listOf(part["normalizers"])) this.normalizer(own, depth + 1);
    else if (type === "Replace") this.#replace(part);
    else if (type === "Prepend") this.#added("prepend", part["prepend"]);
    // Normal forms grow in texts of rare characters alone, which are measured where a text is encoded.
    else if (/^NFK?[CD]$/.test(type) || type === "Precompiled") return;
    else this.growth *= GROWTH.get(type) ?? 1; // the library refuses kinds that it does not know
  }

  preTokenizer(value: unknown, depth: number): void {
    const part = this.#begin(value, depth);
    if (part === null) return;
    const type = String(part["type"]);
    if (type === "Sequence") for (const own of listOf(part["pretokenizers"])) this.preTokenizer(own, depth + 1);
    else if (type === "Split") this.#pattern(part["pattern"]);
    else if (type === "Replace") this.#replace(part);
    else if (type === "ByteLevel") this.growth *= this.#byteLevel++ === 0 ? 1 : 3;
    else if (type === "Metaspace") {
      this.#added("str_rep", part["str_rep"]);
      this.growth *= Math.max(1, lengthOf(part["str_rep"]));
    } else if (type === "FixedLength") {
      if (!(Number.isInteger(part["length"]) && (part["length"] as number) > 0))
        doubt("it cuts texts into parts of no length");
    }
  }

  #byteLevel = 0;

  #begin(value: unknown, depth: number): Part | null {
    if (++this.#parts > MAX_PARTS || depth > MAX_NESTING) doubt(`it has more than ${MAX_PARTS} parts`);
    return partOf(value);
  }

  #replace(part: Part): void {
    const own = this.#pattern(part["pattern"]);
    const growth = lengthOf(part["content"]) / Math.max(1, own ?? 1);
    this.#added("content", part["content"]);
    if (growth > 1 || own === 0) this.growth *= growth + 1;
    if (this.growth > MAX_ADDED) doubt("its replacements make texts longer and longer");
  }

  #added(name: string, value: unknown): void {
    if (lengthOf(value) > MAX_ADDED) doubt(`its ${name} has ${lengthOf(value)} characters`);
  }

  /** The length of a text that is looked for; null for a pattern. */
  #pattern(value: unknown): number | null {
    const { Regex: regex, String: text } = partOf(value) ?? {};
    if (typeof regex !== "string") return lengthOf(text);
    const cost = patternCost(regex);
    if (cost === null) doubt(`its pattern ${quotedName(regex)} may take time without end`);
    this.#long += cost!.long;
    if (this.#long > MAX_LONG) doubt("its patterns together take long");
    return null;
  }
}

function postProcessor(value: unknown, depth = 0): void {
  const part = partOf(value);
  if (part === null) return;
  const parts = listOf(part["processors"]);
  if (depth > MAX_NESTING || parts.length > MAX_PARTS) doubt("it has many post_processors");
  for (const own of parts) postProcessor(own, depth + 1);
  const around = listOf(part["single"]);
  const texts = around.filter((item) => partOf(item)?.["Sequence"] !== undefined);
  if (around.length > MAX_AROUND || texts.length > 1) doubt("its post_processor repeats a text");
}

function model({ type, vocab, ...rest }: Description["model"], longest: number): void {
  for (const name of ["end_of_word_suffix", "continuing_subword_suffix", "continuing_subword_prefix"])
    if (lengthOf(rest[name]) > MAX_ADDED) doubt(`its ${name} has ${lengthOf(rest[name])} characters`);
  if ((type === "Unigram" || Array.isArray(vocab)) && longest > MAX_PIECE.unigram)
    doubt(`it has a piece of ${longest} characters, which take long with scores`);
  if (
    (type === "WordPiece" || type === undefined) &&
    Math.min(longest, wordLimit(rest["max_input_chars_per_word"])) > MAX_PIECE.wordPiece
  )
    doubt(`it has a piece of ${longest} characters, and reads words as long`);
}

/** The most characters of a word, if WordPiece reads it. */
export const wordLimit = (value: unknown): number => (typeof value === "number" ? value : 100);
