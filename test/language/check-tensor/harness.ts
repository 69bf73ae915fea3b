// Checks one expression inside a small model, and tells its type or what was reported.
import { check } from "../../../src/language/check/check.js";
import type { Model, Phase, Value } from "../../../src/language/check/model/model.js";
import { printType } from "../../../src/language/check/model/values.js";
import type { Diagnostic } from "../../../src/language/diagnostics/diagnostic.js";

export interface Setting {
  readonly inputs?: string;
  readonly params?: string;
  readonly members?: string;
  /** Statements before the expression. */
  readonly before?: string;
  readonly phase?: Phase;
}

/** Inputs for most expressions here. */
export const INPUTS =
  "x: f32[B, T <= 64, 8], h: f32[B, T <= 64, 4, 6], s: f32[B, T <= 64], tokens: u32[B, T], signed: i32[B, T], " +
  "half: f16[B, T, 8], other: f32[B, S <= 32, 8], flat: f32[B, 8]";
export const MEMBERS =
  "weight w: f32[8, 5]\n weight b: f32[8]\n weight m: f32[8, 8]\n weight table: f32[10, 8]\n weight ids: " +
  "u32[3]\n weight wide: f32[3, 8, 5]";

export const sourceOf = (
  expr: string,
  { inputs = INPUTS, params = "", members = MEMBERS, before = "" }: Setting = {},
): string =>
  `model M(${params}) {\n${members}\nforward(${inputs}) -> f32[] {\n${before}\ny = ${expr}\nobserve y\n0.0\n}\n}\n`;

export interface Outcome {
  readonly model: Model | null;
  readonly diagnostics: readonly Diagnostic[];
  /** `f32[B, T]`, or the codes of what was reported. */
  readonly told: string;
  readonly text: string;
}

export function tell(expr: string, setting: Setting = {}): Outcome {
  return tellSource(sourceOf(expr, setting), setting.phase ?? "infer");
}

export function tellSource(text: string, phase: Phase = "infer"): Outcome {
  const { model, diagnostics: all } = check({ file: "t.mod", text }, { phase, read: () => null });
  // The model declares more weights than its expression reads.
  const diagnostics = all.filter((d) => d.code !== "unread-weight");
  const value = model?.observes[0]?.value;
  const codes = diagnostics.map((d) => d.code);
  return { model, diagnostics, text, told: value && codes.length === 0 ? printType(value.type) : codes.join(" ") };
}

/** The text a diagnostic points at. */
export const pointed = ({ text, diagnostics }: Outcome, n = 0): string => {
  const span = diagnostics[n]?.span;
  return span ? text.slice(span.start, span.end) : "";
};

/** The operators a value is made of, inputs first, without sources. */
export function operators(value: Value | undefined): readonly string[] {
  const seen = new Set<Value>();
  const names: string[] = [];
  const visit = (v: Value): void => {
    if (seen.has(v)) return;
    seen.add(v);
    v.inputs.forEach(visit);
    if (v.op !== "input" && v.op !== "weight")
      names.push(v.op === "pointwise" ? (v as Value<"pointwise">).attrs.fn : v.op);
  };
  if (value) visit(value);
  return names;
}
