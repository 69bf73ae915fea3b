// Splits an answer, as it streams, into text and calls of tools.
import type { ToolFormat, WrittenCall } from "./formats.js";

export interface ToolCallPart {
  readonly kind: "call";
  readonly index: number;
  readonly id: string;
  readonly name: string;
  /** JSON. */
  readonly arguments: string;
}

export type AnswerPart = { readonly kind: "text"; readonly text: string } | ToolCallPart;

/** The tools of a request, and how its model calls them. */
export interface CallableTools {
  readonly format: ToolFormat;
  readonly names: ReadonlySet<string>;
  /** Whether an answer may make several calls. */
  readonly parallel: boolean;
}

export class AnswerReader {
  readonly #tools: CallableTools | null;
  /** Text that may yet turn out to be a call. */
  #held = "";
  /** Whether the held text begins as a call does. */
  #inCall = false;
  #calls = 0;
  /** Whether no call can begin any more. */
  #plain: boolean;

  /** `tools`: null if the answer is text alone. */
  constructor(tools: CallableTools | null) {
    this.#tools = tools;
    this.#plain = tools === null;
  }

  /** Whether the answer makes a call. */
  get called(): boolean {
    return this.#calls > 0;
  }

  /** Takes more of the answer; returns the parts that are certain now. `ended`: there is no more. */
  add(text: string, ended: boolean): readonly AnswerPart[] {
    if (this.#plain || this.#tools === null) return textPart(text);
    const parts: AnswerPart[] = [];
    this.#held += text;
    while (this.#inCall ? this.#endCall(parts, ended) : this.#beginCall(parts));
    if (ended) parts.push(...textPart(this.called ? this.#held.trimEnd() : this.#held));
    if (ended) this.#held = "";
    return parts;
  }

  /** Returns the text before a call, and whether one begins. */
  #beginCall(parts: AnswerPart[]): boolean {
    const { begins, first } = this.#tools!.format;
    const at = begins.map((begin) => this.#held.indexOf(begin)).filter((i) => i >= 0);
    const found = Math.min(...at, Infinity);
    const blank = first ? this.#held.trimStart() : this.#held;
    if (first && found < Infinity && this.#held.slice(0, found).trim() !== "") return this.#giveUp(parts);
    if (found < Infinity) {
      // Blanks before a call are part of its form.
      parts.push(...textPart(this.#held.slice(0, found).trimEnd()));
      this.#held = this.#held.slice(found);
      return (this.#inCall = true);
    }
    if (first) return blank === "" || begins.some((begin) => begin.startsWith(blank)) ? false : this.#giveUp(parts);
    const certain = this.#held.length - undecided(this.#held, begins);
    parts.push(...textPart(this.#held.slice(0, certain)));
    this.#held = this.#held.slice(certain);
    return false;
  }

  /** The answer is text. */
  #giveUp(parts: AnswerPart[]): false {
    this.#plain = true;
    parts.push(...textPart(this.#held));
    this.#held = "";
    return false;
  }

  /** Returns the calls that the held text is, if it has ended, and whether to look further. */
  #endCall(parts: AnswerPart[], ended: boolean): boolean {
    const { end, read } = this.#tools!.format;
    for (const last of end === null ? [] : placesOf(end, this.#held)) {
      const calls = this.#known(read(this.#held.slice(0, last)));
      if (calls === null) continue; // its arguments may have the text of the end
      this.#held = this.#held.slice(last);
      this.#inCall = false;
      this.#tell(parts, calls);
      return true;
    }
    if (!ended) return false;
    const calls = this.#known(read(this.#held));
    this.#inCall = false;
    this.#plain = true;
    if (calls === null) return false; // it is given as text
    this.#held = "";
    this.#tell(parts, calls);
    return false;
  }

  /** Calls of tools that there are; null if it is not a call, or not all of them are. */
  #known(calls: readonly WrittenCall[] | null): readonly WrittenCall[] | null {
    return calls?.every(({ name }) => this.#tools!.names.has(name)) ? calls : null;
  }

  #tell(parts: AnswerPart[], calls: readonly WrittenCall[]): void {
    const { format, parallel } = this.#tools!;
    for (const { name, arguments: given } of calls) {
      if (!parallel && this.#calls > 0) return;
      parts.push({ kind: "call", index: this.#calls++, id: format.id(), name, arguments: JSON.stringify(given) });
    }
  }
}

/** Where a text ends each time that it appears in another. */
function* placesOf(text: string, within: string): Generator<number, void> {
  for (let at = within.indexOf(text); at >= 0; at = within.indexOf(text, at + 1)) yield at + text.length;
}

const textPart = (text: string): readonly AnswerPart[] => (text === "" ? [] : [{ kind: "text", text }]);

/** Characters at the end of a text with which a beginning, and blanks before it, may begin. */
function undecided(text: string, begins: readonly string[]): number {
  const longest = Math.max(...begins.map((begin) => begin.length)) - 1;
  let part = 0;
  for (let n = Math.min(longest, text.length); n > 0 && part === 0; n--)
    if (begins.some((begin) => begin.startsWith(text.slice(-n)))) part = n;
  const before = text.slice(0, text.length - part);
  return part + before.length - before.trimEnd().length;
}
