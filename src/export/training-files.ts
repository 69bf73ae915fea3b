// The files by which a model trains on many devices: texts that are the same for all models but for a few facts.
import type { Model, Value } from "../check/model.js";
import { textInputsOf } from "../check/text-inputs.js";
import { pythonFiles } from "../embedded.js";
import type { Stacks } from "./experts.js";
import { attributePath, variable } from "./names.js";
import { tensorPlan } from "./tensor-parallel.js";
import type { NeedsOf, Variant } from "./variants.js";

/** Tokens of a sequence in training, where neither the model nor the user bounds them. */
const USUAL_CONTEXT = 2048;

/** By name; none where the model has no objective that a text fills. */
export function trainingFiles(
  variants: readonly Variant[],
  needs: NeedsOf,
  stacks: Stacks,
  methods: readonly string[],
): ReadonlyMap<string, string> {
  const objective = variants.find(({ phase, entry }) => phase === "train" && entry === "objective");
  const inputs = objective ? textInputsOf(objective.model) : null;
  if (!objective || !inputs) return new Map();
  const { model } = objective;
  const { targets } = inputs;
  const bound = model.axes.find(({ role }) => role === "sequence")?.bound ?? null;
  const facts = new Map<string, string>([
    ["INPUTS", pair(variable(inputs.tokens), targets === null ? null : variable(targets))],
    ["SIGNED", inputs.signed ? "True" : "False"],
    ["CAUSAL", variants.some(({ phase }) => phase === "generate") ? "True" : "False"],
    ["CONTEXT", String(Math.min(bound ?? USUAL_CONTEXT, USUAL_CONTEXT))],
    ["LONGEST", bound === null ? "None" : String(bound)],
    ["VOCABULARY", String(vocabularyOf(model, inputs.tokens) ?? "None")],
    ["TARGETS", targets === null ? "None" : quoted(variable(targets))],
    ["OVER_TARGETS", tuple(targets === null ? [] : overTargets(model, targets))],
    ["UNDECAYED", tuple([...tablesOf(model), ...vectorsOf(model, stacks)])],
    ["METHODS", tuple(methods)],
    ["MODEL", quoted(model.name)],
  ]);
  const plan = [...tensorPlan(variants[0]!, needs)].map(
    ([path, { style, width }]) => `    ${quoted(attributePath(path))}: ("${style}", ${width}),`,
  );
  const names = ["train.py", "training.py", "data.py", "parallelize.py", "checkpoint.py"];
  return new Map(
    names.map((name) => {
      const text = pythonFiles[name]!.split("\n").flatMap((line) => {
        const [, fact = "", type = "", note = ""] = /^([A-Z_]+)(: [^=]+)? = [^#]*?(  #.*)?$/.exec(line) ?? [];
        if (fact === "PLAN") return plan.length === 0 ? [line] : [`PLAN${type} = {`, ...plan, "}"];
        const value = facts.get(fact);
        return value === undefined ? [line] : [`${fact}${type} = ${value}${note}`];
      });
      const own = text.join("\n").replaceAll(/\bModelArgs\b/g, `${model.name}Args`); // as in model.py
      return [name, own.replaceAll(/\bModel\b/g, variable(model.name))];
    }),
  );
}

const quoted = (text: string): string => `"${text}"`;
const tuple = (all: readonly string[]): string => `(${all.map(quoted).join(", ")}${all.length === 1 ? "," : ""})`;
const pair = (a: string, b: string | null): string => `(${quoted(a)}, ${b === null ? "None" : quoted(b)})`;

/** Losses that are means over targets: those that a cross entropy with the input of targets makes. */
function overTargets(model: Model, targets: string): readonly string[] {
  const input = model.inputs.find(({ name }) => name === targets)?.value;
  const counts = (value: Value, seen: Set<Value>): boolean => {
    if (seen.has(value)) return false;
    seen.add(value);
    if (value.op === "cross_entropy" && value.inputs[1] === input) return true;
    return value.inputs.some((from) => counts(from, seen));
  };
  return model.losses.flatMap(({ path, value }) => (counts(value, new Set()) ? [path] : []));
}

/** How many tokens there are: the rows of the table in which they are looked up; null where they are not. */
function vocabularyOf(model: Model, tokens: string): number | null {
  const input = model.inputs.find(({ name }) => name === tokens)?.value;
  const rows = valuesOf(model).flatMap((value) => {
    const [table, index] = value.inputs;
    const size = value.op === "gather" && index === input ? table!.type.shape[0] : null;
    return typeof size === "number" ? [size] : [];
  });
  return rows.length === 0 ? null : Math.min(...rows);
}

/** All values that losses are computed from. */
function valuesOf(model: Model): readonly Value[] {
  const seen = new Set<Value>();
  const todo = model.losses.map(({ value }) => value);
  for (let value = todo.pop(); value; value = todo.pop()) {
    if (seen.has(value)) continue;
    seen.add(value);
    todo.push(...value.inputs);
  }
  return [...seen];
}

/** Weights of all experts together, of which each has one dimension. */
const vectorsOf = ({ weights }: Model, stacks: Stacks): readonly string[] => [
  ...new Set(
    weights.flatMap(({ path, shape }) =>
      shape.length === 1 && stacks.of(path) !== null ? [attributePath(stacks.placeOf(path))] : [],
    ),
  ),
];

/** Weights that are looked up: modc decays those with two dimensions that are not. */
function tablesOf(model: Model): readonly string[] {
  const found = valuesOf(model).flatMap(({ op, inputs: [table] }) =>
    op === "gather" && table?.op === "weight" ? [(table as Value<"weight">).attrs.path] : [],
  );
  return [...new Set(found)].map(attributePath);
}
