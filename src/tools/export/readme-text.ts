// Writes the README for an exported folder.
import type { Model } from "../../language/check/model/model.js";
import { variable } from "./names.js";
import { exampleInput } from "./bounds.js";
import { fileName } from "./source-notes.js";

export interface ReadmeFacts {
  readonly trains: boolean;
  /** Whether the model can be cut into pipeline stages. */
  readonly stages: boolean;
  /** Whether the module has the method `step`. */
  readonly steps: boolean;
  /** The axes of the input sequences. */
  readonly along: readonly string[];
}

export function readmeText(
  models: readonly [Model, ...Model[]],
  { trains, stages, steps, along }: ReadmeFacts,
): string {
  const [model] = models;
  const objective = models.find(({ entry }) => entry === "objective");
  const names = (m: Model): string => m.inputs.map(({ name }) => `${variable(name)}=${variable(name)}`).join(", ");
  const examples = (inputs: Model["inputs"], m: Model): string =>
    inputs.map((input) => `${variable(input.name)} = ${exampleInput(input, m)}\n`).join("");
  const known = new Set(model.inputs.map(({ name }) => name));
  const training = objective
    ? `
Training: \`model.train()\`, then with all inputs of the objective the losses, by name. Their sum is what is minimised;
each is a mean over the counts of all ranks of \`torch.distributed\`.

\`\`\`python
${
  objective
    ? examples(
        objective.inputs.filter(({ name }) => !known.has(name)),
        objective,
      )
    : ""
}model.train()
losses = model(${names(objective)})
sum(losses.values()).backward()
\`\`\`
`
    : "";
  const causal = models.some(({ phase }) => phase === "generate")
    ? `
\`causal=True\` chooses tokens from each token alone, as generation does; without it, from the whole sequence.
`
    : "";
  const cached = steps
    ? `
With caches, a call goes on behind the tokens that they have seen. Attention keeps those that took its route; a layer
that no sequence of the batch takes computes nothing.

\`\`\`python
import torch
import modc_torch as mt

caches = mt.Caches()
with torch.no_grad():
    result = model.step(${names(model)}, caches=caches)
\`\`\`
`
    : "";
  return `# ${model.name} in PyTorch

Written by \`modc export --to torch\` from \`${fileName(model)}\`. \`model.py\` has a class for each block,
the \`modc_*.py\` what they share;
\`model.safetensors\`, if it was exported with weights, has modc's own keys.

\`\`\`python
import torch
from model import ${variable(model.name)}, load

model = load(".").eval()  # of a folder without weights: ${variable(model.name)}(), which draws them
${examples(model.inputs, model)}with torch.no_grad():
    result = model(${names(model)})
\`\`\`
${training}${causal}${cached}
Sequences stand side by side, padded: [batch, tokens, ...]; ${
    along.length > 1
      ? `\`lengths={"${along[0]!}": ...}\` says how many tokens each has along an axis, of ${along.join(" and ")}.`
      : "`lengths` says how many tokens each has."
  }
${trains ? TRAINING : ""}${trains && stages ? STAGES : ""}`;
}

const TRAINING = `
## Training on many devices

\`\`\`sh
torchrun --nproc-per-node 8 train.py --data tokens.bin --output run --bf16 --compile
torchrun --nproc-per-node 8 train.py --output run --resume --shard 4 --tensor 2
\`\`\`

| file | what is in it |
|---|---|
| \`train.py\` | the run: options named as those of \`modc train\`, \`run/log.jsonl\`, checkpoints, Ctrl-C and SIGTERM |
| \`settings.py\` | its options, and what a run can be told |
| \`training.py\` | one step: losses over the counts of all ranks, accumulation, clipping, AdamW; validation |
| \`parallelize.py\` | tensor parallelism, activation checkpointing, compiling, FSDP2; each a function of its own |
| \`data.py\` | windows of a file of tokens, in the order in which \`modc train\` reads them |
| \`checkpoint.py\` | \`torch.distributed.checkpoint\`; and to \`modc train --resume\` and back |
| \`memory.py\` | the memory of a step on each device, without a GPU: \`python memory.py --batch 16 --tensor 2\` |

On processors, ranks are processes that hold the same; \`--shard\` and \`--compile\` are for GPUs:

\`\`\`sh
torchrun --nproc-per-node 2 train.py --data tokens.bin --output run --device cpu --replicate 2
\`\`\`

If \`torchrun\` says that PyTorch was built without libuv, as that of Debian is, start each rank by itself:

\`\`\`sh
export USE_LIBUV=0 MASTER_ADDR=localhost MASTER_PORT=29500 WORLD_SIZE=2
for rank in 0 1; do RANK=$rank python3 train.py --data tokens.bin --output run --device cpu --replicate 2 & done; wait
\`\`\`

\`--replicate\` devices hold the same (DDP), \`--shard\` share parameters, gradients and moments (FSDP2; with both,
HSDP), \`--tensor\` share out the linear maps of attention and networks (routers and predictors stay whole). A run goes
on with any other numbers. \`--batch\` is of all devices together, and a step reads the same windows however many there
are; a run goes on with the data that it was begun with. Live parameters of the model are as \`--live\` and
\`--live-schedule\` say. Training needs PyTorch 2.6 or later.

\`modc train\` alone has \`--optimizer\` (here it is AdamW), \`--tokenizer\`, \`--field\` and \`--set\` (here data is
tokens, and the model is exported), \`--save\`, \`--init-missing\`, \`--weights-as\`, \`--memory\` and
\`--tensorboard\`. \`--only\` is the same, but not with \`--pipeline\`.

\`--data\` is a file of tokens: that of \`modc train\` (\`run/.cache/tokens-*.bin\`), a text if the model's tokens are
bytes, or any other with tokens of \`--width\` bytes each. A run of \`modc train\` goes on here, and comes back:

\`\`\`sh
python checkpoint.py from-modc modc-run run    # weights, moments, step, place in the data, settings
torchrun --nproc-per-node 8 train.py --data modc-run/.cache/tokens-....bin --output run --resume
python checkpoint.py to-modc run modc-run      # then: modc train --resume -o modc-run
\`\`\`
`;

const STAGES = `
## In stages

\`\`\`sh
torchrun --nproc-per-node 8 train.py --data tokens.bin --output run --pipeline 4 --micro-batches 4 --shard 2
\`\`\`

\`--pipeline\` cuts the model into stages, one behind the other (\`pipeline.py\`, for PyTorch 2.6 and later). The
sequences of a batch follow each other through them in \`--micro-batches\`, by \`--pipeline-schedule\` gpipe, or on
GPUs 1f1b. Stages begin where about as many parameters are in each, or at \`--split-points layers.3,layers.6\`: names
of \`UNITS\` in \`pipeline.py\`, or of members of those that are lists. Losses, gradients and checkpoints are those
of one device. A loss of a whole batch, as of balance, is refused; with \`--batch-losses-by-part\` it is one of each
micro-batch, as with \`--accumulate\`.
`;
