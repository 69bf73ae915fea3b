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
import type { OpenedModel } from "../../../models/opened/model.js";
import { type ExitCode, misuse } from "../terminal/exit.js";
import { printReport, say } from "../terminal/terminal.js";
import { plural } from "../terminal/units.js";
import { matchedWeights, versionsOf, type ExportFlags } from "./exported.js";
import { GENERATION, tokenizerTexts, type TokenizerTexts } from "./tokenizer-texts.js";

const WEIGHTS = "model.safetensors";
const FLOATS = { f32: "F32", f16: "F16", bf16: "BF16" } as const;
/** PyTorch's names for types of weights. */
const DTYPES = { F32: "float32", F16: "float16", BF16: "bfloat16" } as const;

export async function exportHuggingFace(opened: OpenedModel, flags: ExportFlags): Promise<ExitCode> {
  expectFree(flags.output);
  const { models, sources, family } = await versionsOf(opened, flags);
  expectLanguageModel(models);
  const [model] = models;
  const vocabulary = FACTS.vocab_size(model)!; // logits have so many numbers
  const texts = await tokenizerTexts(opened, { vocabulary, bound: boundOf(model) });
  // Opened before anything is written: an export is whole or none.
  if (opened.weights === null && flags.weightsAs !== undefined)
    throw misuse("--weights-as has no effect without weights", "give them with --weights");
  const source = opened.weights && (await matchedWeights(opened.weights, model));
  const floats = flags.weightsAs === undefined ? floatsLike(source?.stored ?? []) : FLOATS[flags.weightsAs];
  // Weights keep their storage type. By default the model computes with them as modc does.
  const dtype = flags.weightsAs === undefined ? "float32" : DTYPES[floats];
  const config = configOf(opened);
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
  return tell({
    flags,
    weights: opened.weights?.place ?? null,
    names,
    model: model.name,
    architecture: standard?.architecture ?? null,
    texts,
    vocabulary,
  });
}

/** The text of the `config.json` that a checkpoint's model is read from; null where it is not. */
function configOf({ kind, path, file }: OpenedModel): string | null {
  const isRead = kind === "checkpoint" && !existsSync(file);
  return isRead ? readConfigText(join(path, CONFIG_FILE)) : null;
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
  say(`note: ${GENERATION} was written without its ${OTHER_CACHE}: the model has its own cache`);
  return jsonText(others);
}

interface Told {
  readonly flags: ExportFlags;
  readonly weights: string | null;
  readonly names: readonly string[];
  readonly model: string;
  readonly architecture: string | null;
  readonly texts: TokenizerTexts;
  readonly vocabulary: number;
}

function tell({ flags, weights, names, model, architecture, texts, vocabulary }: Told): ExitCode {
  if (texts.vocabulary === null)
    say("note: the folder has no tokenizer: give the model's tokenizer.json with --tokenizer");
  else if (texts.vocabulary > vocabulary)
    say(`warning: the tokenizer has ${texts.vocabulary} tokens, the model ${vocabulary}: is it another model's?`);
  if (texts.hasCode) say("warning: tokenizer_config.json names code in auto_map, which was not copied");
  return printReport(flags, {
    json: { output: flags.output, model, to: flags.to, architecture, files: names, weights },
    text:
      `${flags.output}: ${model} for Hugging Face, ` +
      `${architecture === null ? "with its code" : `as ${architecture}`}, ` +
      `${plural(names.length, "file")}: ${names.join(", ")}`,
  });
}
