// Finds the standard architecture of Hugging Face that a model is: the `config.json` that modc reads as the same
// computation.
import { check } from "../../language/check/check.js";
import type { Entry, Model, Phase, Value } from "../../language/check/model/model.js";
import { parseConfig } from "./config.js";
import { decoderSource } from "./source/decoder.js";
import { textInputsOf } from "../../language/check/model/text-inputs.js";
import type { Size } from "../../ground/size/size.js";

export interface Standard {
  /** The name of the class: `LlamaForCausalLM`. */
  readonly architecture: string;
  /** Fields of `config.json`, except for tokens and types. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Whether the result is the configuration that the caller passed. */
  readonly own: boolean;
  /** The key of each weight, by its path. */
  readonly keys: ReadonlyMap<string, string>;
}

export interface StandardModels {
  /** All versions of a model: the first by phase infer and entry forward, the others by any phase and entry. */
  readonly models: readonly [Model, ...Model[]];
  /** The text of a `config.json` that describes the model, or from which the model was derived. */
  readonly config?: string | null;
}

/**
 * The standard architecture of a model: the architecture in its configuration or, without a configuration, Llama, Qwen
 * 2 and 3 or Mistral. Null unless every version of the model is the same computation as the architecture's. Throws
 * CheckpointError for a configuration that modc does not read.
 */
export function standardOf({ models, config: text = null }: StandardModels): Standard | null {
  const [forward, ...others] = models;
  if (forward.live.length > 0) return null;
  const sizes = sizesOf(forward);
  const configs = text === null ? [] : ownOf(text);
  for (const config of [...configs, ...(sizes === null ? [] : candidates(sizes))]) {
    const { architecture, source } = sourceOf(config);
    const versionOf = ({ phase, entry }: Version): Model | null =>
      check({ file: "model.mod", text: source }, { phase, entry, read: () => null }).model;
    const standard = versionOf(forward);
    if (!standard || standard.weights.length !== forward.weights.length) continue;
    if (standard.observes.length !== forward.observes.length) continue;
    const paths = correspondence(forward, standard, resultsOf);
    if (paths === null || !others.every((model) => isAlike(paths, model, versionOf(model)))) continue;
    const keys = new Map(standard.weights.map(({ path, keys: [key] }) => [path, key!]));
    return {
      architecture,
      config: { architectures: [architecture], ...config },
      own: configs.includes(config),
      keys: new Map([...paths].map(([path, other]) => [path, keys.get(other)!])),
    };
  }
  return null;
}

interface Version {
  readonly phase: Phase;
  readonly entry: Entry;
}

const resultsOf = ({ entry, outputs, losses }: Model): Results => (entry === "forward" ? outputs : losses);

/** Whether both versions are the same computation with the corresponding weights. */
function isAlike(paths: ReadonlyMap<string, string>, model: Model, other: Model | null): boolean {
  const keys = other && correspondence(model, other, resultsOf);
  return keys !== null && [...keys].every(([path, theirs]) => paths.get(path) === theirs);
}

/**
 * The configuration of a checkpoint; empty if its architecture is not part of transformers but comes with its own code.
 */
function ownOf(text: string): readonly Config[] {
  parseConfig(text);
  const config = JSON.parse(text) as Config; // an object, as `parseConfig` has checked
  return Object.hasOwn(config, "auto_map") ? [] : [config];
}

function sourceOf(config: Config) {
  const read = parseConfig(JSON.stringify(config));
  return { architecture: read.head?.architecture ?? read.family.architecture, source: decoderSource(read) };
}

type Config = Readonly<Record<string, unknown>>;

interface Sizes {
  /** Fields that all families have. */
  readonly shared: Config;
  readonly headDim: number;
  /** Whether the head width equals the default of families without the field `head_dim`. */
  readonly usualHead: boolean;
  readonly window: number;
}

const ACTIVATIONS = { silu: "silu", gelu: "gelu", gelu_tanh: "gelu_pytorch_tanh", relu: "relu" } as const;

/** The sizes of a decoder, read from its operations; null if some size is missing. */
function sizesOf(model: Model): Sizes | null {
  const values = valuesOf(model);
  const table = values.find((v) => v.op === "gather" && v.inputs[1]?.op === "input")?.inputs[0];
  const attentions = values.filter((v) => v.op === "attention") as readonly Value<"attention">[];
  const ropes = values.filter((v) => v.op === "rope") as readonly Value<"rope">[];
  const [first] = attentions;
  const [rope] = ropes;
  const activation = values.find((v) => v.op === "pointwise" && Object.hasOwn(ACTIVATIONS, fnOf(v)));
  const eps = values.find((v) => v.op === "pointwise" && fnOf(v) === "rsqrt")?.inputs[0]?.inputs.find(isNumber);
  if (table?.op !== "weight" || !first || !rope || !activation || !eps) return null;
  const [vocab, dim] = table.type.shape;
  const [, heads, , headDim] = first.inputs[0]!.type.shape;
  const kvHeads = first.inputs[1]!.type.shape[1];
  const hidden = activation.type.shape.at(-1);
  const numbers = [vocab, dim, heads, headDim, kvHeads, hidden];
  if (!numbers.every((size) => typeof size === "number") || rope.attrs.frequencies !== null) return null;
  if (!(eps.attrs.value > 0 && rope.attrs.theta > 0)) return null;
  const bound = model.axes.find(({ role }) => role === "sequence")?.bound ?? null;
  const result = model.outputs[0]?.value;
  return {
    shared: {
      vocab_size: vocab,
      hidden_size: dim,
      intermediate_size: hidden,
      num_hidden_layers: attentions.length,
      num_attention_heads: heads,
      num_key_value_heads: kvHeads,
      ...(bound === null ? {} : { max_position_embeddings: bound }),
      rms_norm_eps: eps.attrs.value,
      rope_theta: rope.attrs.theta,
      hidden_act: ACTIVATIONS[fnOf(activation) as keyof typeof ACTIVATIONS],
      tie_word_embeddings: result !== undefined && valuesBefore(result, 2).has(table),
    },
    headDim: headDim as number, // all are numbers, as checked above
    usualHead: (headDim as number) * (heads as number) === dim,
    window: first.attrs.window,
  };
}

/** Configurations of each family that may describe the model, the most common first. */
function candidates({ shared, headDim, usualHead, window }: Sizes): readonly Config[] {
  const head = usualHead ? {} : { head_dim: headDim };
  const flags = [false, true];
  if (window > 0) return [{ model_type: "mistral", ...shared, ...head, sliding_window: window }];
  return [
    ...flags.flatMap((mlp_bias) =>
      flags.map((attention_bias) => ({ model_type: "llama", ...shared, ...head, attention_bias, mlp_bias })),
    ),
    ...(usualHead ? [{ model_type: "qwen2", ...shared }] : []),
    ...flags.map((attention_bias) => ({ model_type: "qwen3", ...shared, head_dim: headDim, attention_bias })),
  ];
}

const fnOf = (value: Value): string => (value as Value<"pointwise">).attrs.fn;
const isNumber = (value: Value): value is Value<"number"> => value.op === "number";

const valuesOf = ({ outputs }: Model): readonly Value[] => [
  ...new Set(outputs.flatMap(({ value }) => [...valuesBefore(value, Infinity)])),
];

/** The values from which `value` is computed in at most `most` operations. */
function valuesBefore(value: Value, most: number): ReadonlySet<Value> {
  const found = new Set<Value>();
  let level = [value];
  for (let depth = 0; depth <= most && level.length > 0; depth++) {
    const fresh = level.filter((v) => !found.has(v));
    for (const v of fresh) found.add(v);
    level = [...new Set(fresh.flatMap(({ inputs }) => inputs))];
  }
  return found;
}

/** Results of a model, or its losses. */
type Results = readonly { readonly value: Value }[];

/**
 * Maps each weight path of `model` to the path of the corresponding weight of `other`. Null if the `results` of both
 * models are not the same computation, or some weight does not take part. Each model has one sequence.
 */
function correspondence(
  model: Model,
  other: Model,
  results: (model: Model) => Results,
): ReadonlyMap<string, string> | null {
  const numbers = new Map<string, number>();
  const [numbered, otherNumbered] = [new Numbered(model, numbers), new Numbered(other, numbers)];
  const [a, b] = [results(model), results(other)];
  if (a.length !== b.length || a.some(({ value }, i) => numbered.of(value) !== otherNumbered.of(b[i]!.value)))
    return null;
  const found = new Map<string, string>();
  const seen = new Map<Value, Value>();
  const todo = a.map(({ value }, i): readonly [Value, Value] => [value, b[i]!.value]);
  for (let pair = todo.pop(); pair; pair = todo.pop()) {
    const [x, y] = pair;
    if (seen.get(x) === y) continue;
    seen.set(x, y);
    if (isOp(x, "weight") && isOp(y, "weight")) {
      if ((found.get(x.attrs.path) ?? y.attrs.path) !== y.attrs.path) return null;
      found.set(x.attrs.path, y.attrs.path);
    }
    const [xs, ys] = [numbered.operands(x), otherNumbered.operands(y)];
    xs.forEach((operand, i) => todo.push([operand, ys[i]!]));
  }
  const whole = found.size === model.weights.length && found.size === other.weights.length;
  return whole && new Set(found.values()).size === found.size ? found : null;
}

const isOp = <K extends Value["op"]>(value: Value, op: K): value is Value<K> => value.op === op;

/**
 * Numbers the values of models. Two values of any models have equal numbers if they are the same computation up to the
 * choice of weights.
 */
class Numbered {
  readonly #of = new Map<Value, number>();
  readonly #operands = new Map<Value, readonly Value[]>();

  readonly #roles: ReadonlyMap<Value, string>;

  constructor(
    private readonly model: Model,
    private readonly numbers: Map<string, number>,
  ) {
    const text = textInputsOf(model);
    this.#roles = new Map(
      text ? model.inputs.map(({ name, value }) => [value, name === text.tokens ? "tokens" : "targets"]) : [],
    );
  }

  of(value: Value): number {
    const known = this.#of.get(value);
    if (known !== undefined) return known;
    const key = JSON.stringify([
      value.op,
      this.#attributes(value),
      // Targets of u32 and of i32, which may be absent, are the same computation of what is there.
      this.#roles.get(value) === "targets" ? "targets" : value.type.dtype,
      value.type.shape.map((size) => this.#size(size)),
      this.operands(value).map((operand) => this.of(operand)),
    ]);
    const number = this.numbers.get(key) ?? this.numbers.size;
    this.numbers.set(key, number);
    this.#of.set(value, number);
    return number;
  }

  /** The operands of a value; for sums and products all terms and factors, ordered by number. */
  operands(value: Value): readonly Value[] {
    const known = this.#operands.get(value);
    if (known) return known;
    const found = this.#found(value);
    this.#operands.set(value, found);
    return found;
  }

  #found(value: Value): readonly Value[] {
    const fn = commutative(value);
    if (fn === null) return value.inputs;
    const flat = (x: Value): readonly Value[] => (commutative(x) === fn ? x.inputs.flatMap(flat) : [x]);
    return value.inputs.flatMap(flat).sort((x, y) => this.of(x) - this.of(y));
  }

  /** The key of an input is its role in the text, tokens or targets; for other inputs, their name. */
  #attributes(value: Value): unknown {
    if (isOp(value, "weight")) return null;
    if (isOp(value, "input")) return this.#roles.get(value) ?? value.attrs;
    return JSON.parse(JSON.stringify(value.attrs, (_, x: unknown) => (typeof x === "bigint" ? String(x) : x)));
  }

  /** Axes are identified by role, not by name. */
  #size(size: Size): string {
    if (typeof size === "number") return String(size);
    return this.model.axes.find(({ name }) => name === size.key)?.role ?? size.key;
  }
}

const commutative = (value: Value): string | null =>
  isOp(value, "pointwise") && (value.attrs.fn === "add" || value.attrs.fn === "mul") ? value.attrs.fn : null;
