// Names in a Hugging Face folder: files, classes, and the names that transformers reserves.
import { variable } from "../names.js";

/** Attributes of transformers configurations, and names that transformers treats as generation settings. */
const OF_CONFIG =
  "add_cross_attention architectures attribute_map auto_map bad_words_ids base_config_key begin_suppress_tokens " +
  "bos_token_id cache_config cache_implementation causal chunk_size_feed_forward compile_config constraints " +
  "cross_attention_hidden_size decoder_start_token_id default_theta disable_compile diversity_penalty do_sample " +
  "dola_layers dtype early_stopping encoder_no_repeat_ngram_size encoder_repetition_penalty eos_token_id " +
  "epsilon_cutoff eta_cutoff exponential_decay_length_penalty finetuning_task force_words_ids forced_bos_token_id " +
  "forced_decoder_ids forced_eos_token_id from_dict from_pretrained generation_kwargs get_text_config guidance_scale " +
  "id2label is_assistant is_decoder is_encoder_decoder is_heterogeneous keys_to_ignore_at_inference kwargs label2id " +
  "length_penalty low_memory max_length max_new_tokens max_time min_length min_new_tokens min_p model_type " +
  "name_or_path no_repeat_ngram_size num_beam_groups num_beams num_labels num_return_sequences output_attentions " +
  "output_hidden_states output_logits output_scores pad_token_id penalty_alpha per_layer_attributes " +
  "per_layer_config prefix problem_type pruned_heads push_to_hub remove_invalid_values renormalize_logits " +
  "repetition_penalty return_dict return_dict_in_generate rope_scaling save_pretrained self sep_token_id " +
  "sequence_bias stop_strings sub_configs suppress_tokens task_specific_params temperature tf_legacy_loss " +
  "tie_encoder_decoder tie_word_embeddings to_dict to_diff_dict to_json_file to_json_string token_healing " +
  "tokenizer_class top_h top_k top_p torch_dtype torchscript transformers_version typical_p update " +
  "update_from_string use_bfloat16 use_cache use_mtp use_return_dict validate watermarking_config";

/** Attributes of transformers models that a block or weight with the same name would shadow. */
const OF_MODEL =
  "active_adapter active_adapters add_adapter add_model_tags adjust_generation_fn base_model base_model_prefix " +
  "can_generate causal_losses compute compute_transition_scores config config_class delete_adapter dequantize device " +
  "disable_adapters dtype dummy_inputs enable_adapters floating_point_ops framework from_pretrained fsdp_plan " +
  "generate generate_batch generation_config generation_config_class get_adapter_state_dict get_decoder get_encoder " +
  "get_input_embeddings get_output_embeddings gradient_checkpointing_disable gradient_checkpointing_enable " +
  "heal_tokens init_weights initialize_weights input_modalities is_gradient_checkpointing is_parallelizable " +
  "is_quantized hf_device_map hf_quantizer load_adapter loss_function loss_type main_input_name model_tags " +
  "name_or_path no_labels num_parameters output_modalities post_init pp_plan prune_heads push_to_hub " +
  "quantization_method register_for_auto_class resize_token_embeddings save_pretrained set_adapter " +
  "supports_gradient_checkpointing tensor_parallel tie_weights tp_plan tp_size use_kernels warnings_issued";

const ofConfig = new Set(OF_CONFIG.split(" "));
const ofModel = new Set(OF_MODEL.split(" "));

/** The names of all facts, including facts that this model lacks. */
const OF_FACTS = ["vocab_size", "hidden_size", "num_hidden_layers", "max_position_embeddings"] as const;

/** A number that transformers expects: the argument that holds it, if any, and its value. */
export interface Fact {
  readonly name: string;
  readonly argument: string | null;
  readonly value: number;
}

export interface ConfigNames {
  /** The configuration's name for an argument. */
  argument(name: string): string;
  live(name: string): string;
}

/**
 * The configuration's names for arguments and live parameters: the source names, with underscores appended on
 * collision.
 * Facts have names fixed by transformers. An argument may keep such a name if the argument is this fact.
 */
export function configNames(all: readonly string[], live: readonly string[], facts: readonly Fact[]): ConfigNames {
  const factOf = new Map(facts.map(({ name, argument }) => [name, argument]));
  const taken = new Set([...ofConfig, ...OF_FACTS]);
  const wanted = [
    ...all.map((name) => ({ key: `argument ${name}`, name, isFact: !ofConfig.has(name) && factOf.get(name) === name })),
    ...live.map((name) => ({ key: `live ${name}`, name, isFact: false })),
  ];
  const isFree = ({ name, isFact }: (typeof wanted)[number]): boolean =>
    (isFact || !taken.has(name)) && variable(name) === name;
  const used = new Set<string>(taken);
  const names = new Map<string, string>();
  // Arguments that keep their names are named first.
  for (const one of [...wanted.filter(isFree), ...wanted.filter((one) => !isFree(one))]) {
    let name = isFree(one) ? one.name : `${one.name}_`;
    while (used.has(name) && !one.isFact) name += "_";
    used.add(name);
    names.set(one.key, name);
  }
  return { argument: (name) => names.get(`argument ${name}`)!, live: (name) => names.get(`live ${name}`)! };
}

/** Whether transformers models have an attribute with this name. */
export const isOfModel = (name: string): boolean => ofModel.has(name);

export interface FolderNames {
  /** The base name for files and `model_type`. */
  readonly short: string;
  readonly modelType: string;
  readonly config: string;
  readonly model: string;
  readonly configuration: string;
  readonly modeling: string;
}

/**
 * `model_type` and class names must be unknown to transformers: code that looks at these names would treat a routed
 * Llama as a dense Llama.
 */
export function namesOf(model: string): FolderNames {
  const short = model.toLowerCase();
  return {
    short,
    modelType: `modc_${short}`,
    config: `Modc${model}Config`,
    model: `Modc${model}ForCausalLM`,
    configuration: `configuration_${short}`,
    modeling: `modeling_${short}`,
  };
}
