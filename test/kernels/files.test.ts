// Every file of kernels/ is a valid shader.
import { readdirSync, readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_LIMITS } from "../../src/runtime/program/target.js";
import { type Check, openDawn, openNaga } from "./compilers.js";

const folder = new URL("../../kernels/", import.meta.url);
const files = readdirSync(folder).filter((f) => f.endsWith(".wgsl"));
const read = (file: string): string => readFileSync(new URL(file, folder), "utf8");

/** Kernels for devices that have subgroups; naga does not know them yet. */
const enables = (text: string): boolean => /^enable subgroups;$/m.test(text);

/** Those for matrix units: the null backend has none, and on a device that has them `products-matrix` runs them. */
const onUnits = (text: string): boolean => /^enable chromium_experimental_subgroup_matrix;$/m.test(text);

let dawn: Check;
let dawnWithSubgroups: Check;
let naga: Check;
beforeAll(async () => {
  dawn = await openDawn();
  dawnWithSubgroups = await openDawn(["subgroups"]);
  naga = await openNaga();
});

describe.each(files)("kernels/%s", (file) => {
  it.skipIf(onUnits(read(file)))("is accepted by Dawn under the default limits", async () => {
    const check = enables(read(file)) ? dawnWithSubgroups : dawn;
    expect(await check(read(file))).toBeNull();
  });
  it.skipIf(enables(read(file)))("is accepted by naga", async () => {
    expect(await naga(read(file))).toBeNull();
  });
  it("has a header that gives formula, method and grid, then one parameters region", () => {
    const text = read(file);
    expect(text).toMatch(/^\/\/ .+\n(\/\/ .+\n)*\/\/ Method: .+\n(\/\/ .+\n)*\/\/ Grid: .+\n/);
    expect(text.split("// --- parameters\n").length).toBe(2);
    expect(text.split("// --- end of parameters\n").length).toBe(2);
  });
  it("uses all that its parameters declare, and the uniforms through them alone", () => {
    const [head, body] = read(file).split("// --- end of parameters\n") as [string, string];
    const region = head.split("// --- parameters\n")[1]!;
    const declared = [...region.matchAll(/^(?:fn|alias|const|@group\S* @binding\S* var<[^>]*>) (\w+)/gm)].map(
      ([, name]) => name!,
    );
    const uses = (name: string): number => `${region}${body}`.split(new RegExp(`\\b${name}\\b`)).length - 1;
    expect(declared.filter((name) => uses(name) < 2)).toEqual([]);
    expect(body).not.toMatch(/\bsizes\b/);
  });
  it("binds uniforms at 0 and storage from 1, without gaps", () => {
    const bindings = [
      ...read(file).matchAll(/@binding\((\d+)\) var(?:<(?=uniform|storage)| \w+: texture_)(uniform|storage)/g),
    ].map(([, n, kind]) => [Number(n), kind]);
    expect(bindings).toEqual(bindings.map((_, i) => [i, i === 0 ? "uniform" : "storage"]));
    expect(bindings.length - 1).toBeLessThanOrEqual(DEFAULT_LIMITS.storageBuffersPerStage);
  });
  it(
    "assumes neither half precision nor, unless it says so, subgroups, and no more invocations than every device " +
      "has",
    () => {
      const text = read(file);
      if (!onUnits(text)) expect(text).not.toMatch(/\bf16\b(?!\()/);
      if (!enables(text)) expect(text).not.toMatch(/@builtin\(subgroup|\bsubgroup\w+\(|\benable\b/);
      if (onUnits(text)) return; // its tunings say how many invocations
      const [, size] = /@workgroup_size\((\w+)\)/.exec(text)!;
      const constant = new RegExp(`^const ${size} = (\\d+)u;`, "m").exec(text);
      expect(Number(constant ? constant[1] : size)).toBeLessThanOrEqual(DEFAULT_LIMITS.invocationsPerWorkgroup);
    },
  );
});

it("a compiler that accepts everything would be noticed", async () => {
  const broken = "@compute @workgroup_size(1) fn main() { let x: u32 = 1.5; }";
  expect(await dawn(broken)).not.toBeNull();
  expect(await naga(broken)).not.toBeNull();
});
