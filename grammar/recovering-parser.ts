// What chevrotain's parser does at an error, made to fit this language: it skips whole groups in brackets, never half
// of one.
import { CstParser, tokenMatcher, type IParserErrorMessageProvider } from "chevrotain";
import * as t from "./tokens.js";

export interface ParserOptions {
  readonly messages?: IParserErrorMessageProvider;
  /** Whether to check the grammar itself for ambiguity, which takes time and never changes: tests do. */
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

  /** A name invented by the parser would mean nothing; everything else may be inserted. */
  protected override canTokenTypeBeInsertedInRecovery(type: t.TokenType): boolean {
    return type !== t.Identifier && type !== t.StringLiteral;
  }

  // Recovery skips whole groups in brackets, never half of one: brackets are balanced, and what stands in a group of
  // something unreadable is no place to go on.

  protected override canTokenTypeBeDeletedInRecovery(): boolean {
    return !PARTNERS.has(this.LA(1).tokenType);
  }

  protected override SKIP_TOKEN(): t.IToken {
    const groupEnds = this.#groupEnd(1);
    for (let k = 1; k < groupEnds; k++) super.SKIP_TOKEN();
    return super.SKIP_TOKEN();
  }

  /**
   * As chevrotain's own, which looks at each token, but from group to group. The name is not in its public types; the
   * version is pinned.
   */
  findReSyncTokenType(): t.TokenType {
    // Marked boundary: a method of chevrotain's parser that its types leave out.
    const follow = (this as unknown as { flattenFollowSet(): readonly t.TokenType[] }).flattenFollowSet();
    for (let k = 1; ; k = this.#groupEnd(k) + 1) {
      const found = follow.find((type) => tokenMatcher(this.LA(k), type));
      if (found) return found;
    }
  }

  /** Where the group that begins with token k ends: k itself where none begins. */
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
