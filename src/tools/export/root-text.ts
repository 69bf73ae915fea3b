// Writes the parts that only the model's class has: arguments, call inputs, generation, and weight loading.
import type { Model, ModelWeight } from "../../language/check/model/model.js";
import { readPart } from "../../ground/base/stored-part.js";
import { textInputsOf } from "../../language/check/model/text-inputs.js";
import { alone, hasCaches, hasCausal } from "./caches.js";
import type { Part, Parts, Signature } from "./classes.js";
import type { Stacks } from "./experts.js";
import { numberTexts } from "./text.js";
import type { ListTest, Period } from "./lists.js";
import { attributePath, variable } from "./names.js";
import { sequenceAt } from "./outline.js";
import { axisVariables, type InputSequence } from "./sequences.js";
import type { Variant } from "./variants.js";

/** A field of the arguments' dataclass. */
export interface Argument {
  readonly name: string;
  readonly value: string;
  /** The field's meaning, if the name does not come from the source. */
  readonly note: string | null;
  /** The expression that computes the value from other arguments; null if the value is independent. */
  readonly formula: string | null;
  /** Arguments that change the value in the source in an unknown way. */
  readonly follows: readonly string[];
}

/** The class parameters, list lengths and sequence bounds, by name; source parameters keep the source order. */
export function argumentsOf(
  model: Model,
  numbers: readonly { readonly name: string; readonly value: string }[],
  lists: readonly { readonly name: string; readonly value: number }[],
  longest: ReadonlyMap<string, number>,
  derived: ReadonlyMap<string, Derived>,
): readonly Argument[] {
  const known = new Map([...numbers, ...lists].map(({ name, value }) => [name, String(value)]));
  for (const { formula } of derived.values())
    for (const [name, value] of formula?.of ?? []) known.set(variable(name), String(value));
  const declared = model.parameters.map(({ name }) => variable(name));
  const fields = declared.flatMap((name): Argument[] => {
    const value = known.get(name) ?? longest.get(name)?.toString();
    const note = longest.has(name) ? "the most tokens of a sequence" : null;
    return value === undefined ? [] : [{ name, value, note, formula: null, follows: [] }];
  });
  const others = numbers.filter(({ name }) => !declared.includes(name));
  return [
    ...fields,
    ...others.map(({ name, value }) => ({
      name,
      value,
      note: "follows from the arguments above in the source; here a number: change it with them",
      formula: derived.get(name)?.formula?.text ?? null,
      follows: (derived.get(name)?.follows ?? []).filter((other) => fields.some((field) => field.name === other)),
    })),
  ];
}

/** A product or quotient of parameters, with their values. */
export interface Formula {
  readonly text: string;
  readonly of: ReadonlyMap<string, number>;
}

/**
 * Searches a multiple, product or quotient of parameters that equals the number in every family member. Each parameter
 * used must vary within the family. Null if no formula fits. `values`: the number in each member.
 */
function formulaOf(parts: readonly Part[], values: readonly string[]): Formula | null {
  const numbers = parts.map(({ instance }) => instance.numbers);
  if (!values.every((value) => /^\d+$/.test(value))) return null; // a float may be an integer by chance
  const wanted = values.map(Number);
  const names = [...numbers[0]!.keys()].filter(
    (name) => new Set(numbers.map((n) => String(n.get(name)?.num))).size > 1,
  );
  const at = (name: string, i: number): number => {
    const { num, den } = numbers[i]!.get(name)!;
    return den === 1n ? Number(num) : NaN;
  };
  const formula = (text: string, used: readonly string[], value: (i: number) => number): Formula | null =>
    wanted.every((number, i) => number === value(i))
      ? { text, of: new Map(used.map((name) => [name, at(name, 0)])) }
      : null;
  const attribute = (name: string): string => `self.${variable(name)}`;
  for (const a of names) {
    const [times, share] = [wanted[0]! / at(a, 0), at(a, 0) / wanted[0]!];
    const multiple = Number.isInteger(times)
      ? formula(`${times} * ${attribute(a)}`, [a], (i) => times * at(a, i))
      : null;
    const part = Number.isInteger(share)
      ? formula(`mt.quotient(${attribute(a)}, ${share})`, [a], (i) => at(a, i) / share)
      : null;
    if (multiple ?? part) return multiple ?? part;
  }
  for (const a of names)
    for (const b of names) {
      if (a === b) continue;
      const quotient = formula(`mt.quotient(${attribute(a)}, ${attribute(b)})`, [a, b], (i) => at(a, i) / at(b, i));
      const product = a < b ? formula(`${attribute(a)} * ${attribute(b)}`, [a, b], (i) => at(a, i) * at(b, i)) : null;
      if (quotient ?? product) return quotient ?? product;
    }
  for (const a of names)
    for (const b of names)
      for (const c of names) {
        if (a === b || a === c || b === c || b < a) continue;
        const share = formula(
          `mt.quotient(${attribute(a)} * ${attribute(b)}, ${attribute(c)})`,
          [a, b, c],
          (i) => (at(a, i) * at(b, i)) / at(c, i),
        );
        if (share) return share;
      }
  return null;
}

/** How a number that is not a parameter depends on parameters. */
export interface Derived {
  readonly formula: Formula | null;
  readonly follows: readonly string[];
}

/** Keyed by argument name. `parts`: the model, then the relatives with the same text. */
export function derivedOf(
  parts: readonly Part[],
  { names, of }: Signature,
  hasFormulas: boolean,
): ReadonlyMap<string, Derived> {
  const [rootNumbers, ...others] = parts.map(({ instance }) => instance.numbers);
  const derived = names.filter((name) => !rootNumbers!.has(name));
  return new Map(
    derived.map((name): readonly [string, Derived] => {
      const values = parts.map(({ holes }) => holes[of.indexOf(name)]!.text);
      const isOther = (parameter: string, i: number): boolean => {
        const [a, b] = [others[i]!.get(parameter), rootNumbers!.get(parameter)];
        return values[i + 1] !== values[0] && (a?.num !== b?.num || a?.den !== b?.den);
      };
      const follows = [...rootNumbers!.keys()].filter((parameter) => others.some((_, i) => isOther(parameter, i)));
      return [
        variable(name),
        { formula: hasFormulas ? formulaOf(parts, values) : null, follows: follows.map(variable) },
      ];
    }),
  );
}

/** The parameter that equals a block list's length in the whole family; null if no parameter does. */
export function lengthName(parts: Parts, attr: string): string | null {
  const lengthOf = ({ children }: Part): number => children.filter((child) => child.attr === attr).length;
  return nameOf(parts, [parts.root, ...parts.relatives].map(lengthOf));
}

/** The period as a Python condition on i. */
export function testOf(found: Period | null, { instance }: Part): ListTest | null {
  if (found === null) return null;
  const { period, offset } = found;
  const length = typeof period === "number" ? period : Number(instance.numbers.get(period)!.num);
  const text = typeof period === "number" ? String(period) : `args.${variable(period)}`;
  const last = typeof period === "number" ? String(period - 1) : `${text} - 1`;
  return { text: `i % ${text} == ${offset ?? last}`, holds: (i) => i % length === (offset ?? length - 1) };
}

/** The parameter that bounds a sequence's length; null if no parameter does. */
export const boundName = (parts: Parts, { axis }: InputSequence): string | null =>
  nameOf(
    parts,
    parts.sequences.map((sequences) => sequences.find((other) => other.axis === axis)?.bound ?? null),
  );

/** The parameter that equals these numbers in the model and in each relative; null if no parameter does. */
export function nameOf({ root, relatives }: Parts, numbers: readonly (number | null)[]): string | null {
  if (new Set(numbers).size === 1) return null;
  const all = [root, ...relatives];
  const follows = (name: string): boolean =>
    all.every(({ instance }, i) => numberTexts(instance.numbers.get(name)!).includes(String(numbers[i])));
  return [...root.instance.numbers.keys()].find(follows) ?? null;
}

const typeOf = (value: string): string =>
  value.startsWith("Fraction") ? "Fraction" : /^-?\d+$/.test(value) ? "int" : "float";

/** Writes the dataclass. */
export const argumentsText = (name: string, all: readonly Argument[]): readonly string[] => [
  "@dataclass",
  `class ${name}:`,
  '    """What the model is made with."""',
  "",
  ...(all.length === 0 ? ["    pass"] : []),
  ...all.filter(({ formula }) => formula === null).map(fieldText),
  ...checksText(all),
  ...all.flatMap(({ name, formula }) =>
    formula === null ? [] : ["", "    @property", `    def ${name}(self) -> int:`, `        return ${formula}`],
  ),
];

function fieldText({ name, value, note, follows }: Argument): string {
  const field = `    ${name}: ${typeOf(value)}`;
  if (follows.length === 0) return `${field} = ${value}${note === null ? "" : `  # ${note}`}`;
  return `${field} | None = None  # ${value}; follows from ${follows.join(", ")}: give it with others`;
}

/** Converts shares to fractions. A number that depends on other arguments must be passed whenever these change. */
function checksText(all: readonly Argument[]): readonly string[] {
  const values = new Map(all.map(({ name, value }) => [name, value]));
  const lines = all.flatMap(({ name, value, formula, follows }) => {
    if (formula !== null) return [];
    if (follows.length === 0) return typeOf(value) === "Fraction" ? [`self.${name} = mt.ratio(self.${name})`] : [];
    const others = follows.map((other) => `${other}=(self.${other}, ${values.get(other)!})`).join(", ");
    return [`self.${name} = mt.followed("${name}", self.${name}, ${value}, ${others})`];
  });
  return lines.length === 0
    ? []
    : ["", "    def __post_init__(self) -> None:", ...lines.map((line) => `        ${line}`)];
}

/** Statements that define the axes for input sequences. `mostOf`: a sequence's greatest length, as an expression. */
export function axesText(
  sequences: readonly InputSequence[],
  cached: InputSequence | null,
  mostOf: (sequence: InputSequence) => string | null,
): readonly string[] {
  const hasLengths = alone(sequences);
  const made = sequences.map((sequence) => {
    const most = mostOf(sequence);
    const own = sequences.length < 2 ? "lengths" : `by_axis.get("${sequence.name}")`;
    const options = [own, ...(sequence === cached ? ["caches"] : [])];
    const input = variable(sequence.input);
    const other = sequence.instead === null ? null : variable(sequence.instead);
    const given = other === null ? input : `${input} if ${other} is None else ${other}`;
    const rows = `mt.rows(${[given, ...options, ...(most === null ? [] : [`most=${most}`])].join(", ")})`;
    return `${sequence.axis} = ${sequence.isOptional ? `None if ${input} is None else ${rows}` : rows}`;
  });
  if (sequences.length < 2) return made;
  const names = (all: readonly InputSequence[]): string =>
    `(${all.map(({ name }) => `"${name}"`).join(", ")}${all.length === 1 ? "," : ""})`;
  const forward = sequences.filter(({ isOptional }) => !isOptional);
  const along = hasLengths ? `${names(sequences)} if run.objective else ${names(forward)}` : names(sequences);
  return [`by_axis = mt.lengths_by(lengths, ${along})`, ...made];
}

/** Writes the method for one generation step. */
export function stepText({ inputs }: Model, byAxis: boolean): readonly string[] {
  const names = inputs.map(({ name }) => variable(name));
  return [
    `def step(self, ${names.map((name) => `${name}: Tensor`).join(", ")}, caches: mt.Caches, ` +
      `lengths: Tensor | ${byAxis ? "dict[str, Tensor] | " : ""}None = None) -> Tensor | dict[str, Tensor]:`,
    '    """The result of tokens behind those that the caches have seen, by the causal rule."""',
    "    if caches is None:",
    '        raise ValueError("a step goes on with caches: mt.Caches() begins some")',
    `    return self(${names.join(", ")}, lengths=lengths, causal=True, caches=caches)`,
  ];
}

/** The defaults of live parameters. */
export const liveText = ({ live }: Model): readonly string[] =>
  live.length === 0
    ? []
    : [`live = {${live.map((l) => `"${l.name}": Fraction(${l.default.num}, ${l.default.den})`).join(", ")}}`, ""];

/** The run trains if inputs that only the objective takes are present; outside train mode such a call evaluates. */
export function runOf(objective: readonly string[], { live }: Model): string {
  const test = objectiveTest(objective);
  const training = objective.length > 0 ? `self.training and ${test}` : test;
  return `run = mt.Run(causal=causal, training=${training}, objective=${test}, observed=observed${
    live.length > 0 ? ", live=mt.lively(self.live, live)" : ""
  })`;
}

const objectiveTest = (inputs: readonly string[]): string =>
  inputs.length === 0 ? "False" : `${variable(inputs[0]!)} is not None`;

export function forwardDoc(variants: readonly Variant[], sequences: readonly InputSequence[]): string {
  const objective = variants.find(({ entry }) => entry === "objective");
  const causal = hasCausal(variants);
  return [
    "The result" +
      (objective ? ", or with what only the objective takes the losses by name, whose sum training minimises" : "") +
      ".",
    "",
    sequences.length > 1
      ? `- lengths: how many tokens each sequence has, i64[B], by axis: {"${sequences[0]!.name}": ...}; else all.`
      : "- lengths: how many tokens each sequence has, i64[B]; all, if not given. Tokens beyond are padding.",
    causal
      ? "- causal: whether each choice of tokens is made from the token alone, as when generating."
      : "- causal: the model has no causal rule: refused.",
    ...(hasCaches(variants, sequences) ? ["- caches: of the tokens before these; by the causal rule."] : []),
    "- observed: a dict that is filled with what the source observes, by path.",
    ...(variants[0]!.model.live.length > 0 ? ["- live: values of live parameters, by name."] : []),
  ].join("\n");
}

/**
 * Whether weights are parts of stored tensors. Then an export has each weight under its own path: the export's code
 * reads whole tensors.
 */
export const hasParts = ({ weights }: Pick<Model, "weights">): boolean =>
  weights.some(({ keys: [key] }) => key !== undefined && readPart(key) !== null);

/** Parameters whose module names differ from their checkpoint keys. */
export const keysOf = (model: Model, stacks: Stacks): Table =>
  hasParts(model) ? pathsOf(model, stacks) : tableOf(model, stacks, ({ path, keys }) => keys[0] ?? path);

/** The external name of each parameter; for a stack of experts, one name for each expert. */
export type Table = Readonly<Record<string, string | readonly string[]>>;

function tableOf({ weights }: Model, stacks: Stacks, called: (weight: ModelWeight) => string): Table {
  const byPath = new Map(weights.map((weight) => [weight.path, weight]));
  const entries = new Map<string, string | readonly string[]>();
  for (const weight of weights) {
    const name = attributePath(stacks.placeOf(weight.path));
    if (stacks.of(weight.path) === null) {
      if (called(weight) !== name) entries.set(name, called(weight));
    } else if (!entries.has(name))
      entries.set(
        name,
        stacks.allOf(weight.path).map((path) => called(byPath.get(path)!)),
      );
  }
  return Object.fromEntries(entries);
}

/** modc's paths for parameters that were renamed because Python or nn.Module reserves the name. */
export const pathsOf = (model: Model, stacks: Stacks): Table => tableOf(model, stacks, ({ path }) => path);

/** Initializes the weights of all blocks, also after construction on the meta device. */
export const INIT_WEIGHTS: readonly string[] = [
  "def init_weights(self) -> None:",
  '    """Draws all weights anew from the distributions of the source, also after `to_empty`."""',
  "    for module in self.modules():",
  '        if hasattr(module, "reset_parameters"):',
  "            module.reset_parameters()",
];

export const loadText = (name: string): readonly string[] => [
  'def load(folder: str | Path, device: torch.device | str = "cpu") -> ' + name + ":",
  '    """The module with the weights of the folder\'s `model.safetensors`."""',
  `    model = ${name}()`,
  "    model.load_state_dict(read_weights(folder))",
  "    return model.to(device)",
];

/** The method that training calls after the optimizer's step. */
export const UPDATE_STATES: readonly string[] = [
  "def update_states(self, moves: bool = True) -> None:",
  '    """Moves states by what was counted since the last call, on all ranks: behind the optimizer\'s step.',
  "",
  "    - moves: whether they move; a step that is thrown away only counts anew.",
  '    """',
  "    mt.update_states(self, moves)",
];

/** Refuses negative targets at run time if the source type has no negative targets. */
export function unsigned(variants: readonly Variant[], sequences: readonly InputSequence[]): readonly string[] {
  const objective = variants.find(({ entry }) => entry === "objective");
  const inputs = objective ? textInputsOf(objective.model) : null;
  const targets = objective?.model.inputs.find(({ name }) => name === inputs?.targets);
  if (!objective || !inputs || !targets || inputs.signed) return [];
  const along = sequenceAt(objective.model, targets.type.shape[1]);
  const axis = along === null ? undefined : axisVariables(sequences, objective.model).get(along);
  return axis === undefined ? [] : [`mt.expect_targets(${variable(targets.name)}, ${axis})`];
}
