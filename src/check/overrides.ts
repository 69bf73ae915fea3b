// `--set name=value`: parameters of the model given from outside, as expressions of the language.
import type { SourceFile } from "../diagnostics/span.js";
import type { Block, Expr, Param } from "../syntax/ast.js";
import { parse } from "../syntax/parse.js";
import type { Binding, LoadedFile } from "./bindings.js";
import { ERROR, type Any } from "./context.js";
import { environment, evaluate } from "./evaluate.js";
import { checkOption } from "./options.js";
import { convert } from "./parameters.js";
import type { Session } from "./session.js";
import { nearest } from "../size/nearest.js";

export interface Given {
  /** The value of each parameter that was set, computed where the parameters before it are known. */
  readonly values: ReadonlyMap<string, (params: Map<string, Binding>) => Any>;
  /** One pseudo-file for each, which messages point into. */
  readonly sources: readonly SourceFile[];
}

/** Reads what was set; unknown names and values that are no expressions are reported. */
export function givenParameters(
  session: Session,
  root: LoadedFile,
  model: Block,
  set: Readonly<Record<string, string>>,
): Given {
  const values = new Map<string, (params: Map<string, Binding>) => Any>();
  const sources: SourceFile[] = [];
  const known = model.params.map((p) => p.name.text);
  for (const [name, text] of Object.entries(set)) {
    const file = `--set ${name}`;
    sources.push({ file, text: `${name}=${text}` });
    const param = model.params.find((p) => p.name.text === name);
    if (param === undefined) {
      session.report(
        "unknown-argument",
        { callee: model.name.text, name, suggestion: nearest(name, known), takes: known },
        { file, start: 0, end: name.length },
      );
      continue;
    }
    session.shifts.set(file, HEAD.length);
    const expr = expressionOf(session, { file, text: `${HEAD}${name}=${text}` });
    values.set(name, expr === null ? () => ERROR : (params) => valueOf(session, root, model, param, expr, params));
  }
  return { values, sources };
}

/** Makes a declaration of what was set, for the parser. */
const HEAD = "const ";

/** The expression in `const name=…`; null where it is none, which was reported. */
function expressionOf(session: Session, source: SourceFile): Expr | null {
  const { file, diagnostics } = parse(source);
  for (const d of diagnostics) session.add(d);
  const [only, surplus] = file.declarations;
  if (surplus !== undefined || file.imports.length > 0) {
    session.report(
      "wrong-kind",
      { what: "the value of a parameter", expected: "one expression", found: "several declarations" },
      file.span,
    );
    return null;
  }
  return diagnostics.some((d) => d.severity === "error") || only?.kind !== "const" ? null : only.value;
}

function valueOf(
  session: Session,
  file: LoadedFile,
  model: Block,
  param: Param,
  expr: Expr,
  params: Map<string, Binding>,
): Any {
  const value = evaluate(expr, environment(session, file.scope.inner(params), "a parameter"));
  const kept = convert(session, value, param.type, `\`${param.name.text}\` of \`${model.name.text}\``, expr.span);
  checkOption(session, model, param, kept, expr.span);
  return kept;
}
