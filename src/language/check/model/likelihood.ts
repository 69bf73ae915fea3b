// Decides whether an objective's loss is the mean negative log-likelihood of tokens, whose unit is nats for each token.
import { axisSize } from "../../../ground/size/size.js";
import type { Model } from "./model.js";

/**
 * Whether the objective's only own loss is one `cross_entropy` of logits along a sequence. Only then do perplexity,
 * exp(loss), and bits per byte say how well the model predicts a text.
 */
export function isLikelihood({ losses, axes }: Pick<Model, "losses" | "axes">): boolean {
  const [loss, another] = losses.filter(({ own }) => own);
  if (!loss || another || loss.value.op !== "cross_entropy") return false;
  const [, along] = loss.value.inputs[1]!.type.shape; // of targets
  return (
    typeof along === "object" && axes.some(({ name, role }) => role === "sequence" && axisSize(name).key === along.key)
  );
}
