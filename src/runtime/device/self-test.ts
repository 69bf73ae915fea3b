// The result of a GPU's self-test, and the features that may be requested after it.
import { MATRIX_VECTORS, PINS } from "../program/target.js";
import type { SelfTestLine } from "./self-test-child.js";

/** `absent`: the adapter does not list the feature. `untested`: the process ended before the feature's test. */
export const OUTCOMES = ["passed", "absent", "wrong", "crashed", "hung", "untested"] as const;
export type Outcome = (typeof OUTCOMES)[number];

export interface SelfTest {
  /** The result for sums of 16-bit floats. */
  readonly f16: Outcome;
  /** The result for products on matrix units. */
  readonly matrices: Outcome;
  /** The result for subgroups of a requested size. Also absent if all subgroups have one size. */
  readonly pins: Outcome;
  /** The result for matrix-unit products of operands stored as vectors of eight halves. */
  readonly vectors: Outcome;
}

export const F16 = "shader-f16";
export const MATRICES = "chromium-experimental-subgroup-matrix";

/** Toggles with which an instance of Dawn lists all features of a GPU. */
export const ALL_FEATURES = "enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia";

/** GPU features that are requested, and forms that are used, only after a self-test has passed. */
export const TESTED_FEATURES: readonly string[] = [F16, MATRICES, PINS, MATRIX_VECTORS];

/** The features and forms that passed. Matrix units are useless without f16. */
export function provenBy({ f16, matrices, pins, vectors }: SelfTest): readonly string[] {
  const passed = (outcome: Outcome): boolean => outcome === "passed";
  const units = passed(f16) && passed(matrices);
  const proven = [passed(f16), units, passed(pins), units && passed(vectors)];
  return TESTED_FEATURES.filter((_, i) => proven[i]);
}

/** How the process ended: normally, by a crash, or by the time limit. */
export type Ending = "ended" | "crashed" | "hung";

/**
 * Compares the results of the process with the host's. A feature without a result has failed: the process ended in its
 * test, or earlier. Earlier results count however the process ended.
 */
export function judge(lines: readonly SelfTestLine[], ending: Ending): SelfTest {
  const adapter = lines.find((line) => line.kind === "adapter");
  let broken: Outcome = ending === "ended" ? "crashed" : ending;
  if (!adapter) return { f16: broken, matrices: "untested", pins: "untested", vectors: "untested" };
  const products = lines.filter((line) => line.kind === "product");
  /** Call in the order of the tests: the process ended in the first test that lacks lines. */
  const outcome = <L extends SelfTestLine>(
    test: readonly L[],
    expected: number,
    right: (line: L) => boolean,
  ): Outcome => {
    if (!test.every(right)) return "wrong";
    if (test.length >= expected) return expected === 0 ? "absent" : "passed";
    const wasBroken = broken;
    broken = "untested";
    return wasBroken;
  };
  return {
    f16: outcome(ofKind(lines, "sum"), adapter.f16 ? 1 : 0, rightSum),
    matrices: outcome(
      products.filter((line) => !line.vectors),
      adapter.matrices,
      rightProduct,
    ),
    pins: outcome(ofKind(lines, "pinned"), adapter.pins ? 1 : 0, rightWidth),
    vectors: outcome(
      products.filter((line) => line.vectors),
      adapter.vectors,
      rightProduct,
    ),
  };
}

type Line<K extends SelfTestLine["kind"]> = Extract<SelfTestLine, { kind: K }>;

const ofKind = <K extends SelfTestLine["kind"]>(lines: readonly SelfTestLine[], kind: K): readonly Line<K>[] =>
  lines.filter((line): line is Line<K> => line.kind === kind);

const rightSum = ({ a, b, sum }: Line<"sum">): boolean =>
  a.length > 0 && sum.length === a.length && sum.every((x, i) => x === a[i]! + b[i]!);

function rightProduct({ m, n, k, left, right, product }: Line<"product">): boolean {
  const at = (row: number, column: number): number => {
    let sum = 0;
    for (let i = 0; i < k; i++) sum += left[row * k + i]! * right[i * n + column]!;
    return sum;
  };
  return product.length === m * n && product.length > 0 && product.every((x, i) => x === at(Math.floor(i / n), i % n));
}

/**
 * Checks two subgroups of the width: each index belongs to one lane, and each lane's sum is the sum of its subgroup's
 * indices.
 */
function rightWidth({ width, sizes, places, sums }: Line<"pinned">): boolean {
  const sorted = places.toSorted((a, b) => a - b);
  const first = (width * (width - 1)) / 2;
  return (
    [sizes, places, sums].every(({ length }) => length === 2 * width) &&
    sizes.every((size) => size === width) &&
    sorted.every((index, i) => index === i) &&
    sums.every((sum, i) => sum === (places[i]! < width ? first : first + width * width))
  );
}

const WORDS: Readonly<Record<Outcome, string>> = {
  passed: "right",
  absent: "not listed",
  wrong: "wrong",
  crashed: "ended the process",
  hung: "did not end",
  untested: "not tried",
};

const NAMES: Readonly<Record<keyof SelfTest, string>> = {
  f16: "sums of 16-bit floats",
  matrices: "products on matrix units",
  pins: "subgroups of a chosen size",
  vectors: "matrices of vectors",
};
const PARTS = Object.keys(NAMES) as readonly (keyof SelfTest)[]; // the keys of a complete table

/** `sums of 16-bit floats: right; products on matrix units: not listed; …`. */
export const wordsOf = (test: SelfTest): string =>
  PARTS.map((part) => `${NAMES[part]}: ${WORDS[test[part]]}`).join("; ");

/** Whether the test failed for a feature that the adapter lists. */
export const failed = (test: SelfTest): boolean =>
  PARTS.some((part) => test[part] !== "passed" && test[part] !== "absent");
