// Writes the files for distributed training: fixed texts with a few facts about the model filled in.
import type { Model, Value } from "../../language/check/model/model.js";
import { textInputsOf } from "../../language/check/model/text-inputs.js";
import { pythonFiles } from "../../ground/embedded.js";
import type { Stacks } from "./experts.js";
import { laidOut } from "./layout.js";
import type { StagePieces } from "./module-text.js";
import { attributePath, variable } from "./names.js";
import type { StageText } from "./stage-text.js";
import { boundOf, valuesOf } from "./bounds.js";
import { tensorPlan } from "./tensor-parallel.js";
import type { NeedsOf, Variant } from "./variants.js";
import { inputAxis, sequenceAt } from "./outline.js";
import { is } from "./text.js";

/** The default sequence length for training, if neither the model nor the user sets a bound. */
const USUAL_CONTEXT = 2048;

/** The pipeline stages of the model. */
export type Stages = StageText & StagePieces;

/** File texts by name; empty if the model has no objective that plain text can train. */
export function trainingFiles(
  variants: readonly Variant[],
  needs: NeedsOf,
  stacks: Stacks,
  methods: readonly string[],
  stages: Stages | null,
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
    ["ROUTED", model.routes.length > 0 ? "True" : "False"],
    ["CONTEXT", String(Math.min(bound ?? USUAL_CONTEXT, USUAL_CONTEXT))],
    ["LONGEST", bound === null ? "None" : String(bound)],
    ["VOCABULARY", String(boundOf(inputs.tokens, model) ?? "None")],
    ["TARGETS", targets === null ? "None" : quoted(variable(targets))],
    ["OVER_TARGETS", tuple(targets === null ? [] : overTargets(model, targets))],
    ["UNDECAYED", tuple([...tablesOf(model), ...vectorsOf(model, stacks)])],
    ["METHODS", tuple(methods)],
    ["MODEL", quoted(model.name)],
    ["UNCUT", stages === null || stages.uncut === null ? "None" : quoted(stages.uncut)],
    ["TOKENS", quoted(variable(inputs.tokens))],
    ["OF_BATCH", tuple(lossesOfBatches(model, targets))],
    ["READ", tuple([...(stages?.inputs ?? []), "lengths"])],
  ]);
  if (model.live.length > 0)
    facts.set("LIVE", `{${model.live.map(({ name, kind }) => `${quoted(name)}: ${quoted(kind)}`).join(", ")}}`);
  const plan = [...tensorPlan(variants, needs, stacks)].map(
    ([path, { style, width }]) => `    ${quoted(attributePath(path))}: ("${style}", ${width}),`,
  );
  const units = (stages?.units ?? []).map(
    ({ name, isList, reads }) => `    Unit(${quoted(name)}, ${tuple(reads)}${isList ? ", is_list=True" : ""}),`,
  );
  // The value of a live parameter may differ between checkpoints of one model.
  const parameters = model.parameters.flatMap(({ name, value }) =>
    model.live.some((l) => l.name === name) ? [] : [`    ${JSON.stringify(name)}: ${JSON.stringify(value)},`],
  );
  const cut = stages !== null && stages.uncut === null ? stages : null;
  const names = ["train.py", "settings.py", "training.py", "data.py", "parallelize.py", "checkpoint.py", "memory.py"];
  return new Map(
    [...names, ...(cut ? ["pipeline.py"] : [])].map((name) => {
      const text = pythonFiles[name]!.split("\n").flatMap((line) => {
        const [, fact = "", type = "", note = ""] = /^([A-Z_]+)(: [^=]+)? = [^#]*?(  #.*)?$/.exec(line) ?? [];
        if (fact === "UNITS") return [`UNITS${type} = (`, ...units, ")"];
        if (fact === "PARAMETERS")
          return parameters.length === 0 ? [line] : [`PARAMETERS${type} = {${note}`, ...parameters, "}"];
        if (fact === "PLAN") return plan.length === 0 ? [line] : [`PLAN${type} = {`, ...plan, "}"];
        const value = facts.get(fact);
        return value === undefined ? [line] : [`${fact}${type} = ${value}${note}`];
      });
      const staged = cut && name === "pipeline.py" ? withStages(text, cut) : text;
      // The same name as in model.py.
      const stageText = staged.join("\n").replaceAll(/\bModelArgs\b/g, `${model.name}Args`);
      return [name, stageText.replaceAll(/\bModel\b/g, variable(model.name))];
    }),
  );
}

/** Fills the model's statements into `pipeline.py`. */
function withStages(text: readonly string[], { lines, width, most, inputs }: Stages): readonly string[] {
  const at = text.findIndex((line) => line.includes("def stage_forward("));
  const behind = text.findIndex((line, i) => i > at && line.includes("NotImplementedError  # likewise"));
  const given = [...inputs.map((name) => `${name}: Tensor`), "lengths: Tensor | None = None"].join(", ");
  const axis = `mt.rows(x, lengths${most === null ? "" : `, most=${most}`})`;
  const forward = [
    `def stage_forward(self, x: Tensor, run: mt.Run, ${given}) -> tuple[Tensor, dict[str, Tensor]]:`,
    '    """What goes to the next stage, and the losses of this one."""',
    `    axis = ${axis}`,
    "    losses: dict[str, Tensor] = {}",
    ...lines.map((line) => `    ${line}`),
    "    return x, losses",
  ];
  const widths = [
    "",
    "",
    `def stream_width(args: exported.ModelArgs) -> tuple[int, ...]:`,
    '    """Of what goes from stage to stage, behind the batch and its tokens."""',
    `    return (${width.map((size) => `${size.replace("self.", "")},`).join(" ")})`,
  ];
  const indented = forward.map((line) => (line === "" ? "" : `    ${line}`));
  return [...text.slice(0, at), ...laidOut([...indented, ...widths]), ...text.slice(behind + 1)];
}

const quoted = (text: string): string => `"${text}"`;
const tuple = (all: readonly string[]): string => `(${all.map(quoted).join(", ")}${all.length === 1 ? "," : ""})`;
const pair = (a: string, b: string | null): string => `(${quoted(a)}, ${b === null ? "None" : quoted(b)})`;

/** Losses that are means over targets: losses computed by a cross entropy against the targets input. */
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

/** Stacked expert weights in which each expert has a single dimension. */
const vectorsOf = ({ weights }: Model, stacks: Stacks): readonly string[] => [
  ...new Set(
    weights.flatMap(({ path, shape }) =>
      shape.length === 1 && stacks.of(path) !== null ? [attributePath(stacks.placeOf(path))] : [],
    ),
  ),
];

/** Lookup tables. modc applies weight decay to other weights with two dimensions, not to tables. */
function tablesOf(model: Model): readonly string[] {
  const tables = valuesOf(model).flatMap(({ op, inputs: [table] }) =>
    op === "gather" && table?.op === "weight" ? [(table as Value<"weight">).attrs.path] : [],
  );
  return [...new Set(tables)].map(attributePath);
}

// Finds the losses that are means over tokens or targets. Means over parts of a batch add up, weighted by each part's
// count.

/**
 * Paths of the other losses, which are not means. `targets` is the name of the targets input.
 * List indices are replaced by `*`, since all blocks of a list have the same kind of loss.
 */
function lossesOfBatches(model: Model, targets: string | null): readonly string[] {
  const aimed = model.inputs.find(({ name }) => name === targets)?.value ?? null;
  const sums = model.losses.filter(({ value }) => !isMean(model, value, aimed));
  return [...new Set(sums.map(({ path }) => path.replace(/(?<=^|\.)\d+(?=\.|$)/g, "*")))];
}

/** Whether a loss is a number times a mean, or a sum of means over the same elements. */
const isMean = (model: Model, value: Value, targets: Value | null): boolean => meanOver(model, value, targets) !== null;

function meanOver(model: Model, value: Value, targets: Value | null): "tokens" | "targets" | null {
  const over = (part: Value): ReturnType<typeof meanOver> => meanOver(model, part, targets);
  if (is(value, "pointwise")) {
    const [a, b] = value.inputs;
    const { fn } = value.attrs;
    if (fn === "neg") return over(a!);
    if (fn === "mul" || fn === "div" || fn === "add" || fn === "sub") {
      if (isNumber(b!)) return over(a!);
      if (isNumber(a!)) return fn === "div" ? null : over(b!);
      const [left, right] = [over(a!), over(b!)];
      return (fn === "add" || fn === "sub") && left === right ? left : null;
    }
    return null;
  }
  const axis = inputAxis(model);
  const [x, y] = value.inputs;
  const along = (of: Value): boolean => sequenceAt(model, of.type.shape[1]) === axis;
  const readsAll = value.inputs.some((input) => readsBatch(input));
  if (readsAll) return null;
  if (is(value, "cross_entropy")) return y === targets && along(y) ? "targets" : null;
  if (is(value, "bce")) return x!.type.shape.length === 2 && along(x!) ? "tokens" : null;
  if (!is(value, "reduce") || value.attrs.fn !== "mean" || value.inputs.length > 1) return null;
  const { shape } = x!.type;
  const isFixed = shape.slice(2).every((size) => typeof size === "number");
  return value.attrs.axes.length === shape.length && along(x!) && isFixed ? "tokens" : null;
}

const isNumber = (value: Value): boolean =>
  value.op === "number" || value.op === "live" || (value.op === "pointwise" && value.inputs.every(isNumber));

/** Whether a value depends on a reduction over all sequences of a batch. */
function readsBatch(value: Value): boolean {
  const seen = new Set<Value>();
  const todo = [value];
  for (let next = todo.pop(); next; next = todo.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    if (next.op === "cross_entropy" || next.op === "bce") return true;
    const [x] = next.inputs;
    if (is(next, "reduce") && next.attrs.axes.includes(0) && typeof x!.type.shape[0] !== "number") return true;
    todo.push(...next.inputs);
  }
  return false;
}
