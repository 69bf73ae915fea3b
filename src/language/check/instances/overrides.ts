// `--set name=value`: sets parameters of the model from outside, as expressions of the language.
import type { SourceFile } from "../../diagnostics/span.js";
import type { Block, Expr, Param } from "../../syntax/ast.js";
import { parse } from "../../syntax/parse.js";
import type { Binding, LoadedFile } from "../names/bindings.js";
import { ERROR, type ConstValue } from "../model/context.js";
import { environment, evaluate } from "../eval/evaluate.js";
import { checkOption } from "./options.js";
import { convert } from "./parameters.js";
import type { Checker } from "../model/checker.js";
import { nearest } from "../../../ground/numerics/nearest.js";

/**
 * A parameter of every model: with the value `true` every choice of tokens takes all tokens, and nothing is skipped.
 * Tokens still choose entries, such as experts. No declared parameter has this name.
 */
export const DENSE = "(dense)";

export interface ParameterOverrides {
  /** The value of each parameter that was set; evaluated when the preceding parameters are known. */
  readonly values: ReadonlyMap<string, (params: Map<string, Binding>) => ConstValue>;
  /** A pseudo-file for each set parameter, for messages to point into. */
  readonly sources: readonly SourceFile[];
}

/** Parses the set parameters, and sets `checker.dense`; reports unknown names and invalid expressions. */
export function givenParameters(
  checker: Checker,
  root: LoadedFile,
  model: Block,
  set: Readonly<Record<string, string>>,
  setBy: (name: string) => string = () => "--set",
): ParameterOverrides {
  const values = new Map<string, (params: Map<string, Binding>) => ConstValue>();
  const sources: SourceFile[] = [];
  const known = model.params.map((p) => p.name.text);
  for (const [name, text] of Object.entries(set)) {
    const file = `${setBy(name)} ${name}`;
    sources.push({ file, text: `${name}=${text}` });
    if (name === DENSE && text === "true") {
      checker.dense = true;
      continue;
    }
    const param = model.params.find((p) => p.name.text === name);
    if (param === undefined) {
      checker.report(
        "unknown-argument",
        { callee: model.name.text, name, suggestion: nearest(name, known), takes: known },
        { file, start: 0, end: name.length },
      );
      continue;
    }
    checker.shifts.set(file, HEAD.length);
    const expr = expressionOf(checker, { file, text: `${HEAD}${name}=${text}` });
    values.set(name, expr === null ? () => ERROR : (params) => valueOf(checker, root, model, param, expr, params));
  }
  return { values, sources };
}

/** Prefix that makes the assignment a declaration for the parser. */
const HEAD = "const ";

/** The expression in `const name=…`; null after a report. */
function expressionOf(checker: Checker, source: SourceFile): Expr | null {
  const { file, diagnostics } = parse(source);
  for (const d of diagnostics) checker.add(d);
  const [only, surplus] = file.declarations;
  if (surplus !== undefined || file.imports.length > 0) {
    checker.report(
      "wrong-kind",
      { what: "the value of a parameter", expected: "one expression", found: "several declarations" },
      file.span,
    );
    return null;
  }
  return diagnostics.some((d) => d.severity === "error") || only?.kind !== "const" ? null : only.value;
}

function valueOf(
  checker: Checker,
  file: LoadedFile,
  model: Block,
  param: Param,
  expr: Expr,
  params: Map<string, Binding>,
): ConstValue {
  const value = evaluate(expr, environment(checker, file.scope.inner(params), "a parameter"));
  const converted = convert(checker, value, param.type, `\`${param.name.text}\` of \`${model.name.text}\``, expr.span);
  checkOption(checker, model, param, converted, expr.span);
  return converted;
}
