// Collects the parser's errors from chevrotain: the grammar rule, the expected token, and the tokens around the error.
import type { IParserErrorMessageProvider } from "chevrotain";
import * as t from "../../../grammar/tokens.js";
import { invariant } from "../../ground/base/invariant.js";
import { MAX_ERRORS } from "./limits.js";

/** The data that chevrotain provides with an error. */
interface RawError {
  readonly rule: string;
  /** The one expected token; null if several alternatives were possible. */
  readonly expected: t.TokenType | null;
  readonly found: t.IToken;
}

/** A parser error with the tokens around it. */
export interface ParserError extends RawError {
  readonly next: t.IToken | undefined;
  readonly previous: t.IToken | undefined;
  readonly beforePrevious: t.IToken | undefined;
}

/** Thrown through the parser once a file exceeds MAX_ERRORS. */
export class TooManyErrors extends Error {}

/** Collects parser errors; returns empty messages to chevrotain. */
export class ParserErrors implements IParserErrorMessageProvider {
  #list: RawError[] = [];

  /** The errors since the last call, each with the tokens around it. */
  take(tokens: readonly t.IToken[]): readonly ParserError[] {
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
