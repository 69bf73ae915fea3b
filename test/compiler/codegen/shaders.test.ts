import { describe, expect, it } from "vitest";
import { emit, emitUniform } from "../../../src/compiler/codegen/emit.js";
import type { Program } from "../../../src/runtime/program/program.js";
import { schedule } from "../../../src/compiler/schedule/schedule.js";
import { ABOVE, graphOf } from "../schedule/graphs.js";

const programOf = (...graph: Parameters<typeof graphOf>): Program => emit(schedule(graphOf(...graph)));
const shader = (program: Program, name: string): string =>
  program.kernels.find((k) => k.name.startsWith(`${name}.`))!.wgsl;
const snapshot = (name: string): string => `./__shaders__/${name}.wgsl`;
const OUTPUT = "[B, T, 4] packed T 0 1";

describe("generated shaders", () => {
  it("walk equal shapes by one number", async () => {
    const program = programOf(`%a = silu(%x)\n%y = mul(%a, %x)\nresult "y" = %y ${OUTPUT}`);
    await expect(shader(program, "silu_mul")).toMatchFileSnapshot(snapshot("silu_mul"));
  });
  it("walk a matrix with a row and a column by two", async () => {
    const program = programOf(
      `%w = weight {"path":"w","dtype":"f32","shape":[4]}()\n%s = sum {"axes":[1],"keep":true}(%x)\n%a = mul(%x, ` +
        `%w)\n%y = add(%a, %s)\nresult "y" = %y ${OUTPUT}`,
    );
    await expect(shader(program, "mul_add")).toMatchFileSnapshot(snapshot("row_column"));
  });
  it("round halves and keep bools as words", async () => {
    const program = programOf(
      `%h = cast {"dtype":"f16"}(%x)\n%b = lt(%h, %h)\n%n = not(%b)\nresult "y" = %n ${OUTPUT}`,
    );
    await expect(shader(program, "cast_lt_not")).toMatchFileSnapshot(snapshot("half_bool"));
  });
  it("compute what a reduction takes inside its kernel", async () => {
    const program = programOf(
      `%m = sum {"axes":[1],"keep":true}(%x)\n%c = sub(%x, %m)\n%p = mul(%c, %c)\n%s = sum ` +
        `{"axes":[1],"keep":true}(%p)\nresult "y" = %s [B, T, 1] packed T 0 1`,
    );
    expect(program.steps).toHaveLength(2);
    expect(program.kernels).toHaveLength(2);
    await expect(program.kernels[1]!.wgsl).toMatchFileSnapshot(snapshot("prologue"));
  });
  it("store what a reduction takes where another reads it too", () => {
    const sums = `%p = mul(%x, %x)\n%s = sum {"axes":[1],"keep":true}(%p)`;
    expect(programOf(`${sums}\n%y = add(%p, %s)\nresult "y" = %y ${OUTPUT}`).steps).toHaveLength(3);
    expect(programOf(`${sums}\nresult "y" = %p ${OUTPUT}\nresult "z" = %s [B, T, 1] packed T 0 1`).steps).toHaveLength(
      2,
    );
  });
  it("count rows that only the device knows", async () => {
    const program = programOf(`${ABOVE.body}%y = exp(%rows)\nresult "y" = %y [B, K, 4] packed K 0 1`, ABOVE);
    await expect(shader(program, "exp")).toMatchFileSnapshot(snapshot("device_rows"));
  });
  it("take sizes from uniforms: layers of different width share a kernel", () => {
    const layer = (from: string, width: number, next: number): string =>
      `%w${next} = weight {"path":"w${next}","dtype":"f32","shape":[${next},${width}]}()\n%y${next} = matmul ` +
      `{"transposed":true}(${from}, %w${next})`;
    const program = programOf(
      `${layer("%x", 4, 8)}\n${layer("%y8", 8, 16)}\n${layer("%y16", 16, 3)}\nresult "y" = %y3 [B, T, 3] packed T 0 1`,
    );
    expect(program.kernels).toHaveLength(1);
    expect(program.steps).toHaveLength(3);
  });
  it("take constants from uniforms: kernels that differ in one are one", () => {
    const program = programOf(
      `%a = constant {"value":2,"dtype":"f32","shape":[]}()\n%b = constant ` +
        `{"value":3,"dtype":"f32","shape":[]}()\n%p = mul(%x, %a)\n%q = mul(%x, %b)\nresult "y" = %p ${OUTPUT}` +
        `\nresult "z" = %q ${OUTPUT}`,
    );
    expect(program.kernels.filter((k) => k.name.startsWith("mul."))).toHaveLength(1);
  });
});

describe("uniform words", () => {
  it("are JSON whatever the constant", () => {
    expect(emitUniform({ value: 0.1, dtype: "f32" })).toEqual({ f32: Math.fround(0.1) });
    expect(emitUniform({ value: -Infinity, dtype: "f32" })).toBe(0xff800000);
    expect(emitUniform({ value: -0, dtype: "f32" })).toBe(0x80000000);
    expect(emitUniform({ value: NaN, dtype: "f32" })).toBe(0x7fc00000);
    expect(emitUniform({ value: 1e40, dtype: "f32" })).toBe(0x7f800000);
    expect(emitUniform({ value: -1, dtype: "i32" })).toBe(0xffffffff);
    expect(emitUniform({ value: 1, dtype: "bool" })).toBe(1);
  });
});
