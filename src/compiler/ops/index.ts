// The operator table. Each operator's record is in the file of its family.
import { attentions } from "./attention.js";
import { attentionGradients } from "./attention-grad.js";
import type { OpTable } from "./define.js";
import { entries } from "./entries.js";
import { gradients } from "./gradients.js";
import { groups } from "./groups.js";
import { linearAttentions } from "./linear-attention.js";
import { losses } from "./losses.js";
import { optimisers } from "./optimisers.js";
import { pairAttentions } from "./pairs.js";
import { paging } from "./paged.js";
import { pointwise } from "./pointwise.js";
import { products } from "./products.js";
import { randoms } from "./random.js";
import { receiving } from "./received.js";
import { recurrences } from "./recurrences.js";
import { reductions } from "./reduce.js";
import { routing } from "./routing.js";
import { sampling } from "./sampling.js";
import { sequences } from "./sequences.js";
import { sources } from "./sources.js";
import { structure } from "./structure.js";
import { topRows } from "./top-rows.js";

export { helpersIn, wgslHelpers, wgslLiteral, wgslType } from "./wgsl.js";

/** Total by type: an operator without a record does not compile. */
export const ops: OpTable = {
  ...sources,
  ...structure,
  ...pointwise,
  ...reductions,
  ...products,
  ...sequences,
  ...recurrences,
  ...linearAttentions,
  ...routing,
  ...topRows,
  ...entries,
  ...groups,
  ...attentions,
  ...pairAttentions,
  ...paging,
  ...receiving,
  ...losses,
  ...gradients,
  ...attentionGradients,
  ...optimisers,
  ...sampling,
  ...randoms,
};
