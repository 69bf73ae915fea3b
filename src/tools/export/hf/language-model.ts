// Decides whether a model is a causal language model in the sense of Hugging Face's transformers, and whether its
// objective works with `labels`.
import { textInputsOf } from "../../../language/check/model/text-inputs.js";
import type { Model, Value } from "../../../language/check/model/model.js";
import { sequenceAt } from "../outline.js";
import { ExportError } from "../refused.js";
import type { Models } from "../torch.js";

/** Throws ExportError for `what`, which has no form in transformers. */
export function refuse(what: string): never {
  const hint = "`--to torch` writes it as a module of PyTorch";
  throw new ExportError(`${what} has no form as a model of Hugging Face yet`, hint);
}

/** Throws ExportError unless the model takes tokens, returns logits and has a causal rule. */
export function expectLanguageModel(models: Models): void {
  const [model] = models;
  const [tokens, ...others] = model.inputs;
  const [result, ...more] = model.outputs;
  if (!tokens || others.length > 0 || (tokens.type.dtype !== "u32" && tokens.type.dtype !== "i32"))
    refuse(`${model.name}, which does not take tokens alone,`);
  if (!result || more.length > 0) refuse(`${model.name}, which gives several results,`);
  const along = sequenceAt(model, tokens.type.shape[1]);
  const { shape, dtype } = result.value.type;
  if (tokens.type.shape.length !== 2 || along === null || shape.length !== 3 || sequenceAt(model, shape[1]) !== along)
    refuse(`${model.name}, which gives no logits of each token,`);
  if (dtype !== "f32" || typeof shape[2] !== "number") refuse(`${model.name}, which gives no logits,`);
  if (!models.some(({ phase }) => phase === "generate")) refuse(`${model.name}, which has no causal rule,`);
}

/** If labels cannot serve as the objective's inputs, removes the objective's versions and returns the reason. */
export function withLabels(models: Models): { readonly models: Models; readonly noLabels: string | null } {
  const [model, ...others] = models;
  const objective = others.find(({ entry }) => entry === "objective");
  const why = objective ? reasonOf(objective) : "the model has no objective";
  if (why === null) return { models, noLabels: null };
  return { models: [model, ...others.filter(({ entry }) => entry === "forward")], noLabels: `${why}: no labels` };
}

/** The reason why labels cannot serve as the objective's inputs; null if they can. */
function reasonOf(objective: Model): string | null {
  const inputs = textInputsOf(objective);
  if (!inputs || inputs.targets === null) return "the model's objective takes other inputs than tokens and targets";
  const targets = objective.inputs.find(({ name }) => name === inputs.targets)!.value;
  const counted = objective.losses.map(({ value }) => value);
  return readsOtherwise(targets, counted) ? "the model's objective reads targets beside its cross entropy" : null;
}

/** Whether an operation other than cross entropy reads the targets. Some labels are negative and mean "no target". */
function readsOtherwise(targets: Value, results: readonly Value[]): boolean {
  const seen = new Set<Value>();
  const todo = [...results];
  for (let value = todo.pop(); value; value = todo.pop()) {
    if (seen.has(value)) continue;
    seen.add(value);
    if (value.op !== "cross_entropy" && value.inputs.includes(targets)) return true;
    todo.push(...value.inputs);
  }
  return false;
}

/** Numbers that transformers expects in a configuration, each computed from the model. */
export const FACTS = {
  vocab_size: ({ outputs }: Model): number | null => numberAt(outputs[0]?.value, 2),
  hidden_size: (model: Model): number | null => {
    const tokens = model.inputs[0]?.value;
    const lookup = valuesOf(model).find(({ op, inputs: [, index] }) => op === "gather" && index === tokens);
    return numberAt(lookup?.inputs[0], 1);
  },
  num_hidden_layers: ({ instances }: Model): number | null => {
    const lists = new Map<string, number>();
    for (const { path } of instances) {
      const [, list] = /^(\w+)\.\d+$/.exec(path) ?? [];
      if (list !== undefined) lists.set(list, (lists.get(list) ?? 0) + 1);
    }
    return lists.size === 0 ? null : Math.max(...lists.values());
  },
} as const;

const numberAt = (value: Value | undefined, dim: number): number | null => {
  const size = value?.type.shape[dim];
  return typeof size === "number" ? size : null;
};

function valuesOf({ outputs }: Model): readonly Value[] {
  const seen = new Set<Value>();
  const todo = outputs.map(({ value }) => value);
  for (let value = todo.pop(); value; value = todo.pop()) {
    if (seen.has(value)) continue;
    seen.add(value);
    todo.push(...value.inputs);
  }
  return [...seen];
}
