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

/** Blanks before a call belong to it, up to so many: each new one would be looked at with all before it. */
const MOST_BLANKS = 1024;

export class AnswerReader {
  readonly #tools: CallableTools | null;
  /** Text that may yet turn out to be a call. */
  #held = "";
  /** Looks for the end of the call with which the held text begins; null if it does not begin with one. */
  #end: CallEnd | null = null;
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
    // The end of a call is looked for in new text alone.
    let fresh = text;
    while (this.#end ? this.#endCall(parts, this.#end, fresh) : this.#beginCall(parts)) fresh = this.#held;
    if (ended) this.#endAnswer(parts);
    return parts;
  }

  /** Returns whether a call begins; `parts` get the text before it. */
  #beginCall(parts: AnswerPart[]): boolean {
    const { begins, first, end } = this.#tools!.format;
    const at = begins.map((begin) => this.#held.indexOf(begin)).filter((i) => i >= 0);
    const found = Math.min(...at, Infinity);
    if (first) {
      const before = this.#held.slice(0, found);
      const text = before.trimStart();
      const possible = found < Infinity ? text === "" : begins.some((begin) => begin.startsWith(text));
      if (!possible || before.length - text.length > MOST_BLANKS) return this.#giveUp(parts);
    }
    if (found < Infinity) {
      parts.push(...textPart(withoutBlanks(this.#held.slice(0, found))));
      this.#held = this.#held.slice(found);
      this.#end = new CallEnd(end);
      return true;
    }
    if (first) return false;
    const certain = this.#held.length - undecided(this.#held, begins);
    parts.push(...textPart(this.#held.slice(0, certain)));
    this.#held = this.#held.slice(certain);
    return false;
  }

  /** The answer is text from here on. */
  #giveUp(parts: AnswerPart[]): false {
    this.#plain = true;
    parts.push(...textPart(this.#held));
    this.#held = "";
    return false;
  }

  /** Returns whether the call has ended, and is one; `parts` get it. `fresh`: the last part of the held text. */
  #endCall(parts: AnswerPart[], end: CallEnd, fresh: string): boolean {
    const behind = end.find(fresh);
    if (behind === null) return false;
    const last = this.#held.length - fresh.length + behind;
    const calls = this.#known(this.#tools!.format.read(this.#held.slice(0, last)));
    if (calls === null) return this.#giveUp(parts);
    this.#held = this.#held.slice(last);
    this.#end = null;
    this.#tell(parts, calls);
    return true;
  }

  /** Gives what is held at the end of the answer: a call may end with it. */
  #endAnswer(parts: AnswerPart[]): void {
    const calls = this.#end && this.#known(this.#tools!.format.read(this.#held));
    if (calls) this.#tell(parts, calls);
    else parts.push(...textPart(this.called ? withoutBlanks(this.#held) : this.#held));
    this.#held = "";
    this.#plain = true;
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

/**
 * Finds the text by which a call ends, in pieces of the call: it is none in a string of JSON, and behind the first one
 * outside of strings no JSON can go on. So each character is looked at once, and one text is read as a call.
 */
class CallEnd {
  readonly #end: string | null;
  #quoted = false;
  #escaped = false;
  /** How many characters of the end were read just now. Its first character comes in it once. */
  #matched = 0;

  /** `end`: null if a call goes on to the end of the answer. */
  constructor(end: string | null) {
    this.#end = end;
  }

  /** Reads the next piece. Returns how much of it belongs to the call; null if the call goes on. */
  find(piece: string): number | null {
    const end = this.#end;
    if (end === null) return null;
    for (let i = 0; i < piece.length; i++) {
      const c = piece[i]!;
      if (this.#escaped) this.#escaped = false;
      else if (this.#quoted) {
        this.#escaped = c === "\\";
        this.#quoted = c !== '"';
      } else {
        this.#quoted = c === '"';
        this.#matched = c === end[this.#matched] ? this.#matched + 1 : Number(c === end[0]);
        if (this.#matched === end.length) return i + 1;
      }
    }
    return null;
  }
}

const textPart = (text: string): readonly AnswerPart[] => (text === "" ? [] : [{ kind: "text", text }]);

/** A text without the blanks at its end that belong to a call behind it. */
const withoutBlanks = (text: string): string =>
  text.slice(0, Math.max(text.trimEnd().length, text.length - MOST_BLANKS));

/** Characters at the end of a text with which a beginning, and blanks before it, may begin. */
function undecided(text: string, begins: readonly string[]): number {
  const longest = Math.max(...begins.map((begin) => begin.length)) - 1;
  let part = 0;
  for (let n = Math.min(longest, text.length); n > 0 && part === 0; n--)
    if (begins.some((begin) => begin.startsWith(text.slice(-n)))) part = n;
  const before = text.slice(0, text.length - part);
  return part + before.length - withoutBlanks(before).length;
}
