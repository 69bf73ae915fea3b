// Judges whether a tokenizer encodes every text in little time on the calling thread. Any other tokenizer runs in a
// worker with a time limit, or is refused if there are no workers.
import { quotedName } from "../../ground/base/shown.js";
import type { Description } from "./description.js";
import { mayBeEmpty, patternCost } from "./pattern-cost.js";

export interface Judged {
  /** The first part that nobody can vouch for, as the end of a sentence; null: there is none. */
  readonly doubt: string | null;
  /** The most characters of a text, once normalized, that take less than about 50 ms, whatever they are. */
  readonly quick: number;
}

/** More parts, or parts in parts, are not judged. */
const MAX_PARTS = 32;
const MAX_NESTING = 8;
/** The most characters that a part adds to a text or to each word. */
const MAX_ADDED = 64;
/** How many times longer all parts may make a text. */
const MAX_GROWTH = 64;
/** Longer pieces make Unigram and WordPiece take long. */
const MAX_PIECE = { unigram: 64, wordPiece: 256 } as const;
/** Longer added tokens take long: each place of a text is compared with them. */
const MAX_ADDED_TOKEN = 256;
/** Items around a text. */
const MAX_AROUND = 64;
/** The most steps of the patterns for each character, and as a share of the length of the text. */
const MAX_STEPS = { fixed: 1000, long: 24 } as const;
/** The length of a quick text, if no part makes it longer. */
const QUICK = 2048;
/** Steps of patterns, and of comparisons with pieces of words, that take about 50 ms. */
const STEPS = { patterns: 20_000_000, pieces: 30_000_000 } as const;
/** The steps for each character of a normalizer without a pattern. */
const PLAIN = 16;

/** How many times longer a part may make a text. */
const GROWTH: ReadonlyMap<string, number> = new Map([
  ["BertNormalizer", 3],
  ["Lowercase", 2],
]);
/** Thrown for the first part in doubt. */
class Doubt extends Error {
  override readonly name = "Doubt";
}

function doubt(message: string): never {
  throw new Doubt(message);
}

/** `longest`: characters of the longest piece. */
export function judge(description: Description, longest: number): Judged {
  try {
    const tokens = listOf(description["added_tokens"])
      .map(partOf)
      .filter((token) => token !== null);
    const added = tokens.map(({ content }) => lengthOf(content));
    const parts = new Parts(added.length > 0 ? added.reduce((a, b) => Math.min(a, b)) : null);
    parts.normalizer(description["normalizer"], 0);
    const normalizing = parts.steps();
    const { growth } = parts;
    parts.preTokenizer(description["pre_tokenizer"], 0);
    postProcessor(description["post_processor"]);
    const pieces = model(description.model, longest);
    const most = added.reduce((a, b) => Math.max(a, b), 0) * parts.growth;
    if (most > MAX_ADDED_TOKEN) doubt(`it has an added token of ${Math.round(most)} characters, once normalized`);
    if (partOf(description["normalizer"])) expectNormalized(tokens, (length) => normalizing(length * growth));
    const quick = Math.min(QUICK, Math.sqrt(STEPS.patterns / Math.max(1, parts.long)), STEPS.pieces / pieces ** 2);
    return { doubt: null, quick: Math.floor(quick / parts.growth) };
  } catch (fault) {
    if (fault instanceof Doubt) return { doubt: fault.message, quick: 0 };
    throw fault;
  }
}

type Part = Readonly<Record<string, unknown>>;

/** An invalid part is left to the library, which refuses it. */
const partOf = (value: unknown): Part | null =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Part) : null;

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? (value as readonly unknown[]) : []);

const lengthOf = (value: unknown): number => (typeof value === "string" ? value.length : 0);

/** The library normalizes added tokens when it is created. `steps`: for a token of this length. */
function expectNormalized(tokens: readonly Part[], steps: (length: number) => number): void {
  let all = 0;
  for (const { content, normalized, special } of tokens) {
    if (typeof content !== "string" || !(normalized ?? special !== true)) continue;
    all += steps(content.normalize("NFKD").length);
    if (all > STEPS.patterns) doubt("its added tokens together take long to normalize");
  }
}

class Parts {
  growth = 1;
  /** The patterns' steps per character, divided by the text's length. */
  long = 0;
  #fixed = 0;
  #parts = 0;
  #byteLevel = 0;
  /** Whether a part has cut the text, at the shortest into single characters. */
  #words = false;

  /** `shortest`: characters of the shortest added token, which cut texts; null: there is none. */
  constructor(readonly shortest: number | null) {}

  normalizer(value: unknown, depth: number): void {
    const part = this.#begin(value, depth);
    if (part === null) return;
    const type = String(part["type"]);
    if (type === "Sequence") for (const item of listOf(part["normalizers"])) this.normalizer(item, depth + 1);
    else if (type === "Replace") this.#replace(part);
    else if (type === "Prepend") this.#before(this.#added("prepend", part["prepend"]));
    // A text, or an addition of a part, is measured by its longest normal form.
    else if (/^NFK?[CD]$/.test(type) || type === "Precompiled") return;
    else this.#grow(GROWTH.get(type) ?? 1); // the library refuses kinds that it does not know
  }

  preTokenizer(value: unknown, depth: number): void {
    const part = this.#begin(value, depth);
    if (part === null) return;
    const type = String(part["type"]);
    if (type === "Sequence") for (const item of listOf(part["pretokenizers"])) this.preTokenizer(item, depth + 1);
    else if (type === "Replace") this.#replace(part);
    else if (type === "Metaspace") {
      const written = this.#added("replacement", part["str_rep"] || (part["replacement"] ?? " "));
      this.#grow(Math.max(1, written));
      this.#before(written);
    } else {
      if (type === "Split") this.#pattern(part["pattern"]);
      if (type === "ByteLevel") {
        this.#grow(this.#byteLevel++ === 0 ? 1 : 3);
        if (part["add_prefix_space"] === true) this.#before(1);
      }
      if (type === "FixedLength" && !(Number.isInteger(part["length"]) && (part["length"] as number) > 0))
        doubt("it cuts texts into empty parts");
      this.#words = true;
    }
  }

  /** The steps of all parts so far, by the length of the text. */
  steps(): (length: number) => number {
    const [parts, fixed, long] = [this.#parts, this.#fixed, this.long];
    return (length) => length * (PLAIN * parts + fixed + long * length);
  }

  #begin(value: unknown, depth: number): Part | null {
    if (++this.#parts > MAX_PARTS || depth > MAX_NESTING) doubt(`it has more than ${MAX_PARTS} parts`);
    return partOf(value);
  }

  #grow(times: number): void {
    this.growth *= times;
    if (this.growth > MAX_GROWTH) doubt("its parts lengthen texts without limit");
  }

  /** Characters before each word, or before each text between added tokens. */
  #before(characters: number): void {
    if (this.#words) this.#grow(1 + characters);
    else if (this.shortest !== null) this.#grow(1 + characters / (1 + this.shortest));
  }

  #replace(part: Part): void {
    const found = this.#pattern(part["pattern"]);
    const content = String(part["content"] ?? "");
    if (/\$[`']/.test(content)) doubt("its replacements repeat the text around them");
    const added = this.#added("content", content);
    // A part of a match, for example $&, is never longer than the match.
    const growth = added / (content.includes("$") ? 1 : found.characters);
    if (found.empty) this.#grow(1 + added);
    else if (growth > 1) this.#grow(growth);
  }

  /** The characters of what a part adds, in their longest normal form. */
  #added(name: string, value: unknown): number {
    const length =
      lengthOf(value) > MAX_ADDED ? lengthOf(value) : lengthOf(value) && String(value).normalize("NFKD").length;
    if (length > MAX_ADDED) doubt(`its ${name} has ${length} characters`);
    return length;
  }

  /** The least characters of a match, and whether a match may have none. */
  #pattern(value: unknown): { readonly characters: number; readonly empty: boolean } {
    const { Regex: regex, String: text } = partOf(value) ?? {};
    if (typeof regex !== "string") return { characters: Math.max(1, lengthOf(text)), empty: lengthOf(text) === 0 };
    const cost = patternCost(regex);
    if (cost === null) return doubt(`its pattern ${quotedName(regex)} may never end`);
    this.long += cost.long;
    this.#fixed += cost.fixed;
    if (this.long > MAX_STEPS.long || this.#fixed > MAX_STEPS.fixed) doubt("its patterns together take long");
    return { characters: 1, empty: mayBeEmpty(regex) };
  }
}

function postProcessor(value: unknown, depth = 0, count = { parts: 0 }): void {
  const part = partOf(value);
  if (part === null) return;
  if (depth > MAX_NESTING || ++count.parts > MAX_PARTS) doubt("it has many post_processors");
  for (const processor of listOf(part["processors"])) postProcessor(processor, depth + 1, count);
  const around = listOf(part["single"]);
  const texts = around.filter((item) => partOf(item)?.["Sequence"] !== undefined);
  if (around.length > MAX_AROUND || texts.length > 1) doubt("its post_processor repeats a text");
}

/** The characters of the longest piece that each place of a word is compared with, at least 1. */
function model({ type, vocab, ...rest }: Description["model"], longest: number): number {
  for (const name of ["end_of_word_suffix", "continuing_subword_suffix", "continuing_subword_prefix"])
    if (lengthOf(rest[name]) > MAX_ADDED) doubt(`its ${name} has ${lengthOf(rest[name])} characters`);
  if ((type === "Unigram" || Array.isArray(vocab)) && longest > MAX_PIECE.unigram)
    doubt(`it has a piece of ${longest} characters, which take long with scores`);
  // The library may run any model as a WordPiece, by its fields, except BPE and Unigram.
  if (type === "BPE" || type === "Unigram" || Array.isArray(vocab)) return 1;
  const most = Math.min(longest, wordLimit(rest["max_input_chars_per_word"]));
  if (most > MAX_PIECE.wordPiece) doubt(`it has a piece of ${longest} characters, and reads words as long`);
  return Math.max(1, most);
}

/** The most characters of a word, if WordPiece reads it. */
export const wordLimit = (value: unknown): number => (typeof value === "number" ? value : 100);
