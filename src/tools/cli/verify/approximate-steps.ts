// What `modc verify` says of steps whose caches are an approximation by design: conditions that must hold, and the
// costs.
import type { StepsApart } from "../../verify/steps.js";
import type { Finding } from "../../verify/verify.js";
import { percent } from "../terminal/units.js";

/** `steps`: what was generated, in words, from the number of tokens. */
export function approximateSteps(measured: StepsApart, steps: (tokens: number) => string): Finding {
  const { tokens, isExactBehindPrompts, faults, greedy, likeliest, behindPrompts, largest, mean } = measured;
  const cost =
    `with ${steps(tokens)} log-probabilities differ by ${behindPrompts.toExponential(1)} at most behind a prompt, ` +
    `later by ${mean.toExponential(1)} on average and ${largest.toExponential(1)} at most; of ${greedy} greedy ` +
    `tokens the whole sequence finds ${percent(likeliest, greedy)} likeliest`;
  const of = { check: "steps", rule: "causal", fault: null } as const;
  if (faults.length > 0)
    return {
      ...of,
      state: "fails",
      text: `${steps(tokens)} differ from the whole sequence in ${faults.length} places: ${faults[0]!}`,
    };
  return isExactBehindPrompts
    ? {
        ...of,
        state: "holds",
        text:
          "the first token behind a prompt is what the whole sequence gives; later ones have no such law with caches " +
          `of the last loop alone, which are an approximation: ${cost}`,
      }
    : {
        ...of,
        state: "told",
        text:
          "generation gives what the whole sequence gives: no law of caches of the last loop alone, which are an " +
          `approximation; ${cost}`,
      };
}
