import { describe, expect, it } from "vitest";
import { parseSize } from "../../../src/ground/size/parse-size.js";
import {
  addSizes,
  applySize,
  axisSize,
  liveSize,
  multiplySizes,
  printSize,
  rowsSize,
  sizeOf,
} from "../../../src/ground/size/size.js";
import { rational } from "../../../src/ground/numerics/rational.js";
import { processorTime } from "../../processor-time.js";

describe("sizes as text", () => {
  const sizes = [
    0,
    7,
    axisSize("T"),
    rowsSize("layers.1.chosen"),
    liveSize("capacity"),
    sizeOf(rational(1, 3)),
    applySize("ceil", [multiplySizes(liveSize("capacity"), axisSize("T"))]),
    addSizes(multiplySizes(12, multiplySizes(rowsSize("T"), axisSize("F"))), -4),
    applySize("max", [rowsSize("T"), multiplySizes(3, rowsSize("K")), 9]),
    applySize("div", [axisSize("T"), addSizes(axisSize("F"), 1)]),
  ];
  it.each(sizes.map((s) => [printSize(s), s] as const))("%s reads back as itself", (text, size) => {
    expect(parseSize(text)).toEqual(size);
  });
  it.each([
    "",
    "4*",
    "T)",
    "(T)",
    "ceil(",
    "ceil()",
    "round T",
    "1//2",
    "T T",
    "4.5",
    "rows()",
    "__proto__(1)",
    "mod(T)",
    "div(1)",
    "ceil(T, 2)",
    "div(T, 0)",
    "mod(7, 0)",
  ])("%j is none", (text) => {
    expect(() => parseSize(text)).toThrow(SyntaxError);
  });
});

it("text written to be expanded without end is refused at once", () => {
  const names = Array.from({ length: 60 }, (_, i) => `A${i}`);
  const seconds = processorTime();
  for (const text of [
    names.map((n) => `ceil(1 + ${n})`).join("*"),
    Array.from({ length: 20_000 }, (_, i) => `A${i}`).join(" + "),
    Array.from({ length: 20_000 }, () => "A").join("*"),
    `${"ceil(".repeat(1000)}1${")".repeat(1000)}`,
  ])
    expect(() => parseSize(text)).toThrow(SyntaxError);
  // It takes 0.4 s, and up to 2.5 s on a busy machine; the expansion of the first text would take years.
  expect(seconds()).toBeLessThan(20);
});
