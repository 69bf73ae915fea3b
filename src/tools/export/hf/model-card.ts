// Writes the README, which is also the model card.
import type { Model } from "../../../language/check/model.js";
import { exampleInput } from "../example-inputs.js";
import type { FolderNames } from "./names.js";

export interface ModelCard {
  readonly model: Model;
  readonly names: FolderNames;
  readonly noLabels: string | null;
}

export const modelCard = ({ model, names, noLabels }: ModelCard): string => `---
library_name: transformers
pipeline_tag: text-generation
tags:
- modc
---

# ${model.name}

Written by \`modc export --to hf\` from \`${fileName(model)}\`.
\`${names.modeling}.py\` has a class for each block of the source. \`model.safetensors\` has modc's
paths of weights as keys, and \`modc\` reads it too.

\`\`\`python
import torch
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained(".", trust_remote_code=True)
input_ids = ${exampleInput(model.inputs[0]!, model)}  # or what a tokenizer gives
attention_mask = torch.ones_like(input_ids)
texts = model.generate(input_ids, attention_mask=attention_mask, max_new_tokens=60, do_sample=False)
\`\`\`

In \`eval()\` a call chooses tokens by the causal rule, as \`generate\` does: each from itself alone.
\`causal=False\`, or \`config.causal = False\`, chooses from the whole sequence, as \`train()\` does.
${noLabels === null ? LABELS : `\nLabels are refused: ${noLabels.replace(/: no labels$/, "")}.\n`}
Texts of different lengths are padded, for \`generate\` at the left, and need an \`attention_mask\`. A cache holds the
keys and values of the tokens that took each attention's route; a layer that no text of a batch takes computes nothing.
`;
import { fileName } from "../source-notes.js";

const LABELS = `
With \`labels\`, those of \`input_ids\` with -100 where there is none, a call gives \`loss\`, the sum of \`losses\`: in
\`train()\` those of training, predictors' losses included; in \`eval()\` those of evaluation. They are shifted inside:
the loss at token i is against label i + 1.
`;
