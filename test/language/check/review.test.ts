// `modc check` also reports more than the findings of a phase: warnings that are meant, weights that nothing reads, why
// a model cannot generate.
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { check, type Checked } from "../../../src/language/check/check.js";
import { generationNotes, unusedAllows } from "../../../src/language/check/review.js";
import { parse } from "../../../src/language/syntax/parse.js";

const reviewed = (text: string): Checked => check({ file: "t.mod", text }, { phase: "infer", read: () => null });
const codes = (text: string): readonly string[] => reviewed(text).diagnostics.map((d) => d.code);
const model = (members: string, body = "x"): string =>
  `model M() {\n${members}\n  forward(x: f32[B, T, 4]) -> f32[B, T, 4] {\n${body}\n  }\n}\n`;

describe("`@allow`", () => {
  const WHY = "@allow unread-weight: older checkpoints hold it";

  it.each([
    ["above a member", `  // ${WHY}\n  weight w: f32[4]`],
    [
      "above a member, with an empty line and another comment between",
      `  // ${WHY}\n\n  // and more\n  weight w: f32[4]`,
    ],
    ["behind a member", `  weight w: f32[4] // ${WHY}`],
    ["in the documentation of a member", `  /// What it is.\n  /// ${WHY}\n  weight w: f32[4]`],
    ["above an if that holds it", `  // ${WHY}\n  if 1 < 2 {\n    weight w: f32[4]\n  }`],
  ])("silences %s", (_, members) => {
    expect(codes(model(members))).toEqual([]);
    expect(codes(model(members.replace("unread-weight", "dead-router")))).toEqual(["unread-weight"]);
  });

  it("silences all of a declaration, and nothing before or behind it", () => {
    expect(codes(`// ${WHY}\n${model("  weight w: f32[4]")}`)).toEqual([]);
    expect(codes(model(`  weight v: f32[4]\n  // ${WHY}\n  weight w: f32[4]\n  weight u: f32[4]`))).toEqual([
      "unread-weight",
      "unread-weight",
    ]);
  });

  it("leaves room for other warnings, however many it silences", () => {
    const meant = Array.from({ length: 150 }, (_, i) => `  // ${WHY}\n  weight w${i}: f32[4]`).join("\n");
    expect(codes(model(`${meant}\n  weight other: f32[4]`))).toEqual(["unread-weight"]);
    expect(unusedAllows([reviewed(model(meant))])).toEqual([]);
  });

  it("is no part of the documentation", () => {
    const { file } = parse({ file: "t.mod", text: `/// A number.\n/// ${WHY}\nconst a = 1\n` });
    expect(file.declarations[0]?.doc).toBe("A number.");
  });

  it("is told where it silences nothing in any pass", () => {
    const text = model(`  // ${WHY}\n  weight w: f32[4]`, "x * w");
    expect(unusedAllows([reviewed(text), reviewed(text)]).map((d) => d.code)).toEqual(["unused-allow"]);
    expect(unusedAllows([reviewed(text), reviewed(model(`  // ${WHY}\n  weight w: f32[4]`))])).toEqual([]);
  });
});

describe("the examples", () => {
  it("read all their weights", () => {
    for (const name of readdirSync("examples").filter((f) => f.endsWith(".mod"))) {
      expect(
        codes(readFileSync(`examples/${name}`, "utf8")).filter((c) => c === "unread-weight"),
        name,
      ).toEqual([]);
    }
  });

  it("that are models of tokens by MoD can generate", () => {
    const source = { file: "moby.mod", text: readFileSync("examples/moby.mod", "utf8") };
    expect(generationNotes(source, { read: () => null }, check(source, { phase: "infer", read: () => null }))).toEqual(
      [],
    );
  });
});
