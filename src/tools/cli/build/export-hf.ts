// `modc export --to hf`: a language model as a folder of Hugging Face's: a standard architecture without code where it
// is one, else with the code of its blocks.
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isFloat } from "../../../ground/base/dtype.js";
import { jsonText, tokenFields } from "../../export/hf/configuration-text.js";
import { huggingFaceFolder } from "../../export/hf/folder.js";
import { expectLanguageModel, FACTS } from "../../export/hf/language-model.js";
import { boundOf } from "../../export/outline.js";
import type { Models } from "../../export/torch.js";
import { CONFIG_FILE } from "../../../models/families/files-node.js";
import { readConfigText } from "../../../models/families/folder-node.js";
import { expectFree, floatsLike, writeFresh } from "../../../models/made/model-folder-node.js";
import { standardOf, type Standard } from "../../../models/families/standard.js";
import { isGgufPath } from "../../../runtime/weights/gguf/header-node.js";
import { openTrained } from "../../../models/runs/trained-node.js";
import { EXIT, UserError, type ExitCode } from "../terminal/exit.js";
import { folderOf, withFolder } from "../source/model-file.js";
import { out, outJson, say } from "../terminal/terminal.js";
import { plural } from "../terminal/units.js";
import { matchedWeights, versionsOf, type ExportFlags } from "./exported.js";
import { GENERATION, tokenizerTexts, type TokenizerTexts } from "./tokenizer-texts.js";

const WEIGHTS = "model.safetensors";
const FLOATS = { f32: "F32", f16: "F16", bf16: "BF16" } as const;
/** Types of weights as PyTorch calls them. */
const DTYPES = { F32: "float32", F16: "float16", BF16: "bfloat16" } as const;

export async function exportHuggingFace(file: string, given: ExportFlags): Promise<ExitCode> {
  const flags = withFolder<ExportFlags>(file, given);
  expectFree(flags.output);
  const { models, sources, family } = await versionsOf(file, flags);
  expectLanguageModel(models);
  const [model] = models;
  const vocabulary = FACTS.vocab_size(model)!; // logits have so many numbers
  const texts = await tokenizerTexts(file, flags.tokenizer, { vocabulary, bound: boundOf(model) });
  // Opened before anything is written: an export is whole or none.
  if (flags.weights === undefined && flags.weightsAs !== undefined)
    throw new UserError("--weights-as is of weights, and there are none", "name them with --weights", EXIT.usage);
  const source = flags.weights === undefined ? null : await matchedWeights(flags.weights, model);
  try {
    const floats = flags.weightsAs === undefined ? floatsLike(source?.stored ?? []) : FLOATS[flags.weightsAs];
    // Weights stay as they are stored; without a wish the model computes with them as modc does.
    const dtype = flags.weightsAs === undefined ? "float32" : DTYPES[floats];
    const config = configOf(file);
    const standard = standardIn(models, config);
    const { files, keys } = standard
      ? {
          files: new Map([["config.json", standardText(standard, config, { flags, texts, dtype })]]),
          keys: standard.keys,
        }
      : huggingFaceFolder({ models, sources, family, tokens: texts.tokens, dtype });
    const all = new Map<string, string | Uint8Array>([...files, ...texts.files]);
    const generation = standard ? null : withoutCache(texts);
    if (generation !== null) all.set(GENERATION, generation);
    await writeFresh(flags.output, async (folder) => {
      for (const [name, text] of all) writeFileSync(join(folder, name), text);
      await source?.write(join(folder, WEIGHTS), { keys, floats });
    });
    const names = [...all.keys(), ...(source === null ? [] : [WEIGHTS])];
    tell({ flags, names, model: model.name, architecture: standard?.architecture ?? null, texts, vocabulary });
  } finally {
    await source?.close();
  }
  return EXIT.fine;
}

/** The text of the `config.json` that a checkpoint's model is read from; null where it is not. */
function configOf(file: string): string | null {
  const folder = folderOf(file);
  const read = folder !== null && !isGgufPath(file) && openTrained(file) === null && !existsSync(folder.model);
  return read ? readConfigText(join(file, CONFIG_FILE)) : null;
}

/** The standard architecture that a model is; null where it needs code. */
function standardIn(models: Models, config: string | null): Standard | null {
  const [{ weights }] = models;
  return weights.every(({ kind, dtype }) => kind === "weight" && isFloat(dtype))
    ? standardOf({ models, config })
    : null;
}

interface Written {
  readonly flags: ExportFlags;
  readonly texts: TokenizerTexts;
  readonly dtype: string;
}

/** Said where there are none: classes of transformers have defaults, by which a text would end at some token. */
const NO_TOKENS = { bos_token_id: null, eos_token_id: null, pad_token_id: null };

/** The checkpoint's own text where it is that still, of another type if one is wished; else a new one. */
function standardText({ config, own }: Standard, text: string | null, { flags, texts, dtype }: Written): string {
  if (!own || text === null)
    return jsonText({ ...config, ...NO_TOKENS, ...tokenFields(texts.tokens), torch_dtype: dtype }).replace(
      /^( *"rope_theta": \d+)(?=,?$)/m,
      "$1.0", // a float to Python
    );
  if (flags.weightsAs === undefined) return text;
  const field = /"(?:torch_)?dtype"\s*:\s*(?:"[^"]*"|null)/;
  const set = `"torch_dtype": "${dtype}"`;
  return field.test(text) ? text.replace(field, set) : text.replace("{", `{\n  ${set},`);
}

const OTHER_CACHE = "cache_implementation";

/** The defaults of generation without a cache that code of exported folders does not have; null: they name none. */
function withoutCache({ files }: TokenizerTexts): string | null {
  const text = files.get(GENERATION);
  if (typeof text !== "string") return null;
  const { [OTHER_CACHE]: kind = null, ...others } = JSON.parse(text) as Readonly<Record<string, unknown>>;
  if (kind === null) return null;
  say(`note: ${GENERATION} is without its ${OTHER_CACHE}: the model keeps its own cache`);
  return jsonText(others);
}

interface Told {
  readonly flags: ExportFlags;
  readonly names: readonly string[];
  readonly model: string;
  readonly architecture: string | null;
  readonly texts: TokenizerTexts;
  readonly vocabulary: number;
}

function tell({ flags, names, model, architecture, texts, vocabulary }: Told): void {
  if (texts.vocabulary === null)
    say("note: the folder has no tokenizer: --tokenizer names the tokenizer.json that the model reads");
  else if (texts.vocabulary > vocabulary)
    say(`warning: the tokenizer has ${texts.vocabulary} tokens, the model ${vocabulary}: is it that of another model?`);
  if (texts.hasCode) say("warning: tokenizer_config.json names code in auto_map, which is not carried along");
  const weights = flags.weights ?? null;
  if (flags.json) outJson({ output: flags.output, model, to: flags.to, architecture, files: names, weights });
  else
    out(
      `${flags.output}: ${model} for Hugging Face, ` +
        `${architecture === null ? "with its code" : `as ${architecture}`}, ` +
        `${plural(names.length, "file")}: ${names.join(", ")}`,
    );
}
