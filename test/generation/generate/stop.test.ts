// Stop strings and characters in streamed text: what comes out does not depend on where the pieces end.
import { describe, expect, it } from "vitest";
import { ByteText, StopMatcher } from "../../../src/generation/generate/stop.js";
import { randomFrom } from "../../compiler/ops/bench.js";

/** All text that a matcher lets through, and the stop string it met. */
function streamed(stops: readonly string[], pieces: readonly string[]): { text: string; stop: string | null } {
  const matcher = new StopMatcher(stops);
  let text = "";
  for (const piece of pieces) {
    const next = matcher.push(piece);
    text += next.text;
    if (next.stop !== null) return { text, stop: next.stop };
  }
  return { text: text + matcher.end(), stop: null };
}

/** The definition, character by character of the whole text. */
function plainly(stops: readonly string[], text: string): { text: string; stop: string | null } {
  for (let end = 1; end <= text.length; end++) {
    const done = stops.filter((s) => text.slice(0, end).endsWith(s)).toSorted((a, b) => b.length - a.length)[0];
    if (done !== undefined) return { text: text.slice(0, end - done.length), stop: done };
  }
  return { text, stop: null };
}

describe("stop strings", () => {
  it("span pieces, and are no part of the text", () => {
    expect(streamed(["\n\nUser:"], ["Hello", "\n", "\nUs", "er: and"])).toEqual({ text: "Hello", stop: "\n\nUser:" });
    expect(streamed(["END"], ["an E", "N", "d", " END"])).toEqual({ text: "an ENd ", stop: "END" });
  });

  it("hold back only what may become one", () => {
    const matcher = new StopMatcher(["abab!"]);
    expect(matcher.push("xaba")).toEqual({ text: "x", stop: null });
    expect(matcher.push("b")).toEqual({ text: "", stop: null });
    expect(matcher.push("ab")).toEqual({ text: "ab", stop: null });
    expect(matcher.push("?")).toEqual({ text: "abab?", stop: null });
    expect(matcher.push("ab")).toEqual({ text: "", stop: null });
    expect(matcher.end()).toBe("ab");
  });

  it("never show half a character", () => {
    const matcher = new StopMatcher(["🐋!"]);
    expect(matcher.push("a\ud83d")).toEqual({ text: "a", stop: null });
    expect(matcher.push("\ude00\ud83d")).toEqual({ text: "😀", stop: null });
    expect(matcher.push("\udc0b")).toEqual({ text: "", stop: null });
    expect(matcher.push("!")).toEqual({ text: "", stop: "🐋!" });
    expect(matcher.push("more")).toEqual({ text: "", stop: null });
    expect(streamed([], ["a\ud83d"]).text).toBe("a\ufffd");
  });

  it("that are empty or halved are refused", () => {
    expect(() => new StopMatcher(["x", ""])).toThrow("a stop string must be a text of at least one character");
    expect(() => new StopMatcher(["\ud83d"])).toThrow("a stop string must hold whole characters");
  });

  it("are found wherever pieces end, as in the whole text", () => {
    const random = randomFrom(17);
    const letters = ["a", "b", "🐋", "é"];
    const text = (most: number): string =>
      Array.from({ length: 1 + random.below(most) }, () => letters[random.below(4)]!).join("");
    let stopped = 0;
    for (let trial = 0; trial < 2000; trial++) {
      const stops = Array.from({ length: random.below(4) }, () => text(4));
      const whole = text(25);
      const pieces: string[] = [];
      // Anywhere, in the middle of a surrogate pair too.
      for (let at = 0; at < whole.length;) {
        const n = random.below(5);
        pieces.push(whole.slice(at, at + n));
        at += n;
      }
      const expected = plainly(stops, whole);
      if (expected.stop !== null) stopped++;
      expect(streamed(stops, pieces), `${JSON.stringify(stops)} in ${JSON.stringify(pieces)}`).toEqual(expected);
    }
    expect(stopped).toBeGreaterThan(500);
  });
});

describe("text of bytes", () => {
  it("is that of all bytes at once, however they come", () => {
    const whole = "\ufeffa é 漢 🐋\u0000";
    const bytes = [...new TextEncoder().encode(whole), 0xff, 0xe6, 0xbc];
    const text = new ByteText();
    expect(bytes.map((b) => text.push([b])).join("") + text.end()).toBe(`${whole}\ufffd\ufffd`);
  });

  it("shows a character with its last byte", () => {
    const text = new ByteText();
    expect([0xf0, 0x9f, 0x90, 0x8b].map((b) => text.push([b]))).toEqual(["", "", "", "🐋"]);
  });
});
