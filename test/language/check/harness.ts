// Checks sources in tests: the model, or the codes of what was found.
import { expect } from "vitest";
import { check, type Checked, type CheckOptions } from "../../../src/language/check/check.js";
import type { Model, Value } from "../../../src/language/check/model/model.js";
import { printType } from "../../../src/language/check/model/values.js";
import { formatDiagnostics } from "../../../src/language/diagnostics/format.js";

export interface Given extends Partial<Omit<CheckOptions, "read">> {
  /** Files that can be imported, by path. */
  readonly files?: Readonly<Record<string, string>>;
}

export function checked(text: string, { files = {}, phase = "infer", ...options }: Given = {}): Checked {
  return check(
    { file: "test.mod", text },
    { phase, ...options, read: (path) => (Object.hasOwn(files, path) ? (files[path] ?? null) : null) },
  );
}

/** The model of a source that must be free of errors. */
export function modelOf(text: string, given: Given = {}): Model {
  const { model, diagnostics, sources } = checked(text, given);
  expect(
    formatDiagnostics(
      diagnostics.filter((d) => d.severity === "error"),
      { sources },
    ),
  ).toBe("");
  if (model === null) throw new Error("no model");
  return model;
}

/**
 * Codes of errors and warnings, in order of place, without those of weights that a source of few lines does not read.
 */
export const codesOf = (text: string, given: Given = {}): readonly string[] =>
  checked(text, given).diagnostics.flatMap((d) => (d.code === "unread-weight" ? [] : [d.code]));

/** Everything found, as the user reads it. */
export function told(text: string, given: Given = {}): string {
  const { diagnostics, sources } = checked(text, given);
  return formatDiagnostics(diagnostics, { sources });
}

/** A model whose forward is this body, on x: f32[B, T, 4]. */
export const forward = (body: string, { members = "", top = "", params = "", result = "f32[B, T, 4]" } = {}): string =>
  `import { Attention, Embedding, Layer, Linear, MoD, Residual, RMSNorm } from "std"
${top}
model M(${params}) {
${members}
  forward(x: f32[B, T, 4]) -> ${result} {
${body}
  }
}
`;

/** A compile-time expression's value, printed: through the shape of a weight, or as the text of a parameter. */
export const valueOf = (expr: string, { kind = "float", top = "" } = {}): string =>
  modelOf(`${top}\nmodel M(v: ${kind} = ${expr}) { forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x } }`).parameters[0]
    ?.value ?? "";

/** One line for each operation that the results, losses and observed values reach, with what it reads. */
export function operations(model: Model): readonly string[] {
  const seen = new Set<Value>();
  const lines: string[] = [];
  const visit = (v: Value): void => {
    if (seen.has(v)) return;
    seen.add(v);
    v.inputs.forEach(visit);
    lines.push(`${v.path}:${v.op} ${printType(v.type)}`);
  };
  for (const { value } of [...model.outputs, ...model.losses, ...model.observes]) visit(value);
  return lines;
}

export const outputType = (model: Model): string => (model.outputs[0] ? printType(model.outputs[0].value.type) : "");
