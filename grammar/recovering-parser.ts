// Adapts chevrotain's error recovery to this language: recovery skips whole bracket groups, never half a group.
import { CstParser, tokenMatcher, type IParserErrorMessageProvider } from "chevrotain";
import * as t from "./tokens.js";

export interface ParserOptions {
  readonly messages?: IParserErrorMessageProvider;
  /** Whether to check the grammar for ambiguity. Only tests do: the check takes time and the grammar is fixed. */
  readonly validate?: boolean;
}

const PARTNERS: ReadonlyMap<t.TokenType, t.TokenType> = new Map([
  [t.LParen, t.RParen],
  [t.LBracket, t.RBracket],
  [t.LBrace, t.RBrace],
]);
const CLOSERS: ReadonlySet<t.TokenType> = new Set(PARTNERS.values());

export abstract class RecoveringParser extends CstParser {
  protected constructor(options: ParserOptions) {
    super(t.parserTokens, {
      recoveryEnabled: true,
      maxLookahead: 2,
      nodeLocationTracking: "onlyOffset",
      skipValidations: options.validate !== true,
      ...(options.messages ? { errorMessageProvider: options.messages } : {}),
    });
  }

  /** Recovery may insert any token except a name, which would have no meaning. */
  protected override canTokenTypeBeInsertedInRecovery(type: t.TokenType): boolean {
    return type !== t.Identifier && type !== t.StringLiteral;
  }

  // Recovery skips whole bracket groups: brackets are balanced, and a token inside a group that could not be parsed is
  // no point to resume at.

  protected override canTokenTypeBeDeletedInRecovery(): boolean {
    return !PARTNERS.has(this.LA(1).tokenType);
  }

  protected override SKIP_TOKEN(): t.IToken {
    const groupEnds = this.#groupEnd(1);
    for (let k = 1; k < groupEnds; k++) super.SKIP_TOKEN();
    return super.SKIP_TOKEN();
  }

  /**
   * Overrides chevrotain's method, which examines every token, to move from group to group. The method is not in
   * chevrotain's public types; the version is pinned.
   */
  findReSyncTokenType(): t.TokenType {
    // Cast: chevrotain's types omit this method.
    const follow = (this as unknown as { flattenFollowSet(): readonly t.TokenType[] }).flattenFollowSet();
    for (let k = 1; ; k = this.#groupEnd(k) + 1) {
      const found = follow.find((type) => tokenMatcher(this.LA(k), type));
      if (found) return found;
    }
  }

  /** Index of the last token of the bracket group that begins at token k; k if none begins there. */
  #groupEnd(k: number): number {
    let depth = 0;
    for (let i = k; ; i++) {
      const type = this.LA(i).tokenType;
      if (type === t.EOF) return i === k ? k : i - 1;
      if (PARTNERS.has(type)) depth++;
      else if (CLOSERS.has(type)) depth--;
      if (depth <= 0) return i;
    }
  }
}
