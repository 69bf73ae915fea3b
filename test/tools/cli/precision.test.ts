// `--activations-as f16`: commands that accept or refuse the option, and the effect.
import { afterAll, describe, expect, it } from "vitest";
import { memoryOf } from "../../../src/runtime/index.js";
import { parseProgram } from "../../../src/runtime/program/serialize.js";
import { readFileSync } from "node:fs";
import { modc, temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);
const SMALL = [
  "examples/moby.mod",
  "--set",
  "depth=2",
  "--set",
  "dim=32",
  "--set",
  "heads=2",
  "--set",
  "context=16",
] as const;
const F16 = ["--activations-as", "f16"] as const;

const printed = async (...args: readonly string[]): Promise<string> => {
  const { status, stdout, stderr } = await modc(args);
  expect([status, stderr]).toEqual([0, expect.not.stringContaining("error")]);
  return stdout;
};

describe("with a device that has f16", () => {
  it("run agrees with the reference to fewer digits", async () => {
    const text = ["--text", "Call me Ishmael", "--check"] as const;
    const differenceOf = (out: string): number => Number(/largest difference (\S+) of/.exec(out)![1]);
    const [half, whole] = [
      differenceOf(await printed("run", ...SMALL, ...text, ...F16)),
      differenceOf(await printed("run", ...SMALL, ...text)),
    ];
    expect(half).toBeLessThan(16 * 2 ** -11);
    expect(half).toBeGreaterThan(10 * whole); // it is f16 that ran
  });
});

describe("without one", () => {
  it("plan, wgsl and cost show what there would be", async () => {
    expect(await printed("plan", ...SMALL, ...F16, "--target", "mesa-software")).toContain(
      "for mesa-software, subgroups of 8, shader-f16, values in f16",
    );
    expect(await printed("plan", ...SMALL, ...F16, "--target", "portable")).toContain(
      "for portable, shader-f16, values in f16",
    );
    expect(await printed("wgsl", ...SMALL, ...F16, "--all")).toContain("enable f16;");
    expect(await printed("wgsl", ...SMALL, "--all")).not.toContain("f16");
    const memory = async (...flags: readonly string[]): Promise<number> =>
      (
        JSON.parse(await printed("cost", ...SMALL, "--batch", "1", "--length", "16", "--json", ...flags)) as {
          readonly memory: { readonly weights: number };
        }
      ).memory.weights;
    expect(await memory(...F16)).toBeLessThan(0.55 * (await memory()));
  });
  it("compile writes a program that says what it needs", async () => {
    const path = folder.file("small.json", "");
    await printed("compile", ...SMALL, ...F16, "-o", path);
    const program = parseProgram(readFileSync(path, "utf8"));
    expect([program.precision, program.requires.features]).toEqual(["f16", ["shader-f16"]]);
    expect(memoryOf(program, { max: { B: 1, T: 16 } }).weights).toBeGreaterThan(0);
    const refused = await modc(["run", path, "--text", "a", "--device", "swiftshader"]);
    expect(refused).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("needs shader-f16, which SwiftShader does not have\n  hint: compile it in f32"),
    });
    const again = await modc(["run", path, "--text", "a", ...F16]);
    expect(again).toMatchObject({ status: 2, stderr: expect.stringContaining("--activations-as has no effect") });
  });
  it.each([
    [
      ["run", ...SMALL, "--text", "a", "--device", "swiftshader"],
      "activations in f16 need shader-f16, which the target (swiftshader) does not have",
    ],
    [
      ["plan", ...SMALL, "--target", "swiftshader"],
      "activations in f16 need shader-f16, which the target (swiftshader) does not have",
    ],
    [
      ["compile", ...SMALL, "--device", "swiftshader"],
      "activations in f16 need shader-f16, which the target (swiftshader) does not have",
    ],
    [["run", ...SMALL, "--text", "a", "--device", "reference"], "--device reference keeps 64 bits"],
  ])("%j is a usage error", async (args, message) => {
    const { status, stdout, stderr } = await modc([...args, ...F16]);
    expect([status, stdout, stderr]).toEqual([2, "", expect.stringContaining(message)]);
  });
});
