// Diagnostics of routing and causality.
import { code } from "../define.js";

export const routingCodes = {
  "non-causal-choice": code<{ readonly score: string }>({
    severity: "error",
    message: () => "`top` looks at the whole sequence, so it cannot choose tokens in phase generate",
    hint: () => "choose by the token alone there: `if generate then above(likely, 0.0, expected: capacity) else top(score, k)`",
    explain: `Top-k compares a token with those that come after it. When text is generated those do not exist yet, so a model that
routes by \`top\` cannot generate causally. Give the phase generate a rule that looks at one token at a time: a predictor
trained to guess the choice (\`MoD\` in the standard library does so), or a threshold on the score itself.`,
  }),
} as const;
