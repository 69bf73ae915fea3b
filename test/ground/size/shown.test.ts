import { describe, expect, it } from "vitest";
import { escapeText, quotedName, replaceControls, escapedName } from "../../../src/ground/base/shown.js";

describe("text from outside", () => {
  it("spells every character that steers a terminal or turns the reading", () => {
    const steering = [
      ...Array.from({ length: 32 }, (_, i) => i).filter((c) => c !== 9 && c !== 10),
      ...Array.from({ length: 33 }, (_, i) => 0x7f + i),
      0x61c,
      0x200e,
      0x200f,
      0x2028,
      0x2029,
      0x202a,
      0x202b,
      0x202c,
      0x202d,
      0x202e,
      0x2066,
      0x2067,
      0x2068,
      0x2069,
      0xfeff,
    ];
    for (const code of steering) {
      const shown = escapeText(`a${String.fromCharCode(code)}b`);
      expect(shown).toBe(code === 13 ? "a\\rb" : `a\\u${code.toString(16).padStart(4, "0")}b`);
      expect(replaceControls(`a${String.fromCharCode(code)}b`, "$&")).toBe("a$&b");
    }
  });

  it("leaves all other text as it is, and what it has escaped", () => {
    const text = 'Größe\t→ "日本語" 🙂‍🔥 \\u001b é\nnext line ';
    expect(escapeText(text)).toBe(text);
    const once = escapeText("\u001b[31m\u202eabc");
    expect(escapeText(once)).toBe(once);
  });

  it("puts a name into one line and cuts its middle between characters", () => {
    expect(escapedName("a\nb\tc\u001b")).toBe("a\\nb\\tc\\u001b");
    expect(quotedName('a"\n\u202e')).toBe('"a\\"\\n\\u202e"');
    const long = escapedName(`${"x".repeat(1_000_000)}.weight`);
    expect(long).toHaveLength(160);
    expect(long).toMatch(/^x{107} … x{43}\.weight$/);
    for (let before = 0; before < 4; before++)
      expect(escapedName("x".repeat(before) + "🙂".repeat(500))).not.toMatch(/\p{Cs}/u);
  });
});
