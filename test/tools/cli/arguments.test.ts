// Values of options: whole numbers in the usual notations; invalid values are refused with a message that quotes the
// value.
import { describe, expect, it } from "vitest";
import { extentsOf, wholeNumber } from "../../../src/tools/cli/tree/arguments.js";
import { chosenExtents } from "../../../src/tools/cli/source/extents.js";
import { batch, length } from "../../../src/tools/cli/tree/options.js";
import type { Axis } from "../../../src/ground/size/axes.js";

const axes: readonly Axis[] = [
  { role: "batch", name: "B", bound: null },
  { role: "sequence", name: "T", bound: 256, count: { kind: "input" } },
];

describe("extents", () => {
  it.each([
    ["B=1,T=2048", { B: 1, T: 2048 }],
    ["B=1e8", { B: 1e8 }],
    ["B=4e9, T=1.5e3", { B: 4e9, T: 1500 }],
    ["B=4294967295", { B: 4_294_967_295 }],
    ["B=007", { B: 7 }],
  ])("are read from %s", (text, wanted) => expect(Object.fromEntries(extentsOf("--at", text))).toEqual(wanted));

  it.each([
    "1e308",
    "1e9999",
    "-1",
    "0",
    "1.5",
    "1e-1",
    "abc",
    "",
    "NaN",
    "Infinity",
    "0x10",
    "4294967296",
    "9007199254740993",
    "1e10000000",
  ])("refuse %j everywhere", (value) => {
    expect(() => extentsOf("--at", `B=${value}`)).toThrow(`--at B=${value} is not a whole number from 1 to 4294967295`);
    for (const option of [batch("1"), length("512")])
      expect(() => option.parseArg!(value, undefined)).toThrow(
        `${option.long} ${JSON.stringify(value)} is not a whole number from 1 to 4294967295`,
      );
  });

  it("are held against the bounds of the model", () => {
    expect(() => chosenExtents(axes, { length: 1e3 }, 512)).toThrow("--length 1000: the model allows 256");
    expect(chosenExtents(axes, { batch: 4e9 }, 512)).toEqual(
      new Map([
        ["B", 4e9],
        ["T", 256],
      ]),
    );
  });
});

it("whole numbers have the range that they are for", () => {
  expect(wholeNumber("--steps", "1e3", 1, 1e9)).toBe(1000);
  expect(() => wholeNumber("--steps", "1e10", 1, 1e9)).toThrow(
    '--steps "1e10" is not a whole number from 1 to 1000000000',
  );
});
