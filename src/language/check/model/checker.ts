// The state of a checker run: diagnostics, the current calls, and the remaining work.
import { addTo } from "../../../ground/base/collections.js";
import type { Code, DataOf } from "../../diagnostics/catalogue.js";
import { diagnose, Diagnostics, type Diagnostic, type Note } from "../../diagnostics/diagnostic.js";
import type { Span } from "../../diagnostics/span.js";
import type { Allow, Const } from "../../syntax/ast.js";
import type { ConstValue } from "./context.js";
import { MAX_EVALUATIONS, MAX_NESTING } from "./limits.js";
import type { Phase } from "./model.js";
import type { Witness } from "./witness.js";

/** Thrown after the report of an exceeded limit, or after too many errors; caught by `check`. */
export class Abort extends Error {}

/** The calls that led to a place, as a linked list from the innermost, so that each value can store its own. */
export interface Trace {
  readonly span: Span;
  readonly outer: Trace | null;
}

/** A counted item, as named in messages: a function that is called, a block that is instantiated. */
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
  readonly #reported = new Set<string>();
  /** `@allow` directives by code and file. */
  readonly #allows = new Map<string, AllowUse[]>();
  #evaluations = 0;
  #nesting = 0;
  /** The calls being unrolled and the instances being created. */
  trace: Trace | null = null;
  /** Values of constants that have been evaluated; "open" during evaluation. */
  readonly constants = new Map<Const, ConstValue | "open">();
  /** Names of the standard library that a file uses and does not import, with their first uses. */
  readonly unimported = new Map<string, Map<string, Span>>();
  /** Pseudo-files of which messages show the text after a prefix (`const `) of this length. */
  readonly shifts = new Map<string, number>();

  /** Whether every choice of tokens takes all tokens. */
  dense = false;

  constructor(
    readonly phase: Phase,
    /** Whether a file is part of the standard library. */
    readonly isLibrary: (file: string) => boolean,
    /** Receives the values of names during the check; null if no caller is interested. */
    readonly witness: Witness | null = null,
  ) {}

  /**
   * Reports at a span. For a span inside the library, reports at the user's line that led there, and adds a note about
   * the library's line. Reports each code once per span.
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
    const key = placeOf(code, at, span);
    if (this.#reported.has(key)) return;
    this.#reported.add(key);
    this.add(diagnose(code, data, at, all));
  }

  /**
   * Whether the code has been reported at this span of a user's file, so that the data of the message need not be
   * computed again.
   */
  hasReported(code: Code, span: Span): boolean {
    return this.#reported.has(placeOf(code, span, span));
  }

  /** Leaves out the code at this span of a user's file, because a message at another place says the same. */
  leaveOut(code: Code, span: Span): void {
    this.#reported.add(placeOf(code, span, span));
  }

  /** Records a use of a library name that the file does not import; returns whether it is the file's first. */
  useUnimported(name: string, span: Span): boolean {
    const uses = this.unimported.get(span.file) ?? new Map<string, Span>();
    if (uses.has(name)) return false;
    this.unimported.set(span.file, uses.set(name, span));
    return true;
  }

  /** The innermost call in a user's file. */
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
    if (this.#isAllowed(shown)) return; // before counting: suppressed warnings must not displace others
    this.#bag.add(shown);
    if (this.#bag.full) throw new Abort();
  }

  /** Suppresses the warnings that these directives cover. */
  allow(allows: readonly Allow[]): void {
    for (const allow of allows) {
      const key = `${allow.code} ${allow.covers.file}`;
      addTo(this.#allows, key, { allow, used: false });
    }
  }

  #isAllowed({ severity, code, span }: Diagnostic): boolean {
    if (severity !== "warning") return false;
    let allowed = false;
    for (const directive of this.#allows.get(`${code} ${span.file}`) ?? []) {
      const { start, end } = directive.allow.covers;
      if (start <= span.start && span.start <= end) allowed = directive.used = true;
    }
    return allowed;
  }

  /** All directives, and whether each has suppressed a warning. */
  get allows(): readonly (Allow & { readonly used: boolean })[] {
    return [...this.#allows.values()].flat().map(({ allow, used }) => ({ ...allow, used }));
  }

  /** Reports an exceeded limit and stops the check. `most` is the most frequent of the counted items. */
  abort(what: string, limit: number, span: Span, most: Counted | null = null): never {
    this.report("limit-exceeded", { what, limit, most }, span);
    throw new Abort();
  }

  /** Counts work before it is done: expressions, statements, items of lists. */
  spend(work: number, span: Span): void {
    this.#evaluations += work;
    if (this.#evaluations > MAX_EVALUATIONS) this.abort("expressions to evaluate", MAX_EVALUATIONS, span);
  }

  /**
   * Goes one nesting level deeper, and counts one evaluation; `leave` goes back. An aborted check does not call
   * `leave`.
   */
  enter(span: Span): void {
    this.spend(1, span);
    if (++this.#nesting > MAX_NESTING)
      this.abort("levels of expressions and calls within one another", MAX_NESTING, span);
  }
  leave(): void {
    this.#nesting--;
  }

  /** Runs work as part of a call at `span`. */
  withinCall<T>(span: Span, work: () => T): T {
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
