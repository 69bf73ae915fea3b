// Finds attention whose keys contain its values: a cache then keeps only the keys.
import { isOp, typeOf, type Node } from "../ir/graph.js";
import type { AttentionNode } from "./pairs.js";

/**
 * The columns of an attention's keys that are its values, as in DeepSeek's latent attention with its maps absorbed
 * (arXiv 2405.04434, section 2.1.2); null if the keys do not have the values among them.
 */
export function partOfKeys({ inputs: [, keys, values] }: AttentionNode): { start: number; stop: number } | null {
  const widths = (parts: readonly Node[]): number => parts.reduce((sum, x) => sum + Number(typeOf(x).shape[2]), 0);
  const at = isOp(keys, "concat") && keys.attrs.axis === 2 ? keys.inputs.indexOf(values) : -1;
  return at < 0 ? null : { start: widths(keys.inputs.slice(0, at)), stop: widths(keys.inputs.slice(0, at + 1)) };
}
