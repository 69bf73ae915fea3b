// Parses `adapter_config.json` of Hugging Face's PEFT: adapters of low rank on linear layers (Hu et al. 2021, arXiv
// 2106.09685). What modc would compute otherwise than PEFT is refused by name.
import type { Json } from "../../../runtime/weights/formats/json.js";
import { Fields } from "./fields.js";

/** The sizes of an adapter: its product of rank `rank` counts alpha / rank. */
export interface AdapterSizes {
  readonly rank: number;
  readonly alpha: number;
}

export interface AdapterConfig {
  /** The base model: a path, or a name on Hugging Face's hub. */
  readonly base: string;
  /** The base's revision on the hub; null: the default one. */
  readonly revision: string | null;
  /** Returns the adapter's sizes for a module, such as `model.layers.0.self_attn.q_proj`. */
  readonly sizesOf: (module: string) => AdapterSizes;
}

/** Fields that say how the adapters were trained, or which modules have one, which the file of weights says too. */
const IGNORED =
  "auto_mapping ensure_weight_tying exclude_modules inference_mode layers_pattern layers_to_transform lora_dropout " +
  "megatron_core peft_version qalora_group_size runtime_config target_modules task_type";

const READ =
  "alpha_pattern base_model_name_or_path bias fan_in_fan_out init_lora_weights lora_alpha peft_type r rank_pattern " +
  "revision use_dora use_rslora";

const KNOWN = new Set(`${IGNORED} ${READ}`.split(" "));

/** Initial values that do not change the base's weights. */
const PLAIN_STARTS: readonly Json[] = [null, true, false, "gaussian", "orthogonal"];

/** Parses the text of the file. Throws a CheckpointError that names the field and its value. */
export function parseAdapterConfig(text: string, file: string): AdapterConfig {
  const config = Fields.parse(text, file);
  config.only("peft_type", "LORA", "modc reads LORA alone");
  config.only("bias", "none", "modc reads adapters without trained biases");
  config.only("fan_in_fan_out", false, "modc reads adapters of weights that PyTorch's Linear has");
  config.only("use_dora", false, "modc does not read DoRA, whose weights have a magnitude too");
  if (!PLAIN_STARTS.includes(config.raw("init_lora_weights")))
    config.refuse("init_lora_weights", "it changes the weights of the base, and modc does not");
  const other = config.names.find((name) => !KNOWN.has(name) && !config.isEmpty(name));
  if (other !== undefined) config.refuse(other, "modc does not know this field");
  const rank = config.whole("r") ?? config.missing("r");
  const alpha = config.number("lora_alpha") ?? config.missing("lora_alpha");
  const [ranks, alphas] = [patterns(config, "rank_pattern"), patterns(config, "alpha_pattern")];
  const isRootScaled = config.flag("use_rslora") ?? false;
  return {
    base: config.text("base_model_name_or_path") ?? config.missing("base_model_name_or_path"),
    revision: config.text("revision"),
    sizesOf(module) {
      const own = { rank: ranks(module) ?? rank, alpha: alphas(module) ?? alpha };
      // rsLoRA's products count alpha / √rank (Kalajdzievski 2023, arXiv 2312.03732)
      return isRootScaled ? { ...own, alpha: own.alpha * Math.sqrt(own.rank) } : own;
    },
  };
}

/** The values of a field by patterns of modules: the first pattern that is the end of a module's name counts. */
function patterns(config: Fields, field: string): (module: string) => number | null {
  const values = config.object(field);
  const all = (values?.names ?? []).map((name) => {
    // PEFT takes the pattern as a regular expression of Python; of names with dots, JavaScript's mean the same
    if (!/^[\w.]+$/.test(name)) values!.refuse(name, "modc reads names of modules here, not patterns");
    const value = field === "rank_pattern" ? values!.whole(name) : values!.number(name);
    return { ends: new RegExp(String.raw`^(?:.*\.)?(?:${name})$`), value };
  });
  return (module) => all.find(({ ends }) => ends.test(module))?.value ?? null;
}
