// Collects the function calls of a check by source position.
import type { InstanceRef } from "../check/context.js";
import type { Witness } from "../check/witness.js";
import type { Span } from "../diagnostics/span.js";
import type { Fn } from "../syntax/ast.js";

/** The path of a call is valid only after the check has ended. */
export interface CallsAt {
  readonly span: Span;
  readonly calls: readonly { readonly path: string }[];
}

export class Calls implements Witness {
  readonly #calls = new Map<string, { readonly span: Span; readonly calls: { readonly path: string }[] }>();

  called(span: Span, _: InstanceRef, __: Fn, call: { readonly path: string }): void {
    const key = `${span.file}#${span.start}#${span.end}`;
    const found = this.#calls.get(key);
    if (found) found.calls.push(call);
    else this.#calls.set(key, { span, calls: [call] });
  }

  /** All calls in a file. */
  in(file: string): readonly CallsAt[] {
    return [...this.#calls.values()].filter(({ span }) => span.file === file);
  }
}
