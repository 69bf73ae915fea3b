// Helpers for the functions that build the syntax tree: spans, names, limits, and the omission of pieces that the
// parser could not read.
import type { CstNode } from "chevrotain";
import type { IToken } from "../../../grammar/tokens.js";
import type { Code, DataOf } from "../diagnostics/catalogue.js";
import type { Diagnostics } from "../diagnostics/diagnostic.js";
import type { Span } from "../diagnostics/span.js";
import type { Expr, Name } from "./ast.js";
import type { DocFinder } from "./docs.js";
import { MAX_EXPRESSION_HEIGHT } from "./limits.js";

/**
 * Thrown if a piece of the tree is missing because of an error that is already reported; the enclosing statement,
 * member or parameter is then omitted.
 */
export class Incomplete extends Error {}

export class Builder {
  readonly file: string;
  readonly doc: DocFinder;
  readonly #diagnostics: Diagnostics;
  readonly #quiet: (offset: number) => boolean;
  /** Height of each expression built so far. */
  readonly #levels = new WeakMap<Expr, number>();

  /** `quiet`: whether the parser has already reported an error near an offset. */
  constructor(file: string, doc: DocFinder, diagnostics: Diagnostics, quiet: (offset: number) => boolean) {
    this.file = file;
    this.doc = doc;
    this.#diagnostics = diagnostics;
    this.#quiet = quiet;
  }

  report<C extends Code>(code: C, data: DataOf<C>, span: Span): void {
    if (!this.#quiet(span.start)) this.#diagnostics.report(code, data, span);
  }

  span(start: number, end: number): Span {
    if (!(start <= end)) throw new Incomplete();
    return { file: this.file, start, end };
  }
  tokenSpan(token: IToken): Span {
    return this.span(token.startOffset, token.startOffset + token.image.length);
  }
  nodeSpan(node: CstNode): Span {
    const { location } = node;
    if (node.recoveredNode === true || !location || location.endOffset === undefined) throw new Incomplete();
    return this.span(location.startOffset, location.endOffset + 1);
  }

  name(token: IToken | undefined): Name {
    const { image } = this.need(token);
    if (image === "") throw new Incomplete();
    return { text: image, span: this.tokenSpan(this.need(token)) };
  }

  /** Returns a piece, which is missing if the parser could not read it. Throws Incomplete if it is missing. */
  need<T>(piece: T | undefined | null): T {
    if (piece === undefined || piece === null) throw new Incomplete();
    return piece;
  }

  /** Records the height of an expression (one more than its parts' height) and checks the limit. */
  expr<E extends Expr>(built: E, parts: readonly Expr[] = []): E {
    let level = 0;
    for (const part of parts) level = Math.max(level, this.#levels.get(part) ?? 0);
    if (level >= MAX_EXPRESSION_HEIGHT) {
      this.report("nesting-too-deep", { limit: MAX_EXPRESSION_HEIGHT }, built.span);
      throw new Incomplete();
    }
    this.#levels.set(built, level + 1);
    return built;
  }

  /** The expression with the span of its parentheses. */
  parenthesized(inner: Expr, span: Span): Expr {
    const built = { ...inner, span };
    this.#levels.set(built, this.#levels.get(inner) ?? 0);
    return built;
  }

  /** Builds each node; omits incomplete nodes. */
  buildAll<N, T>(nodes: readonly N[] | undefined, make: (node: N) => T | readonly T[]): T[] {
    const built: T[] = [];
    for (const node of nodes ?? []) {
      const one = this.attempt(() => make(node));
      if (Array.isArray(one)) for (const each of one) built.push(each as T);
      // Cast: `isArray` does not narrow readonly arrays.
      else if (one !== null) built.push(one as T);
    }
    return built;
  }

  attempt<T>(make: () => T): T | null {
    try {
      return make();
    } catch (error) {
      if (error instanceof Incomplete) return null;
      throw error;
    }
  }
}
