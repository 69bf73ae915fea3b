// What the makers of the syntax tree share: spans, names, limits, and a way to leave out what the parser could not
// read.
import type { CstNode } from "chevrotain";
import type { IToken } from "../../grammar/tokens.js";
import type { Code, DataOf } from "../diagnostics/catalogue.js";
import type { Diagnostics } from "../diagnostics/diagnostic.js";
import type { Span } from "../diagnostics/span.js";
import type { Expr, Name } from "./ast.js";
import type { DocFinder } from "./docs.js";
import { MAX_LEVELS } from "./limits.js";

/**
 * Thrown where a piece of the tree is missing after an error already reported; the nearest statement, member or
 * parameter is left out.
 */
export class Incomplete extends Error {}

export class Builder {
  readonly file: string;
  readonly doc: DocFinder;
  readonly #diagnostics: Diagnostics;
  readonly #quiet: (offset: number) => boolean;
  /** Levels of each expression made so far. */
  readonly #levels = new WeakMap<Expr, number>();

  /** `quiet` tells of offsets where the parser has complained already. */
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

  /** The parser leaves out what it could not read. */
  need<T>(piece: T | undefined | null): T {
    if (piece === undefined || piece === null) throw new Incomplete();
    return piece;
  }

  /** Keeps an expression, one level above its parts. */
  expr<E extends Expr>(made: E, parts: readonly Expr[] = []): E {
    let level = 0;
    for (const part of parts) level = Math.max(level, this.#levels.get(part) ?? 0);
    if (level >= MAX_LEVELS) {
      this.report("nesting-too-deep", { limit: MAX_LEVELS }, made.span);
      throw new Incomplete();
    }
    this.#levels.set(made, level + 1);
    return made;
  }

  /** The same expression in parentheses: its span takes them in. */
  widened(inner: Expr, span: Span): Expr {
    const made = { ...inner, span };
    this.#levels.set(made, this.#levels.get(inner) ?? 0);
    return made;
  }

  /** Makes each that is complete. */
  each<N, T>(nodes: readonly N[] | undefined, make: (node: N) => T | readonly T[]): T[] {
    const made: T[] = [];
    for (const node of nodes ?? []) {
      const one = this.attempt(() => make(node));
      if (Array.isArray(one)) for (const each of one) made.push(each as T);
      // Marked boundary: `isArray` does not narrow readonly arrays away.
      else if (one !== null) made.push(one as T);
    }
    return made;
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
