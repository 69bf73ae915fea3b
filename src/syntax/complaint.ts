// What the parser complains of, collected from chevrotain: the rule it was in, what it expected, and the tokens about
// it.
import type { IParserErrorMessageProvider } from "chevrotain";
import * as t from "../../grammar/tokens.js";
import { invariant } from "../base/invariant.js";
import { MAX_ERRORS } from "./limits.js";

/** What the parser itself knows when it complains. */
interface Raw {
  readonly rule: string;
  /** The token it insisted on; null where it had a choice. */
  readonly expected: t.TokenType | null;
  readonly found: t.IToken;
}

/** A complaint among the tokens it is about. */
export interface Complaint extends Raw {
  readonly next: t.IToken | undefined;
  readonly previous: t.IToken | undefined;
  readonly beforePrevious: t.IToken | undefined;
}

/** Thrown through the parser once a file has more errors than anyone reads. */
export class TooManyErrors extends Error {}

/** Collects complaints; the texts that chevrotain would keep are empty. */
export class Complaints implements IParserErrorMessageProvider {
  #list: Raw[] = [];

  /** Those since the last call, each with the tokens about it. */
  take(tokens: readonly t.IToken[]): readonly Complaint[] {
    const list = this.#list;
    this.#list = [];
    if (list.length === 0) return [];
    const places = new Map(tokens.map((token, i) => [token, i]));
    return list.map((raw) => {
      const at = places.get(raw.found) ?? tokens.length;
      return { ...raw, next: tokens[at + 1], previous: tokens[at - 1], beforePrevious: tokens[at - 2] };
    });
  }

  #add(rule: string, expected: t.TokenType | null, found: t.IToken | undefined): string {
    invariant(found, "the parser complains of no token");
    this.#list.push({ rule, expected, found });
    if (this.#list.length >= MAX_ERRORS) throw new TooManyErrors();
    return "";
  }
  buildMismatchTokenMessage(o: { expected: t.TokenType; actual: t.IToken; ruleName: string }): string {
    return this.#add(o.ruleName, o.expected, o.actual);
  }
  buildNotAllInputParsedMessage(o: { firstRedundant: t.IToken; ruleName: string }): string {
    return this.#add(o.ruleName, t.EOF, o.firstRedundant);
  }
  buildNoViableAltMessage(o: { actual: t.IToken[]; ruleName: string }): string {
    return this.#add(o.ruleName, null, o.actual[0]);
  }
  buildEarlyExitMessage(o: { actual: t.IToken[]; ruleName: string }): string {
    return this.#add(o.ruleName, null, o.actual[0]);
  }
}
