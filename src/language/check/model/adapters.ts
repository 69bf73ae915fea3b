// The adapters of a model: blocks `LoRA` of the library.
import { bug } from "../../../ground/base/invariant.js";
import { toNumber, type Rational } from "../../../ground/numerics/rational.js";
import type { Model } from "./model.js";

/** A linear map with weight + alpha / rank · b · a (Hu et al. 2021, arXiv 2106.09685). */
export interface Adapter {
  /** Its path: `layers.0.attn.q`. Its weights are at `weight`, `lora.a` and `lora.b` below it. */
  readonly path: string;
  readonly rank: number;
  readonly alpha: number;
}

export const adaptersOf = ({ instances }: Pick<Model, "instances">): readonly Adapter[] =>
  instances
    .filter(({ block, library }) => library && block === "LoRA")
    .map(({ path, numbers }) => {
      const numberOf = (name: string): Rational => numbers.get(name) ?? bug(`an adapter has no ${name}`);
      return { path, rank: toNumber(numberOf("rank")), alpha: toNumber(numberOf("alpha")) };
    });
