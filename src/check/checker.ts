// One run of the checker: what it has found, where it is, and how much work is left.
import type { Code, DataOf } from "../diagnostics/catalogue.js";
import { diagnose, Diagnostics, type Diagnostic, type Note } from "../diagnostics/diagnostic.js";
import type { Span } from "../diagnostics/span.js";
import type { Allow, Const } from "../syntax/ast.js";
import type { ConstValue } from "./context.js";
import { MAX_EVALUATIONS, MAX_NESTING } from "./limits.js";
import type { Phase } from "./model.js";

/**
 * Thrown where a limit is passed, after it was reported, and where there are more errors than anyone reads; caught by
 * `check` alone.
 */
export class Abort extends Error {}

/** The calls that led to a place, innermost last: linked, so that a value can keep its own cheaply. */
export interface Trace {
  readonly span: Span;
  readonly outer: Trace | null;
}

/** Something that comes many times, as messages call it: a function that is called, a block that is made. */
export interface Counted {
  readonly name: string;
  readonly times: number;
}

interface AllowUse {
  readonly allow: Allow;
  used: boolean;
}

export class Checker {
  readonly #bag = new Diagnostics();
  readonly #places = new Set<string>();
  /** By code and file. */
  readonly #allows = new Map<string, AllowUse[]>();
  #evaluations = 0;
  #nesting = 0;
  /** Spans of the calls being unrolled and the instances being made. */
  trace: Trace | null = null;
  /** Values of constants already needed; "open" while one is being computed. */
  readonly constants = new Map<Const, ConstValue | "open">();
  /** Pseudo-files whose text is shown from a later character on than it was parsed from: `const ` stands in front. */
  readonly shifts = new Map<string, number>();

  constructor(
    readonly phase: Phase,
    /** Whether a file is part of the standard library. */
    readonly isLibrary: (file: string) => boolean,
  ) {}

  /**
   * Reports at a place; inside the library, at the user's line that led there, with the library's as a note. Once per
   * code and place.
   */
  report<C extends Code>(
    code: C,
    data: DataOf<C>,
    span: Span,
    notes: readonly Note[] = [],
    trace: Trace | null = this.trace,
  ): void {
    let at = span;
    let all = notes;
    if (this.isLibrary(span.file)) {
      const user = this.userSpan(trace);
      if (user !== null) {
        at = user;
        all = [...notes, { text: "in the standard library", span }];
      }
    }
    const place = placeOf(code, at, span);
    if (this.#places.has(place)) return;
    this.#places.add(place);
    this.add(diagnose(code, data, at, all));
  }

  /**
   * Whether the code was reported at this place of a file of the user's already: what the message needs need not be
   * looked for again.
   */
  hasTold(code: Code, span: Span): boolean {
    return this.#places.has(placeOf(code, span, span));
  }

  /** The innermost of the calls that stands in a file of the user's. */
  userSpan(trace: Trace | null): Span | null {
    let t = trace;
    while (t !== null && this.isLibrary(t.span.file)) t = t.outer;
    return t?.span ?? null;
  }

  add(diagnostic: Diagnostic): void {
    const shift = this.shifts.get(diagnostic.span.file) ?? 0;
    const { span } = diagnostic;
    const shown =
      shift === 0
        ? diagnostic
        : {
            ...diagnostic,
            span: { ...span, start: Math.max(0, span.start - shift), end: Math.max(0, span.end - shift) },
          };
    if (this.#isAllowed(shown)) return; // before it is counted: what is silenced crowds out nothing
    this.#bag.add(shown);
    if (this.#bag.full) throw new Abort();
  }

  /** From now on, warnings that these cover are silenced. */
  allow(allows: readonly Allow[]): void {
    for (const allow of allows) {
      const key = `${allow.code} ${allow.covers.file}`;
      const others = this.#allows.get(key);
      if (others) others.push({ allow, used: false });
      else this.#allows.set(key, [{ allow, used: false }]);
    }
  }

  #isAllowed({ severity, code, span }: Diagnostic): boolean {
    if (severity !== "warning") return false;
    let allowed = false;
    for (const found of this.#allows.get(`${code} ${span.file}`) ?? []) {
      const { start, end } = found.allow.covers;
      if (start <= span.start && span.start <= end) allowed = found.used = true;
    }
    return allowed;
  }

  /** All of them, and whether each silenced a warning so far. */
  get allows(): readonly (Allow & { readonly used: boolean })[] {
    return [...this.#allows.values()].flat().map(({ allow, used }) => ({ ...allow, used }));
  }

  /** Reports that a limit is passed, and stops the check. `most` is what comes most often among what was counted. */
  abort(what: string, limit: number, span: Span, most: Counted | null = null): never {
    this.report("limit-exceeded", { what, limit, most }, span);
    throw new Abort();
  }

  /** Counts work about to be done: expressions, statements, items of lists. */
  spend(work: number, span: Span): void {
    this.#evaluations += work;
    if (this.#evaluations > MAX_EVALUATIONS) this.abort("expressions to evaluate", MAX_EVALUATIONS, span);
  }

  /** Counts one evaluation, and runs it one level deeper. */
  within<T>(span: Span, work: () => T): T {
    this.spend(1, span);
    if (++this.#nesting > MAX_NESTING)
      this.abort("levels of expressions and calls within one another", MAX_NESTING, span);
    try {
      return work();
    } finally {
      this.#nesting--;
    }
  }

  /** Runs work as part of a call at `span`. */
  traced<T>(span: Span, work: () => T): T {
    const outer = this.trace;
    this.trace = { span, outer };
    try {
      return work();
    } finally {
      this.trace = outer;
    }
  }

  get hasErrors(): boolean {
    return this.#bag.hasErrors;
  }
  get diagnostics(): readonly Diagnostic[] {
    return this.#bag.all;
  }
}

const placeOf = (code: Code, at: Span, span: Span): string =>
  `${code} ${at.file} ${at.start} ${at.end} ${span.file} ${span.start}`;
