// Whatever the text, the checker answers with diagnostics: it neither throws nor hangs, and gives a model only where
// there is no error.
import { readdirSync, readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Phase } from "../../../src/language/check/model/model.js";
import { librarySources } from "../../../src/language/check/names/library.js";
import { formatDiagnostics } from "../../../src/language/diagnostics/format.js";
import { checked } from "./harness.js";
import { cases, seedOf } from "../../soak.js";
import { RESERVED } from "../../../grammar/tokens.js";

const examples = readdirSync("examples")
  .filter((f) => f.endsWith(".mod"))
  .map((f) => readFileSync(`examples/${f}`, "utf8"));
const library = [...librarySources.values()].map((s) => s.text);
const sources = [...examples, ...library];

/** Pieces of the language, to be put where they do not belong. */
const PIECES = [
  ...RESERVED,
  "weight",
  "(",
  ")",
  "[",
  "]",
  "{",
  "}",
  ",",
  ":",
  "=",
  "->",
  "..",
  "...",
  "+",
  "-",
  "*",
  "/",
  "%",
  "^",
  "@",
  "<=",
  "==",
  "\n",
  ";",
  '"',
  "//",
  "///",
  "0",
  "1",
  "-1",
  "1e9",
  "12.5%",
  "2 ^ 9999",
  "1 / 0",
  "x",
  "T",
  "B",
  "K",
  "dim",
  "depth",
  "train",
  "generate",
  "constructor",
  "__proto__",
  "self",
  "top(x, 1)",
  "take(x, r)",
  "put(x, r, x)",
  "above(x, 0.0)",
  "Linear(4, 4)",
  "MoD(Layer(4, 1), 4)",
  "[for i in 0..3: i]",
  "x[..., 0]",
  "x[0]",
  "sum(x)",
  "f32[B, T]",
  "u32[...]",
];
const words = /[A-Za-z_][A-Za-z0-9_]*|\d+(?:\.\d+)?|\S|\n/g;

/** One change to a source: a word dropped, doubled, swapped with another or replaced; or a stretch cut out. */
const change = fc.record({
  kind: fc.constantFrom("drop", "double", "swap", "replace", "insert", "cut"),
  at: fc.nat(),
  other: fc.nat(),
  piece: fc.constantFrom(...PIECES),
});

function mutate(
  text: string,
  { kind, at, other, piece }: { kind: string; at: number; other: number; piece: string },
): string {
  const tokens = [...text.matchAll(words)];
  const one = tokens[at % tokens.length];
  const two = tokens[other % tokens.length];
  if (!one || !two) return text;
  const replace = (m: RegExpExecArray | RegExpMatchArray, by: string): string =>
    text.slice(0, m.index) + by + text.slice((m.index ?? 0) + m[0].length);
  switch (kind) {
    case "drop":
      return replace(one, "");
    case "double":
      return replace(one, `${one[0]} ${one[0]}`);
    case "swap":
      return replace(one, two[0]);
    case "insert":
      return replace(one, `${one[0]} ${piece} `);
    case "cut":
      return (
        text.slice(0, one.index) +
        text.slice(Math.max(one.index ?? 0, Math.min(text.length, (one.index ?? 0) + (other % 60))))
      );
    default:
      return replace(one, piece);
  }
}

function survives(text: string, phase: Phase): void {
  const result = checked(text, { phase });
  const errors = result.diagnostics.filter((d) => d.severity === "error");
  expect(result.model === null).toBe(errors.length > 0);
  const told = formatDiagnostics(result.diagnostics, { sources: result.sources });
  expect(told).not.toMatch(/undefined|\[object|NaN where/);
  for (const d of result.diagnostics)
    expect(
      result.sources.some((s) => s.file === d.span.file && d.span.start <= d.span.end && d.span.end <= s.text.length),
      `${d.code} at ${d.span.file}:${d.span.start}`,
    ).toBe(true);
}

const phase = fc.constantFrom<Phase>("infer", "train", "generate");

describe("mutated sources", () => {
  it("of examples and the library never crash the checker", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...sources),
        fc.array(change, { minLength: 1, maxLength: 3 }),
        phase,
        (text, changes, p) => {
          survives(changes.reduce(mutate, text), p);
        },
      ),
      { seed: seedOf(20240402), numRuns: cases(600) },
    );
  });

  it("that are random words never crash the checker", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...PIECES), { maxLength: 40 }), phase, (pieces, p) => {
        survives(
          `model M(dim: int = 4, depth: int = 2) {\n forward(x: f32[B, T, 4]) -> f32[B, T, 4] {\n` +
            `${pieces.join(" ")}\nx\n}\n}`,
          p,
        );
      }),
      { seed: seedOf(7), numRuns: cases(400) },
    );
  });
});
