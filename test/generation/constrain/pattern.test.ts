// Regular expressions: texts of a pattern are those that JavaScript matches.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { utf8Ranges } from "../../../src/generation/constrain/grammar.js";
import { random } from "../../random.js";
import { has, machineOf, walk } from "./walks.js";

const machine = (pattern: string) => machineOf({ kind: "schema", schema: { type: "string", pattern } });

const PATTERNS = [
  "^[a-z]{3,5}-[0-9]+$",
  "^(foo|ba[rz])?$",
  "^a|b$",
  "x+y*?",
  "^\\d\\D\\w\\W\\s\\S$",
  "^[\\]\\\\\"'\\-^]+$",
  "^[^\\d\\s]{2}$",
  '^"\\t\\n\\u0001\\x41\\u{1F600}\\ud83d\\ude00.$',
  "^(?:(?<year>[0-9]{4})/)+$",
  "^[\\w.+-]+@(?:[a-z0-9]+\\.)+[a-z]{2,}$",
  "^((a*)*)*b$",
  "(?:^a|b)c",
  "a(b|c$)",
  "(^(a|^b)$|(c|^d))",
  "",
];

describe("a pattern", () => {
  it.each(PATTERNS)("%j has only texts that JavaScript matches", (pattern) => {
    const own = machine(pattern);
    const rng = random(5);
    for (let i = 0; i < 20; i++) {
      own.begin(own.start);
      const text = walk(own, rng, 400);
      if (text !== null) expect(new RegExp(pattern, "u").test(JSON.parse(text)), text).toBe(true);
    }
  });

  it("has those that JavaScript matches, and no others", () => {
    const alphabet = fc.string({ unit: fc.constantFrom(...Array.from('ab"\\\n01 é😀')), maxLength: 6 });
    const patterns = ["^[ab]+$", "b", "^.{2}$", '^["\\\\]*$', "^\\s|[^a]\\d$", "^(?:a|ab)(?:b|0)?$", "^[😀-😂é]$"];
    patterns.push(
      "^a$|^b$",
      "(?:^a|b)0",
      "(a|^b$)",
      "(?:0|(?:a|b)+$)|(1$|^$)",
      "(a|)$",
      "(^(b$))",
      "^(a)$",
      "a(b)(1$|0)$",
    );
    const all = new Map(patterns.map((pattern) => [pattern, machine(pattern)]));
    fc.assert(
      fc.property(alphabet, fc.constantFrom(...patterns), (text, pattern) => {
        expect(has(all.get(pattern)!, JSON.stringify(text))).toBe(new RegExp(pattern, "u").test(text));
      }),
      { seed: 7, numRuns: 2000 },
    );
  });

  it("of a whole text need not be quoted", () => {
    const own = machineOf({ kind: "pattern", pattern: "yes|no" });
    expect(() => machineOf({ kind: "pattern", pattern: "a)|(b" })).toThrow("not a regular expression");
    expect(["yes", "no", "yesno", '"yes"'].map((text) => has(own, text))).toEqual([true, true, false, false]);
  });

  it("of a whole text may say at its edges that it is one", () => {
    for (const [pattern, texts, others] of [
      ["^[a-z]+$", ["abc"], ["ab1", ""]],
      ["^a$|^b$", ["a", "b"], ["ab", "a$"]],
      ["(^a|b)c$", ["ac", "bc"], ["xbc", "c"]],
    ] as const) {
      const own = machineOf({ kind: "pattern", pattern });
      for (const text of texts) expect(has(own, text), text).toBe(true);
      for (const text of others) expect(has(own, text), text).toBe(false);
    }
    for (const [pattern, fault] of [
      ["a^b", 'the pattern "a^b" has ^ elsewhere than at the front'],
      ["(a$)b", 'the pattern "(a$)b" has $ elsewhere than at the end'],
      ["(^a)*", 'the pattern "(^a)*" has ^ elsewhere than at the front'],
    ] as const)
      expect(() => machineOf({ kind: "pattern", pattern })).toThrow(fault);
  });
});

describe("characters in UTF-8", () => {
  it("are those of their range", () => {
    const points = fc.integer({ min: 0, max: 0x10ffff });
    fc.assert(
      fc.property(points, points, points, (a, b, point) => {
        if (point >= 0xd800 && point <= 0xdfff) return;
        const [low, high] = [Math.min(a, b), Math.max(a, b)];
        const bytes = new TextEncoder().encode(String.fromCodePoint(point));
        const held = utf8Ranges([low, high]).filter(
          (ranges) => ranges.length === bytes.length && ranges.every(([f, l], i) => bytes[i]! >= f && bytes[i]! <= l),
        );
        expect(held.length).toBe(point >= low && point <= high ? 1 : 0);
      }),
      { seed: 3, numRuns: 3000 },
    );
  });
});
