// Binds arguments to parameters, for blocks, functions and built-in functions.
import type { Span } from "../../diagnostics/span.js";
import type { Arg } from "../../syntax/ast.js";
import type { Checker } from "../checker.js";
import { nearest } from "../../size/nearest.js";

export interface Parameter {
  readonly name: string;
  readonly optional: boolean;
  /** Whether the parameter accepts named arguments only. */
  readonly named: boolean;
}

export interface Signature {
  /** The name in messages: `Linear`, `Moby.forward`. */
  readonly callee: string;
  readonly parameters: readonly Parameter[];
  /** Whether further named arguments are accepted. */
  readonly rest: boolean;
  readonly names: ReadonlySet<string>;
  /** The positional parameters. */
  readonly places: readonly Parameter[];
}

export const signature = (callee: string, parameters: readonly Parameter[], rest = false): Signature => ({
  callee,
  parameters,
  rest,
  names: new Set(parameters.map((p) => p.name)),
  places: parameters.filter((p) => !p.named),
});

/**
 * Maps each parameter to its argument, if it has one; null if arguments were missing, surplus or misnamed, which is
 * reported.
 */
export function bindArguments(
  checker: Checker,
  to: Signature,
  args: readonly Arg[],
  span: Span,
): ReadonlyMap<string, Arg> | null {
  const { callee, parameters, rest, names: known, places } = to;
  const bound = new Map<string, Arg>();
  let ok = true;
  let position = 0;
  let named = false;
  const fail = (report: () => void): void => {
    ok = false;
    report();
  };
  const put = (name: string, arg: Arg, at: Span): void => {
    if (bound.has(name)) fail(() => checker.report("duplicate-argument", { callee, name }, at));
    else bound.set(name, arg);
  };
  for (const arg of args) {
    if (arg.name !== null) {
      named = true;
      const name = arg.name.text;
      const at = arg.name.span;
      if (known.has(name) || rest) put(name, arg, at);
      else
        fail(() =>
          checker.report("unknown-argument", { callee, name, suggestion: nearest(name, known), takes: [...known] }, at),
        );
    } else if (named) {
      fail(() => checker.report("positional-after-named", { callee }, arg.span));
    } else {
      const place = places[position++];
      if (place === undefined)
        fail(() =>
          checker.report(
            "surplus-argument",
            { callee, takes: places.length, named: parameters.filter((p) => p.named).map((p) => p.name) },
            arg.span,
          ),
        );
      else put(place.name, arg, arg.span);
    }
  }
  // A misnamed argument may be the missing one: report one error only.
  if (ok) {
    for (const p of parameters)
      if (!p.optional && !bound.has(p.name))
        fail(() => checker.report("missing-argument", { callee, name: p.name }, span));
  }
  return ok ? bound : null;
}
