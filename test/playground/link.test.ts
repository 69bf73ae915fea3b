// Links that hold programs: what goes in comes out, and what an enemy wrote is refused.
import { deflateRawSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { random } from "../random.js";
import { linkOf, MOST_BYTES, MOST_CHARACTERS, programOf } from "../../playground/src/link.js";

const packed = (bytes: Uint8Array | string): string => `#program=${deflateRawSync(bytes).toString("base64url")}`;
const holding = (value: unknown): string => packed(JSON.stringify(value));

describe("a link", () => {
  it("holds any program", async () => {
    const program = fc.record({
      text: fc.string({ unit: "grapheme", maxLength: 2000 }),
      set: fc.dictionary(fc.string({ maxLength: 20 }), fc.string({ maxLength: 20 })),
      phase: fc.constantFrom("infer" as const, "generate" as const, "train" as const),
    });
    await fc.assert(
      fc.asyncProperty(program, async (source) => {
        const hash = await linkOf(source);
        expect(hash).toMatch(/^#program=[A-Za-z0-9_-]+$/);
        expect(JSON.stringify(await programOf(hash))).toBe(JSON.stringify(source));
      }),
      { seed: 11, numRuns: 100 },
    );
  });

  it("is no longer than it may be", async () => {
    const rng = random(5);
    const text = String.fromCharCode(...Array.from({ length: 80_000 }, () => 33 + rng.below(90)));
    await expect(linkOf({ text, set: {}, phase: "infer" })).rejects.toThrow("too long for a link");
    await expect(programOf(`#program=${"A".repeat(MOST_CHARACTERS)}`)).rejects.toThrow("the link is too long");
  });

  it("that unpacks to more than fits is left before it fills the memory", async () => {
    const bomb = holding({ text: "x".repeat(100 * MOST_BYTES), set: {}, phase: "infer" });
    expect(bomb.length).toBeGreaterThan(MOST_CHARACTERS); // such a one is too long already
    const smaller = holding({ text: "x".repeat(2 * MOST_BYTES), set: {}, phase: "infer" });
    expect(smaller.length).toBeLessThan(MOST_CHARACTERS);
    await expect(programOf(smaller)).rejects.toThrow(`more than ${MOST_BYTES} bytes`);
  });

  it.each([
    ["what is no base64", "#program=<script>"],
    ["half a link", packed(JSON.stringify({ text: "model", set: {}, phase: "infer" })).slice(0, -6)],
    ["noise", "#program=AAECAwQFBgc"],
    ["bytes that are no text", packed(Uint8Array.of(0xff, 0xfe))],
    ["what is no JSON", packed("{")],
    ["null", holding(null)],
    ["a list", holding([1, 2])],
    ["no text", holding({ set: {}, phase: "infer" })],
    ["text that is none", holding({ text: 1, set: {}, phase: "infer" })],
    ["an unknown phase", holding({ text: "", set: {}, phase: "eval" })],
    ["parameters that are a list", holding({ text: "", set: ["1"], phase: "infer" })],
    ["a parameter that is no text", holding({ text: "", set: { dim: { toString: 1 } }, phase: "infer" })],
  ])("with %s is refused", async (_, hash) => {
    await expect(programOf(hash)).rejects.toThrow("the link is damaged");
  });

  it("gives nobody a prototype", async () => {
    const { set } = await programOf(packed(`{"text":"","set":{"__proto__":"1"},"phase":"infer"}`));
    expect(Object.keys(set)).toEqual(["__proto__"]);
    expect(Object.getPrototypeOf(set)).toBe(Object.prototype);
  });
});
