// Which exported modules continue from caches.
import type { InputSequence } from "./sequences.js";
import { readsMore } from "./torch-attention.js";
import type { Variant } from "./variants.js";

export const hasCausal = (variants: readonly Variant[]): boolean => variants.some(({ phase }) => phase === "generate");

/** Whether a call has at most one input sequence that is not optional. */
export const alone = (sequences: readonly InputSequence[]): boolean =>
  sequences.filter((s) => !s.isOptional).length < 2;

/** Whether calls can continue from caches: this requires a single input sequence in `forward`. */
export const hasCaches = (variants: readonly Variant[], sequences: readonly InputSequence[]): boolean =>
  hasCausal(variants) && alone(sequences) && !variants.some(({ model }) => readsMore(model));
