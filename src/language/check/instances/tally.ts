// Counts instances or calls against a limit, and determines the most frequent.
import type { Span } from "../../diagnostics/span.js";
import type { Checker } from "../model/checker.js";

export class Tally<Key> {
  readonly #counts = new Map<Key, { readonly name: string; times: number }>();
  #all = 0;

  constructor(
    readonly checker: Checker,
    /** The name of the counted items in messages: `calls of functions`. */
    readonly what: string,
    readonly limit: number,
  ) {}

  /** Counts one more `key`, named `name` in messages; aborts the check beyond the limit. */
  add(key: Key, name: string, span: Span): void {
    const before = this.#counts.get(key);
    if (before === undefined) this.#counts.set(key, { name, times: 1 });
    else before.times++;
    if (++this.#all <= this.limit) return;
    const [most] = [...this.#counts.values()].sort((a, b) => b.times - a.times);
    this.checker.abort(this.what, this.limit, span, most);
  }
}
