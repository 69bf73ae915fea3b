// The README of an exported folder.
import type { Model } from "../check/model.js";
import { variable } from "./names.js";

export function readmeText(models: readonly [Model, ...Model[]]): string {
  const [model] = models;
  const objective = models.find(({ entry }) => entry === "objective");
  const names = (m: Model): string => m.inputs.map(({ name }) => `${variable(name)}=${variable(name)}`).join(", ");
  const training = objective
    ? `
Training: \`model.train()\`, then with all inputs of the objective the losses, by name. Their sum is what is minimised;
each is a mean over the counts of all ranks of \`torch.distributed\`.

\`\`\`python
losses = model(${names(objective)})
sum(losses.values()).backward()
\`\`\`
`
    : "";
  const causal = models.some(({ phase }) => phase === "generate")
    ? "\n`causal=True` chooses tokens from each token alone, as generation does; without it, from the whole sequence.\n"
    : "";
  return `# ${model.name} in PyTorch

Written by \`modc export --to torch\` from \`${model.file}\`. \`model.py\` has a class for each block,
\`modc_torch.py\` what they share; \`model.safetensors\`, if it was exported with weights, has modc's own keys.

\`\`\`python
from model import load

model = load(".").eval()
result = model(${names(model)})
\`\`\`
${training}${causal}
Sequences stand side by side, padded: [batch, tokens, ...]; \`lengths\` says how many tokens each has.
`;
}
