// The specs of all operators with kernels, in a file per family.
import type { KernelOp } from "../../ir/vocabulary.js";
import { attentionGradSpecs } from "./attention-grad.js";
import { attentionSpecs } from "./attention.js";
import { computeSpecs } from "./compute.js";
import { entrySpecs } from "./entries.js";
import { gradientSpecs } from "./gradients.js";
import { groupSpecs } from "./groups.js";
import { linearAttentionSpecs } from "./linear-attention.js";
import { movementSpecs } from "./movement.js";
import { optimiserSpecs } from "./optimisers.js";
import { pagedSpecs } from "./paged.js";
import { productSpecs } from "./products.js";
import { randomSpecs } from "./random.js";
import { receivedSpecs } from "./received.js";
import { recurrenceSpecs } from "./recurrences.js";
import { routingSpecs } from "./routing.js";
import { pairSpecs } from "./pairs.js";
import { pairGradSpecs } from "./pairs-grad.js";
import { samplingSpecs } from "./sampling.js";
import type { Spec } from "./spec.js";

/** Total by type: an operator with kernels of its own and no spec does not compile. */
export const specs: { readonly [K in KernelOp]: Spec<K> } = {
  ...attentionSpecs,
  ...attentionGradSpecs,
  ...computeSpecs,
  ...entrySpecs,
  ...gradientSpecs,
  ...groupSpecs,
  ...linearAttentionSpecs,
  ...movementSpecs,
  ...optimiserSpecs,
  ...pagedSpecs,
  ...pairSpecs,
  ...pairGradSpecs,
  ...productSpecs,
  ...randomSpecs,
  ...receivedSpecs,
  ...recurrenceSpecs,
  ...routingSpecs,
  ...samplingSpecs,
};
