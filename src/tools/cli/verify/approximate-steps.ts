// What `modc verify` says of steps whose caches are an approximation by design: conditions that must hold, and the
// costs.
import type { StepsApart } from "../../verify/steps.js";
import { finding, type Finding } from "../../verify/verify.js";
import { percent } from "../terminal/units.js";

/** `steps`: what was generated, in words, from the number of tokens. */
export function approximateSteps(measured: StepsApart, steps: (tokens: number) => string): Finding {
  const { tokens, isExactBehindPrompts, faults, greedy, likeliest, behindPrompts, largest, mean } = measured;
  const cost =
    `with ${steps(tokens)} log-probabilities differ by ${behindPrompts.toExponential(1)} at most after a prompt, ` +
    `later by ${mean.toExponential(1)} on average and ${largest.toExponential(1)} at most; of ${greedy} greedy ` +
    `tokens the whole sequence ranks ${percent(likeliest, greedy)} first`;
  if (faults.length > 0)
    return finding(
      "steps",
      "causal",
      "fails",
      `${steps(tokens)} differ from the whole sequence in ${faults.length} places: ${faults[0]!}`,
    );
  return isExactBehindPrompts
    ? finding(
        "steps",
        "causal",
        "holds",
        "the first token after a prompt equals the whole sequence's; later tokens need not, because caches " +
          `of the last loop alone are an approximation: ${cost}`,
      )
    : finding(
        "steps",
        "causal",
        "told",
        "generation need not equal the whole sequence: caches of the last loop alone are an " +
          `approximation; ${cost}`,
      );
}
