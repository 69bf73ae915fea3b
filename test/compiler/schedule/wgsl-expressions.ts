// Expressions of a kernel's file, computed on the host as a GPU would compute them: where lanes read and write.
import { compileFunction } from "node:vm";
import { expect } from "vitest";
import { kernelFiles } from "../../../src/ground/embedded.js";

export type Numbers = Readonly<Record<string, number>>;
export type Expression = (values: Numbers) => number;

/** An expression of u32 in WGSL; numbers below 2 ** 31, whose quotients are whole. */
export function expressionOf(wgsl: string, names: readonly string[]): Expression {
  const code = wgsl.replaceAll(/(\d+)u\b/g, "$1n").replaceAll(/(?<=\w)\.(?=\w)/g, "_");
  const body = `const min = (a, b) => a < b ? a : b; const max = (a, b) => a > b ? a : b;
    const clamp = (x, l, h) => x < l ? l : x > h ? h : x; const select = (a, b, c) => c ? b : a; return ${code};`;
  const compiled = compileFunction(body, [...names]) as (...values: bigint[]) => bigint;
  return (values) => Number(compiled(...names.map((name) => BigInt(values[name]!))));
}

export interface KernelExpressions {
  /** The expression that a pattern finds in the body, in one place. */
  readonly one: (pattern: RegExp) => string;
  /** Computes the kernel's constants from its parameters' constants. */
  readonly constantsOf: (given: Numbers) => Numbers;
}

export function expressionsOf(file: string): KernelExpressions {
  const text = kernelFiles[file]!.split("// --- end of parameters\n")[1]!;
  const constants = [...text.matchAll(/(?<=^|; )const (\w+) = ([^.;\n]+);/gm)].map(
    ([, name, value]) => [name!, value!] as const,
  );
  return {
    one(pattern) {
      const found = [...text.matchAll(pattern)];
      expect(found.length, String(pattern)).toBe(1);
      return found[0]![1]!;
    },
    constantsOf(given) {
      let all = given;
      for (const [name, value] of constants) all = { ...all, [name]: expressionOf(value, Object.keys(all))(all) };
      return all;
    },
  };
}

/** 0, and so on by steps below n. */
export const range = (n: number, step = 1): number[] => Array.from({ length: Math.ceil(n / step) }, (_, i) => i * step);
