// What a self-test of a GPU's features found, and which features may be asked for by it.
import type { SelfTestLine } from "./self-test-child.js";

/** `absent`: the adapter does not list it. `untested`: the process ended before it came to it. */
export const OUTCOMES = ["passed", "absent", "wrong", "crashed", "hung", "untested"] as const;
export type Outcome = (typeof OUTCOMES)[number];

export interface SelfTest {
  /** Sums of 16-bit floats. */
  readonly f16: Outcome;
  /** Products on matrix units. */
  readonly matrices: Outcome;
}

export const F16 = "shader-f16";
export const MATRICES = "chromium-experimental-subgroup-matrix";

/** Toggles that show an instance of Dawn all that a GPU has. */
export const ALL_FEATURES = "enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia";

/** The features of a GPU that are asked for only where a self-test has passed. */
export const TESTED_FEATURES: readonly string[] = [F16, MATRICES];

/** Those that passed. Matrix units are of no use without f16. */
export const provenBy = ({ f16, matrices }: SelfTest): readonly string[] =>
  f16 !== "passed" ? [] : matrices !== "passed" ? [F16] : TESTED_FEATURES;

/** How the process ended: by itself, otherwise, or not within its time. */
export type Ending = "ended" | "crashed" | "hung";

/**
 * Holds what the process told against the host. Where it told nothing about a feature, it ended there; what it told
 * stands, however it ended.
 */
export function judge(lines: readonly SelfTestLine[], ending: Ending): SelfTest {
  const adapter = lines.find((line) => line.kind === "adapter");
  const sums = lines.filter((line) => line.kind === "sum");
  const products = lines.filter((line) => line.kind === "product");
  const broken: Outcome = ending === "ended" ? "crashed" : ending;
  if (!adapter) return { f16: broken, matrices: "untested" };
  if (!adapter.f16) return { f16: "absent", matrices: "absent" };
  if (sums.length === 0) return { f16: broken, matrices: adapter.matrices === 0 ? "absent" : "untested" };
  const f16 = sums.every(rightSum) ? "passed" : "wrong";
  if (!products.every(rightProduct)) return { f16, matrices: "wrong" };
  if (adapter.matrices === 0) return { f16, matrices: "absent" };
  return { f16, matrices: products.length < adapter.matrices ? broken : "passed" };
}

type Sum = Extract<SelfTestLine, { kind: "sum" }>;
type Product = Extract<SelfTestLine, { kind: "product" }>;

const rightSum = ({ a, b, sum }: Sum): boolean =>
  a.length > 0 && sum.length === a.length && sum.every((x, i) => x === a[i]! + b[i]!);

function rightProduct({ m, n, k, left, right, product }: Product): boolean {
  const at = (row: number, column: number): number => {
    let sum = 0;
    for (let i = 0; i < k; i++) sum += left[row * k + i]! * right[i * n + column]!;
    return sum;
  };
  return product.length === m * n && product.length > 0 && product.every((x, i) => x === at(Math.floor(i / n), i % n));
}

const WORDS: Readonly<Record<Outcome, string>> = {
  passed: "right",
  absent: "not listed",
  wrong: "wrong",
  crashed: "ended the process",
  hung: "did not come to an end",
  untested: "not tried",
};

/** `sums of 16-bit floats: right; products on matrix units: not listed`. */
export const wordsOf = (test: SelfTest): string =>
  `sums of 16-bit floats: ${WORDS[test.f16]}; products on matrix units: ${WORDS[test.matrices]}`;

/** Whether a feature that the adapter lists is not to be used. */
export const failed = ({ f16, matrices }: SelfTest): boolean =>
  [f16, matrices].some((outcome) => outcome !== "passed" && outcome !== "absent");
