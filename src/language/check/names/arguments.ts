// Binds arguments to parameters, for blocks, functions and built-in functions.
import type { Span } from "../../diagnostics/span.js";
import type { Arg, Name } from "../../syntax/ast.js";
import type { Checker } from "../model/checker.js";
import { argumentMeant } from "../../diagnostics/codes/hints.js";
import { nearest } from "../../../ground/numerics/nearest.js";

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
 * Maps each parameter to `of(argument)`, if the parameter has an argument. Null after a report of missing, surplus or
 * misnamed arguments.
 */
export function bindArguments<T>(
  checker: Checker,
  to: Signature,
  args: readonly Arg[],
  span: Span,
  of: (arg: Arg, index: number) => T,
): ReadonlyMap<string, T> | null {
  const { callee, parameters } = to;
  const bound = new Map<string, T>();
  let ok = true;
  let position = 0;
  let named = false;
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    let name: string | null;
    if (arg.name !== null) {
      named = true;
      name = namedParameter(checker, to, arg.name);
    } else if (named) {
      checker.report("positional-after-named", { callee }, arg.span);
      name = null;
    } else if (position > to.places.length) name = null; // the first surplus argument was reported
    else name = nextPositional(checker, to, position++, arg.span);
    if (name !== null && bound.has(name)) {
      checker.report("duplicate-argument", { callee, name }, arg.name?.span ?? arg.span);
      name = null;
    }
    if (name === null) ok = false;
    else bound.set(name, of(arg, i));
  }
  // A misnamed argument may be the missing one: report one error only.
  if (ok && bound.size < parameters.length)
    for (const { name, optional } of parameters)
      if (!optional && !bound.has(name)) {
        ok = false;
        checker.report("missing-argument", { callee, name }, span);
      }
  return ok ? bound : null;
}

/** The parameter of a named argument; null after a report. */
function namedParameter(checker: Checker, { callee, rest, names }: Signature, { text, span }: Name): string | null {
  if (rest || names.has(text)) return text;
  const suggestion = argumentMeant(text, names) ?? nearest(text, names);
  checker.report("unknown-argument", { callee, name: text, suggestion, takes: [...names] }, span);
  return null;
}

/** The next positional parameter; null after a report. */
function nextPositional(
  checker: Checker,
  { callee, parameters, places }: Signature,
  position: number,
  span: Span,
): string | null {
  const parameter = places[position];
  if (parameter !== undefined) return parameter.name;
  checker.report(
    "surplus-argument",
    { callee, takes: places.length, named: parameters.filter((p) => p.named).map((p) => p.name) },
    span,
  );
  return null;
}
