// The adapters of a model as Hugging Face's PEFT stores them: the names of their weights, and adapter_config.json.
import { bug } from "../../../ground/base/invariant.js";
import type { Model, ModelWeight } from "../../../language/check/model/model.js";
import { type Adapter, adaptersOf } from "../../../language/check/model/adapters.js";
import { keyText, storedKey } from "../../../ground/base/stored-part.js";
import { jsonText } from "./configuration-text.js";
import { ExportError } from "../refused.js";

export interface PeftAdapter {
  /** The text of `adapter_config.json`. */
  readonly config: string;
  /** The key in `adapter_model.safetensors` of each adapter's weight, by its path. */
  readonly keys: ReadonlyMap<string, string>;
  /** How many linear maps have an adapter. */
  readonly adapters: number;
}

/** An adapter, and the module that has it in the base model. */
interface Adapted extends Adapter {
  /** `model.layers.0.self_attn.q_proj`. */
  readonly module: string;
}

/**
 * The adapters of a model in the form of PEFT: `lora_A.weight` is a, f32[rank, d_in], `lora_B.weight` is b, f32[d_out,
 * rank], and both count lora_alpha / r, as `LoRA` of the library does. A module has the name that the key of its weight
 * has in the model's `names`. `base`: the model's name or path for PEFT. Throws ExportError for a model without
 * adapters, and for a key that is no module's.
 */
export function peftAdapter(model: Model, base: string | null): PeftAdapter {
  const weights = new Map(model.weights.map((weight) => [weight.path, weight]));
  const adapted = adaptersOf(model).map((adapter): Adapted => ({ ...adapter, module: moduleOf(adapter, weights) }));
  if (adapted.length === 0)
    throw new ExportError(
      `${model.name} has no LoRA block of the library, so there are no adapters to write`,
      "`modc adapt` writes a model with adapters; `--to hf` writes whole models",
    );
  const keys = adapted.flatMap(({ path, module }) => [
    [`${path}.lora.a`, `base_model.model.${module}.lora_A.weight`] as const,
    [`${path}.lora.b`, `base_model.model.${module}.lora_B.weight`] as const,
  ]);
  return { config: configText(adapted, model, base), keys: new Map(keys), adapters: adapted.length };
}

function moduleOf({ path }: Adapter, weights: ReadonlyMap<string, ModelWeight>): string {
  const [key] = weights.get(`${path}.weight`)?.keys ?? bug(`${path} has no weight`);
  const module = moduleIn(key!); // a weight has at least one key
  if (module !== null && storedKey(key!) === key) return module;
  throw new ExportError(
    `the weight of ${path} has the key ${keyText(key!)}, which is not the weight of a module of PyTorch`,
    "PEFT adapts whole modules by name: end its key in `names` with .weight, without indices",
  );
}

const moduleIn = (key: string): string | null => /^(.+)\.weight$/.exec(key)?.[1] ?? null;

function configText(adapted: readonly Adapted[], model: Model, base: string | null): string {
  const { rank, alpha } = adapted[0]!; // there is one
  const others = (of: "rank" | "alpha", usual: number): Readonly<Record<string, number>> =>
    Object.fromEntries(adapted.filter((a) => a[of] !== usual).map((a) => [a.module, a[of]]));
  return jsonText({
    alpha_pattern: others("alpha", alpha),
    base_model_name_or_path: base,
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: alpha,
    lora_dropout: 0,
    modules_to_save: null,
    peft_type: "LORA",
    r: rank,
    rank_pattern: others("rank", rank),
    target_modules: targets(adapted, model),
    task_type: "CAUSAL_LM",
    use_dora: false,
    use_rslora: false,
  });
}

/** The last names of the modules, such as q_proj, if no other module ends with one of them; else whole names. */
function targets(adapted: readonly Adapted[], { weights }: Model): readonly string[] {
  const modules = new Set(adapted.map(({ module }) => module));
  const last = (module: string): string => module.slice(module.lastIndexOf(".") + 1);
  const names = new Set([...modules].map(last));
  const all = weights.flatMap(({ keys }) => keys.flatMap((key) => moduleIn(storedKey(key)) ?? []));
  const isShared = all.some((module) => names.has(last(module)) && !modules.has(module));
  return isShared ? [...modules] : [...names].sort();
}
