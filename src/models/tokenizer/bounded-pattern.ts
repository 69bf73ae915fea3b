// A regular expression that checks a deadline between attempts, in place of one that a tokenizer holds.
import type { Deadline } from "./deadline.js";

/**
 * Does to a text what the methods of strings do with a global expression. Each attempt takes at most as long as
 * `patternCost` says; between two of them the deadline is checked.
 */
export class BoundedPattern {
  /** Asked by `String.prototype.matchAll` of whatever has `Symbol.match`. */
  readonly flags = "gu";
  readonly #attempt: RegExp;

  constructor(
    pattern: RegExp,
    readonly deadline: Deadline,
  ) {
    this.#attempt = new RegExp(pattern.source, pattern.flags.replace("g", "y"));
  }

  *[Symbol.matchAll](text: string): Generator<RegExpExecArray, void> {
    for (let at = 0; at <= text.length;) {
      this.deadline.check();
      this.#attempt.lastIndex = at;
      const found = this.#attempt.exec(text);
      if (found) yield found;
      at = found && found[0] !== "" ? at + found[0].length : at + (text.codePointAt(at)! > 0xffff ? 2 : 1);
    }
  }

  [Symbol.match](text: string): readonly string[] | null {
    const found = Array.from(this[Symbol.matchAll](text), ([whole]) => whole);
    return found.length > 0 ? found : null;
  }

  [Symbol.replace](text: string, by: string): string {
    return this.#parts(text, (found) => [expanded(by, found, text)]).join("");
  }

  /** The texts between matches, and the groups of each match, as `String.prototype.split` returns them. */
  [Symbol.split](text: string): readonly (string | undefined)[] {
    if (text === "") return this[Symbol.match](text) === null ? [""] : [];
    const parts: (string | undefined)[] = [];
    let from = 0;
    for (const found of this[Symbol.matchAll](text)) {
      // A match of no characters at either end splits nothing.
      if (found[0] === "" && (found.index === from || found.index >= text.length)) continue;
      parts.push(text.slice(from, found.index), ...found.slice(1));
      from = found.index + found[0].length;
    }
    return [...parts, text.slice(from)];
  }

  #parts(text: string, by: (found: RegExpExecArray) => readonly string[]): readonly string[] {
    const parts: string[] = [];
    let from = 0;
    for (const found of this[Symbol.matchAll](text)) {
      parts.push(text.slice(from, found.index), ...by(found));
      from = found.index + found[0].length;
    }
    return [...parts, text.slice(from)];
  }
}

/** The replacement of a match: `$1` and the like stand for its parts. */
function expanded(by: string, found: RegExpExecArray, text: string): string {
  if (!by.includes("$")) return by;
  return by.replace(/\$(\$|&|`|'|\d{1,2})/g, (whole, name: string) => {
    if (name === "$") return "$";
    if (name === "&") return found[0];
    if (name === "`") return text.slice(0, found.index);
    if (name === "'") return text.slice(found.index + found[0].length);
    const group = Number(name);
    return group >= 1 && group < found.length ? (found[group] ?? "") : whole;
  });
}
