// The error of logits that are no numbers.
import { RuntimeError } from "../../runtime/index.js";

/** What a model would choose means nothing. `sequence`: that of a batch; null where there is one. */
export const notFinite = (tokens: number, sequence: number | null): RuntimeError =>
  new RuntimeError(
    "bad-weights",
    `the model's logits after ${tokens} ${tokens === 1 ? "token" : "tokens"}` +
      `${sequence === null ? "" : ` of text ${sequence}`} are not finite numbers`,
    { hint: "check that the weights belong to the model" },
  );
