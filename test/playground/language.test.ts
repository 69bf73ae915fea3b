// The editor's colours: every word has the class that the compiler's lexer gives.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { headingTokens, Identifier, NumberLiteral, reservedTokens, StringLiteral } from "../../grammar/tokens.js";
import { stylesOf } from "../../playground/src/editor/language.js";
import { Diagnostics } from "../../src/language/diagnostics/diagnostic.js";
import { lex } from "../../src/language/syntax/lex.js";
import { root } from "../tools/cli/spawn.js";

const files = ["examples", "src/language/std"].flatMap((folder) =>
  readdirSync(join(root, folder))
    .filter((f) => f.endsWith(".mod"))
    .map((f) => `${folder}/${f}`),
);

const KEYWORDS = ["keyword", "definitionKeyword", "operatorKeyword", "atom"];
const NAMES = ["variableName", "function", "className", "typeName"];

describe("the editor's words", () => {
  it("mark what a comment allows, and nothing else in one", () => {
    const text = "x // @allow unread-weight: older checkpoints hold it\n// what @allow does\n/// @allow";
    expect(stylesOf(text).map(({ from, to, style }) => [text.slice(from, to), style])).toEqual([
      ["x", "variableName"],
      ["//", "comment"],
      ["@allow unread-weight", "annotation"],
      [": older checkpoints hold it", "comment"],
      ["// what @allow does", "comment"],
      ["///", "comment"],
      ["@allow", "annotation"],
    ]);
  });

  it.each(files)("are those of the lexer in %s", (file) => {
    const text = readFileSync(join(root, file), "utf8");
    const styles = stylesOf(text);
    const { tokens, comments } = lex({ file, text }, new Diagnostics())!;
    const styleAt = (offset: number): string | null =>
      styles.find((s) => s.from <= offset && offset < s.to)?.style ?? null;
    const wrong = tokens.flatMap(({ tokenType, image, startOffset }) => {
      const style = styleAt(startOffset);
      const expected = reservedTokens.includes(tokenType)
        ? KEYWORDS
        : tokenType === NumberLiteral
          ? ["number"]
          : tokenType === StringLiteral
            ? ["string"]
            : headingTokens.includes(tokenType)
              ? [...NAMES, "definitionKeyword", "keyword"]
              : tokenType === Identifier
                ? NAMES
                : ["operator"];
      return style === null || expected.includes(style) || image.trim() === "" ? [] : [{ image, style, expected }];
    });
    expect(wrong).toEqual([]);
    expect(tokens.length).toBeGreaterThan(20);
    for (const comment of comments) expect(styleAt(comment.start)).toMatch(/^(c|docC)omment$/);
    // What is coloured is a token: nothing was missed.
    expect(
      styles.filter(
        (s) =>
          s.style !== "comment" &&
          s.style !== "docComment" &&
          !tokens.some((t) => t.startOffset <= s.from && s.to <= t.endOffset! + 1 + 2),
      ),
    ).toEqual([]);
  });

  it("know heads of members, types and declared names from other names", () => {
    const of = (text: string, word: string): string | null =>
      stylesOf(text).find((s) => text.slice(s.from, s.to) === word)?.style ?? null;
    expect(of("  weight weight: f32[3]", "weight")).toBe("definitionKeyword");
    expect(of("  x @ weight", "weight")).toBe("variableName");
    expect(of("  x: f32[3]", "f32")).toBe("typeName");
    expect(of("  f32(x)", "f32")).toBe("function");
    expect(of("block MoD(dim: int)", "MoD")).toBe("className");
    expect(of("block MoD(dim: int)", "int")).toBe("typeName");
    expect(of("/// text", "/// text")).toBe("docComment");
    expect(of("//// text", "//// text")).toBe("comment");
  });
});
