// WGSL of the steps of a pair: the score and whether it is seen, and derivatives of the bias.
import type { Pair, PairStep } from "../../ir/pair.js";
import { slopesOf, stepWgsl, type PairSlope } from "../../ops/pair-steps.js";
import { wgslLiteral } from "../../ops/index.js";
import type { PairRows } from "./pair-rows.js";
import type { KernelBuilder } from "./spec.js";

const PARAMETERS = "head: u32, query: u32, key: u32, firstKey: u32, i: u32, j: u32";

/**
 * tanh within 4e-7 of itself, as a quotient of polynomials (Eigen's `ptanh`): on a software device half
 * the work of an exponential, and once for each pair.
 */
const TANH = `fn tanhOf(x: f32) -> f32 {
  let y = clamp(x, -7.9053111, 7.9053111);
  let z = y * y;
  let p = (((((-2.76076847742355e-16 * z + 2.00018790482477e-13) * z - 8.60467152213735e-11) * z +
    5.12229709037114e-8) * z + 1.48572235717979e-5) * z + 6.37261928875436e-4) * z + 4.89352455891786e-3;
  let q = ((1.19825839466702e-6 * z + 1.18534705686654e-4) * z + 2.268434632439e-3) * z + 4.89352518554385e-3;
  return select(y * p / q, x, modc_nan(x));
}`;

/** The least normal number, below which a weight counts as this number, so that its logarithm is finite. */
const LEAST_WEIGHT = "1.17549435e-38";

/**
 * Declares `fn pairOf(…, score: f32) -> PairValue`: for a head, a query and a key, the row of the sequence's first key
 * and the positions of both. `weight`: the operand with the weights of keys, if these are part of the value: a bias of
 * their logarithm, and a mask of those that are not above 0.
 */
export function declarePair(kernel: KernelBuilder, rows: PairRows, pair: Pair, weight: number | null = null): void {
  const { mask, bias, cap, steps } = pair;
  const lines = stepLines(rows, steps, [mask, bias]);
  const capped =
    cap === null
      ? ["  let capped = score;", "  let slope = 1.0;"]
      : [`  let t = tanhOf(score * perCap());`, "  let capped = cap() * t;", "  let slope = 1.0 - t * t;"];
  if (cap !== null)
    kernel
      .value("cap", cap, "f32")
      .value("perCap", 1 / cap, "f32")
      .function(TANH);
  const weighs = weight === null ? [] : [`  let weight = ${rows.element(weight, null)};`];
  const scored = [
    "capped",
    ...(bias === null ? [] : [`s${bias}`]),
    ...(weight === null ? [] : [`log(max(weight, ${LEAST_WEIGHT}))`]),
  ].join(" + ");
  const seen = [...(mask === null ? [] : [`s${mask}`]), ...(weight === null ? [] : ["weight > 0.0"])].join(" && ");
  kernel
    .function("struct PairValue { score: f32, slope: f32, seen: bool }")
    .function(
      `fn pairOf(${PARAMETERS}, score: f32) -> PairValue {\n${[...lines, ...weighs, ...capped].join("\n")}\n` +
        `  return PairValue(${scored}, slope, ${seen || "true"});\n}`,
    );
}

/** Declares `fn slopesOf(…) -> Slopes`: the derivatives of the bias by the elements of these operands. */
export function declareSlopes(kernel: KernelBuilder, rows: PairRows, pair: Pair, operands: readonly number[]): void {
  const smooth = slopesOf(pair);
  const slopes = smooth.slopes.filter((s) => operands.includes(s.operand));
  const lines = stepLines(
    rows,
    smooth.steps,
    slopes.map((s) => s.slope),
  );
  const sums = slopes.map(({ operand, slope }) => `  slopes[${operands.indexOf(operand)}] += s${slope};`);
  kernel
    .constant("SLOPES", operands.length)
    .function(`alias Slopes = array<f32, ${Math.max(1, operands.length)}>;`)
    .function(
      `fn slopesOf(${PARAMETERS}) -> Slopes {\n${lines.join("\n")}\n  var slopes = Slopes();\n` +
        `${sums.join("\n")}\n  return slopes;\n}`,
    );
}

/**
 * Declares `fn slopeAt(n: u32, …) -> f32` and `fn indexAt(n: u32, …) -> u32`: the derivative of the bias by reading n
 * of an operand, and for a table the entry that it reads.
 */
export function declareReadings(
  kernel: KernelBuilder,
  rows: PairRows,
  pair: Pair,
  readings: readonly PairSlope[],
): void {
  const { steps } = slopesOf(pair);
  const one = (step: number, n: number): string =>
    `  if (n == ${n}u) {\n${stepLines(rows, steps, [step]).join("\n")}\n    return s${step};\n  }`;
  const slopes = readings.map((r, n) => one(r.slope, n));
  const indices = readings.flatMap(({ index }, n) => (index === null ? [] : [one(index, n)]));
  kernel
    .constant("READINGS", readings.length)
    .function(`fn slopeAt(n: u32, ${PARAMETERS}) -> f32 {\n${slopes.join("\n")}\n  return 0.0;\n}`)
    .function(`fn indexAt(n: u32, ${PARAMETERS}) -> u32 {\n${indices.join("\n")}\n  return 0u;\n}`);
}

/** The statements that compute steps and what they read, in order. */
function stepLines(rows: PairRows, steps: readonly PairStep[], wanted: readonly (number | null)[]): readonly string[] {
  const needed = new Set<number>();
  const pending = wanted.filter((n) => n !== null);
  for (let n = pending.pop(); n !== undefined; n = pending.pop()) {
    if (needed.has(n)) continue;
    needed.add(n);
    pending.push(...steps[n]!.args);
  }
  return [...needed].toSorted((a, b) => a - b).map((n) => `  let s${n} = ${textOf(rows, steps, steps[n]!)};`);
}

function textOf(rows: PairRows, steps: readonly PairStep[], step: PairStep): string {
  const args = step.args.map((arg) => `s${arg}`);
  switch (step.op) {
    case "operand":
      return rows.element(step.of!, null);
    case "lookup":
      return rows.element(step.of!, args[0]!);
    case "position_q":
      return "i";
    case "position_k":
      return "j";
    case "number":
      return wgslLiteral(step.value!, step.dtype);
    case "stop_gradient":
      return args[0]!;
    default:
      return stepWgsl(steps, step, args);
  }
}
