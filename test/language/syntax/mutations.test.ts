// Sources broken at random: no step ever throws, hangs, or drops something without a message.
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { lexerTokens, RESERVED } from "../../../grammar/tokens.js";
import { formatDiagnostics } from "../../../src/language/diagnostics/format.js";
import { formatSource } from "../../../src/language/syntax/format/format-source.js";
import { parse } from "../../../src/language/syntax/parse.js";
import { random, type Random } from "../../random.js";
import { withoutSpans } from "./show.js";
import { cases, seedOf } from "../../soak.js";
import { processorTime } from "../../processor-time.js";

const root = new URL("../../../", import.meta.url);
const sources = ["examples", "src/language/std"].flatMap((folder) =>
  readdirSync(new URL(`${folder}/`, root))
    .filter((f) => f.endsWith(".mod"))
    .map((f) => readFileSync(new URL(`${folder}/${f}`, root), "utf8")),
);

const CHARACTERS = [
  '"',
  "'",
  "\\",
  "{",
  "}",
  "(",
  ")",
  "[",
  "]",
  "\n",
  ";",
  ",",
  ":",
  "=",
  ".",
  "%",
  "-",
  "/",
  "//",
  "///",
  "#",
  "/*",
  "€",
  "\u{1f600}",
  "\t",
  "\r",
  "\u0000",
  "\ufeff",
  "0",
  "9e9",
  "_",
  " ",
];
const SIGNS = lexerTokens.map((type) => type.PATTERN).filter((p): p is string => typeof p === "string");
const WORDS = [...RESERVED, "weight", "state", "update", "return", "def", "x"];
const PIECE = /[A-Za-z_]\w*|\d[\w.%]*|"[^"\n]*"|\s+|[^\w\s]/g;

/** One change: of a character, of a word or sign, or of a line. */
function mutated(text: string, r: Random): string {
  const pick = <T>(list: readonly T[]): T => list[r.below(list.length)]!;
  const at = r.below(text.length + 1);
  const pieces = (): string[] => text.match(PIECE) ?? [];
  const lines = (): string[] => text.split("\n");
  switch (r.below(10)) {
    case 0:
      return text.slice(0, at) + text.slice(at + 1);
    case 1:
      return text.slice(0, at) + pick(CHARACTERS) + text.slice(at);
    case 2:
      return text.slice(0, at) + (text[at + 1] ?? "") + (text[at] ?? "") + text.slice(at + 2);
    case 3: {
      const p = pieces();
      p.splice(r.below(p.length + 1), 1);
      return p.join("");
    }
    case 4: {
      const p = pieces();
      p.splice(r.below(p.length + 1), 0, ` ${pick([...SIGNS, ...WORDS])} `);
      return p.join("");
    }
    case 5: {
      const p = pieces();
      const [i, j] = [r.below(p.length || 1), r.below(p.length || 1)];
      [p[i], p[j]] = [p[j] ?? "", p[i] ?? ""];
      return p.join("");
    }
    case 6: {
      const l = lines();
      l.splice(r.below(l.length), 1);
      return l.join("\n");
    }
    case 7: {
      const l = lines();
      const [line] = l.splice(r.below(l.length), 1);
      l.splice(r.below(l.length + 1), 0, line ?? "");
      return l.join("\n");
    }
    case 8:
      return text.slice(0, at);
    default: {
      const l = lines();
      const i = r.below(l.length);
      l.splice(i, 0, l[i] ?? "");
      return l.join("\n");
    }
  }
}

describe("a source changed at random", () => {
  it("is read, told about and formatted without a fault, and quickly", { tags: "long" }, () => {
    const r = random(seedOf(99));
    const rounds = cases(700);
    let sound = 0;
    for (let n = 0; n < rounds; n++) {
      let text = sources[n % sources.length]!;
      for (let changes = 1 + r.below(5); changes > 0; changes--) text = mutated(text, r);
      const source = { file: "a.mod", text };
      const seconds = processorTime();
      const { file, diagnostics } = parse(source);
      const formatted = formatSource(text, "a.mod");
      expect(seconds(), text).toBeLessThan(5);
      for (const d of diagnostics) {
        expect(d.span.start >= 0 && d.span.start <= d.span.end && d.span.end <= text.length, JSON.stringify(d)).toBe(
          true,
        );
        expect(`${d.message} ${d.hint ?? ""}`).not.toMatch(/undefined|NaN|\[object|-->/);
      }
      expect(formatDiagnostics(diagnostics, { sources: [source] }).length).toBeGreaterThanOrEqual(diagnostics.length);
      expect(formatted.diagnostics).toEqual(diagnostics);
      expect(formatted.text === null).toBe(diagnostics.length > 0);
      if (formatted.text === null) continue;
      sound++;
      const again = parse({ file: "a.mod", text: formatted.text });
      expect(again.diagnostics).toEqual([]);
      expect(withoutSpans(again.file), `${text}\n────\n${formatted.text}`).toEqual(withoutSpans(file));
      expect(formatSource(formatted.text, "a.mod").text, text).toBe(formatted.text);
    }
    expect(sound).toBeGreaterThan(rounds / 50);
    expect(sound).toBeLessThan(rounds);
  });

  it("made of nothing but signs and words at random is told about", () => {
    const r = random(seedOf(100));
    for (let n = 0; n < cases(400); n++) {
      const text = Array.from(
        { length: 1 + r.below(60) },
        () => [...SIGNS, ...WORDS, ...CHARACTERS][r.below(SIGNS.length + WORDS.length + CHARACTERS.length)]!,
      ).join(r.below(2) === 0 ? " " : "");
      const { diagnostics } = parse({ file: "a.mod", text });
      const formatted = formatSource(text, "a.mod");
      expect(formatted.text === null).toBe(diagnostics.length > 0);
    }
  });
});
