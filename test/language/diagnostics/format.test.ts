// Diagnostics as text: whoever prints them need not have kept the sources.
import { describe, expect, it } from "vitest";
import { check, compile, formatDiagnostics, formatSource, parse } from "../../../src/compiler/index.js";

const unknown = "model M() {\n  forward(x: f32[B, T]) -> f32[B, T] { y }\n}\n";
const frame = "  2 |   forward(x: f32[B, T]) -> f32[B, T] { y }\n    |                                        ^";

it("spells what steers a terminal, in messages and in names of files", () => {
  const text = 'model M(a: int = "\u202edrow\u001b[31m") { forward(x: f32[]) -> f32[] { x } }';
  const { diagnostics, sources } = check({ file: "a\u001b[2J\u202e.mod", text }, { phase: "infer", read: () => null });
  const told = formatDiagnostics(diagnostics, { sources });
  expect(diagnostics.map((d) => d.code)).toEqual(["wrong-kind"]);
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  expect(told).not.toMatch(/[\u001b\u202e]/);
  expect(told).toContain("\\u202edrow");
});

describe("diagnostics bring their sources along", () => {
  it("from compile and check", () => {
    for (const { diagnostics } of [
      compile(unknown, { file: "m.mod" }),
      check({ file: "m.mod", text: unknown }, { phase: "infer", read: () => null }),
    ]) {
      expect(formatDiagnostics(diagnostics)).toContain(`m.mod:2:40: error[unknown-name]: `);
      expect(formatDiagnostics(diagnostics)).toContain(frame);
      // A filtered copy of the list prints the same.
      expect(formatDiagnostics(diagnostics.filter((d) => d.severity === "error"))).toContain(frame);
    }
  });

  it("from parse and formatSource", () => {
    for (const { diagnostics } of [
      parse({ file: "m.mod", text: "model {\n}\n" }),
      formatSource("model {\n}\n", "m.mod"),
    ])
      expect(formatDiagnostics(diagnostics)).toMatch(/^m\.mod:1:7: error\[.*\n {2}1 \| model \{\n {4}\| {7}\^/);
  });

  it("from an imported file, and from a parameter that was set", () => {
    const imported = compile(
      'import { A } from "./a.mod"\nmodel M() {\n  forward(x: f32[B, T]) -> f32[B, T] { x }\n}\n',
      {
        file: "m.mod",
        read: (path) => (path === "a.mod" ? "block A( {\n}\n" : null),
      },
    );
    expect(formatDiagnostics(imported.diagnostics)).toMatch(/^a\.mod:1:\d+: error\[.*\n {2}1 \| block A\( \{\n/);
    const set = compile("model M(n: int = 1) {\n  forward(x: f32[B, T]) -> f32[B, T] { x * n }\n}\n", {
      file: "m.mod",
      set: { n: "1 +" },
    });
    expect(formatDiagnostics(set.diagnostics)).toMatch(/^--set n:1:6: error\[.*\n {2}1 \| n=1 \+\n/);
  });

  it("a given source comes first, and a copy of a diagnostic has only that", () => {
    const { diagnostics, sources } = compile(unknown, { file: "m.mod" });
    expect(formatDiagnostics(diagnostics, { sources })).toBe(formatDiagnostics(diagnostics));
    expect(formatDiagnostics(diagnostics, { sources: [{ file: "m.mod", text: unknown.toUpperCase() }] })).toContain(
      "FORWARD(X",
    );
    const copies = diagnostics.map((d) => ({ ...d }));
    expect(formatDiagnostics(copies)).toMatch(/^m\.mod: error\[unknown-name\]: [^\n]*\n {2}hint: /);
    expect(formatDiagnostics(copies, { sources })).toContain(frame);
  });
});
