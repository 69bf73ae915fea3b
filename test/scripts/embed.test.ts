// The digest of the kernels, for which tunings are measured, covers the code that a device runs.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { kernelCode } from "../../scripts/embed.mjs";

const text = readFileSync(join(import.meta.dirname, "../../kernels/matmul.wgsl"), "utf8");

it("the code of a kernel has no comments and no parameters region", () => {
  expect(kernelCode(text)).not.toMatch(/\/\/|\/\*|sizes|@binding/);
  expect(kernelCode(text.replace("// Method:", "// Another method:"))).toBe(kernelCode(text));
  expect(kernelCode(text.replace("sizes.rows", "sizes.columns"))).toBe(kernelCode(text));
});

it("a change of the body changes the code of a kernel", () => {
  const changed = text.replace("BLOCK = 64u", "BLOCK = 32u");
  expect(changed).not.toBe(text);
  expect(kernelCode(changed)).not.toBe(kernelCode(text));
});
