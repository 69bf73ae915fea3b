// Writes a language model as a Hugging Face folder: all file texts, without weights and tokenizer.
import type { SourceFile } from "../../../language/diagnostics/span.js";
import { huggingFaceFiles, pythonFiles } from "../../../ground/embedded.js";
import { partsOf, type PartsOptions } from "../classes.js";
import { Stacks } from "../experts.js";
import { attributePath } from "../names.js";
import { inSource } from "../refused.js";
import { boundName, nameOf } from "../root-text.js";
import { fileName, SourceNotes } from "../source-notes.js";
import { SHARED_FILES, type Models } from "../torch.js";
import { needsOf, variantOf } from "../variants.js";
import { configJson, configurationText, type Configuration, type SpecialTokens } from "./configuration-text.js";
import { expectLanguageModel, FACTS, refuse, withLabels } from "./language-model.js";
import { modelingText } from "./modeling-text.js";
import { namesOf, type Fact, type FolderNames } from "./names.js";
import type { Model } from "../../../language/check/model/model.js";
import { exampleInput } from "../bounds.js";

export type { SpecialTokens } from "./configuration-text.js";

export interface HuggingFaceOptions {
  readonly models: Models;
  readonly sources: readonly SourceFile[];
  /** The models for other parameter values, as for `torchFolder`. */
  readonly family?: () => readonly Models[];
  readonly tokens?: SpecialTokens;
  /** The weights' type, by its PyTorch name. */
  readonly dtype?: string;
}

/** Files that are the same in all folders. */
const SHARED = SHARED_FILES.filter((name) => name !== "modc_files.py");

export interface HuggingFaceFolder {
  readonly files: ReadonlyMap<string, string>;
  /** Keys of weights, by path. */
  readonly keys: ReadonlyMap<string, string>;
}

/** Throws ExportError for models that have no form in transformers. */
export function huggingFaceFolder(options: HuggingFaceOptions): HuggingFaceFolder {
  const notes = new SourceNotes(options.sources, options.models[0].file);
  return inSource(
    (span) => notes.place(span),
    () => filesOf(options, notes),
  );
}

function filesOf(
  {
    models: given,
    family = () => [],
    tokens = { bos: null, eos: [], pad: null },
    dtype = "float32",
  }: HuggingFaceOptions,
  notes: SourceNotes,
): HuggingFaceFolder {
  expectLanguageModel(given);
  const { models, noLabels } = withLabels(given);
  const [model] = models;
  const optionsOf = (all: Models): PartsOptions => {
    const variants = withLabels(all).models.map((one) => variantOf(one, notes));
    return { variants, notes, needs: needsOf(variants), stacks: new Stacks(variants) };
  };
  const exportOptions = optionsOf(models);
  const stacked = model.weights.find(({ path }) => exportOptions.stacks.of(path) !== null);
  if (stacked) refuse(`a mixture of experts (in ${stacked.path})`);
  const moved = exportOptions.variants.flatMap(({ updates }) => [...updates.keys()])[0];
  if (moved !== undefined) refuse(`a state that training moves (${moved})`);
  const relatives = family();
  const parts = partsOf(exportOptions, () => relatives.map(optionsOf));
  const names = namesOf(model.name);
  const facts = (known: ReadonlySet<string>): readonly Fact[] => {
    const fact = (name: string, value: number | null, argument: string | null): readonly Fact[] =>
      value === null ? [] : [{ name, value, argument: argument !== null && known.has(argument) ? argument : null }];
    return [
      ...Object.entries(FACTS).flatMap(([name, of]) =>
        fact(name, of(model), nameOf(parts, [model, ...relatives.map(([first]) => first)].map(of))),
      ),
      ...parts.sequences[0]!.flatMap((sequence) =>
        fact("max_position_embeddings", sequence.bound, boundName(parts, sequence)),
      ),
    ];
  };
  const { text, ...written } = modelingText({ names, parts, variants: exportOptions.variants, notes, noLabels, facts });
  const configuration: Configuration = {
    names,
    model: model.name,
    file: fileName(model),
    live: model.live,
    ...written,
  };
  return {
    files: new Map([
      ["config.json", configJson(configuration, tokens, dtype)],
      [`${names.configuration}.py`, configurationText(configuration)],
      [`${names.modeling}.py`, text],
      ["modc_hf.py", huggingFaceFiles["modc_hf.py"]!],
      ...SHARED.map((name) => [name, relative(pythonFiles[name]!)] as const),
      ["README.md", modelCard({ model, names, noLabels })],
    ]),
    keys: new Map(model.weights.map(({ path }) => [path, attributePath(path)])),
  };
}

/** Makes imports relative, since transformers loads the folder as a package. */
const relative = (text: string): string => text.replaceAll(/^from (modc_\w+) import/gm, "from .$1 import");

export interface ModelCard {
  readonly model: Model;
  readonly names: FolderNames;
  readonly noLabels: string | null;
}

const modelCard = ({ model, names, noLabels }: ModelCard): string => `---
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

const LABELS = `
With \`labels\`, those of \`input_ids\` with -100 where there is none, a call gives \`loss\`, the sum of \`losses\`: in
\`train()\` those of training, predictors' losses included; in \`eval()\` those of evaluation. They are shifted inside:
the loss at token i is against label i + 1.
`;
