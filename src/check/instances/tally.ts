// Counts what a model makes or calls against a limit, and knows what of it comes most often.
import type { Span } from "../../diagnostics/span.js";
import type { Checker } from "../checker.js";

export class Tally<Key> {
  readonly #each = new Map<Key, { readonly name: string; times: number }>();
  #all = 0;

  constructor(
    readonly checker: Checker,
    /** As messages call them: `calls of functions`. */
    readonly what: string,
    readonly limit: number,
  ) {}

  /** One more of `key`, which messages call `name`; stops the check where it is one too many. */
  add(key: Key, name: string, span: Span): void {
    const before = this.#each.get(key);
    if (before === undefined) this.#each.set(key, { name, times: 1 });
    else before.times++;
    if (++this.#all <= this.limit) return;
    const [most] = [...this.#each.values()].sort((a, b) => b.times - a.times);
    this.checker.abort(this.what, this.limit, span, most);
  }
}
