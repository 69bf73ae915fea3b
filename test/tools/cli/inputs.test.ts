// Inputs on the command line: numbers that JSON lacks, by their names and places.
import { describe, expect, it } from "vitest";
import { readInputs } from "../../../src/tools/cli/run/inputs.js";
import { scaleProgram, tablesProgram } from "../../runtime/run/programs.js";

const [floats, whole] = [scaleProgram(), tablesProgram];

describe("--input", () => {
  it("takes NaN and infinities in quotes, as they are printed", async () => {
    const { inputs } = await readInputs(floats, { input: { x: '[[["NaN", "-Infinity", 1]]]' } });
    expect(inputs.get("x")).toEqual({ shape: [1, 1, 3], data: [NaN, -Infinity, 1] });
  });

  it.each([
    ["[[NaN]]", "--input x is not JSON", /write such numbers in quotes: "NaN"/],
    ["[[[1, null, 2]]]", "x[0][0][1] is null, which is not a number", /write such numbers in quotes: "NaN"/],
    ['[["a"]]', 'x[0][0] is "a", which is not a number', /^$/],
  ])("says of %s what is wrong, and how such a number is written", async (text, message, hint) => {
    await expect(readInputs(floats, { input: { x: text } })).rejects.toSatisfy(
      (fault: Error & { readonly hint: string | null }) =>
        fault.message.includes(message) && hint.test(fault.hint ?? ""),
    );
  });

  it("says where a whole number is none", async () => {
    await expect(readInputs(whole, { input: { x: '[[1, "NaN"]]' } })).rejects.toThrow(
      "x[0][1] is NaN: u32 takes whole numbers",
    );
    await expect(readInputs(whole, { input: { x: "[[1, null]]" } })).rejects.toThrow(
      "x[0][1] is null, which is not a number",
    );
  });
});
