// Writes `modeling_*.py`: the classes of `--to torch`, and the model as a transformers class.
import type { LiveParameter } from "../../../language/check/model/model.js";
import type { Parts } from "../classes.js";
import { laidOut } from "../layout.js";
import type { Argument } from "../root-text.js";
import { docstring, indented, modulePieces, type ModulePieces } from "../module-text.js";
import { ExportError } from "../refused.js";
import { inputsOf } from "../call-inputs.js";
import { axesText, runOf } from "../root-text.js";
import { fileName, type SourceNotes } from "../source-notes.js";
import type { Variant } from "../variants.js";
import { argumentText } from "./configuration-text.js";
import { configNames, isOfModel, type ConfigNames, type Fact, type FolderNames } from "./names.js";

export interface ModelingOptions {
  readonly names: FolderNames;
  readonly parts: Parts;
  readonly variants: readonly Variant[];
  readonly notes: SourceNotes;
  /** Why labels are refused; null if labels are accepted. */
  readonly noLabels: string | null;
  /** The facts that transformers expects in the configuration, given the names of its arguments. */
  facts(known: ReadonlySet<string>): readonly Fact[];
}

export interface Modeling {
  readonly text: string;
  /** The configuration's arguments, their names there, and the facts. */
  readonly arguments: readonly Argument[];
  readonly called: ConfigNames;
  readonly facts: readonly Fact[];
}

/** Names that block classes must not have, because the file uses them. */
const OF_FILE = ["CausalLM"];

/** Throws ExportError. */
export function modelingText(options: ModelingOptions): Modeling {
  const { names, parts, variants, notes } = options;
  const pieces = modulePieces({ parts, variants, notes, reserved: [...OF_FILE, names.config, names.model] });
  const { model } = variants[0]!;
  expectFree(parts);
  const known = pieces.arguments.map(({ name }) => name);
  const facts = options.facts(new Set(known));
  const live = model.live.map(({ name }) => name);
  const called = configNames(known, live, facts);
  const lines = [...pieces.classes, "", "", ...modelClass(options, pieces, called)];
  const uses = (name: string): boolean => lines.some((line) => new RegExp(`\\b${name}\\b`).test(line));
  const head = [
    ...docstring(
      `${model.name} for Hugging Face's transformers, written by \`modc export --to hf\` from ${fileName(model)}.\n\n` +
        "Classes are the blocks of the source, whose lines stand above what became of them; parameters have\n" +
        "modc's names of weights, and shapes are those of whole sequences side by side: [batch, tokens, ...].",
    ),
    "",
    "from __future__ import annotations",
    "",
    ...(uses("math\\.") ? ["import math"] : []),
    ...(uses("Fraction") ? ["from fractions import Fraction"] : []),
    ...(uses("math\\.") || uses("Fraction") ? [""] : []),
    "import torch",
    ...(uses("F\\.") ? ["import torch.nn.functional as F"] : []),
    "from torch import Tensor, nn",
    "",
    "from . import modc_torch as mt",
    `from .${names.configuration} import ${names.config}`,
    // Older versions of transformers copy a module's file only if the modeling file imports a name from that module
    // directly.
    "from .modc_axes import Axis  # noqa: F401",
    "from .modc_caches import Caches  # noqa: F401",
    "from .modc_entries import Entries  # noqa: F401",
    "from .modc_hf import CausalLM",
    "from .modc_losses import keep  # noqa: F401",
    "from .modc_pairs import mass  # noqa: F401",
    "from .modc_recurrences import scan  # noqa: F401",
    "from .modc_torch import Run  # noqa: F401",
  ];
  const foot = ["", "", `${names.model}.register_for_auto_class("AutoModelForCausalLM")  # its code is saved with it`];
  return { text: `${laidOut([...head, ...lines, ...foot]).join("\n")}\n`, arguments: pieces.arguments, called, facts };
}

/** Blocks and weights of the model become attributes of a transformers class, so their names must not collide. */
function expectFree({ root }: Parts): void {
  const weights = root.kind.weights.flatMap((line) => /^self\.(\w+) = /.exec(line)?.[1] ?? []);
  const taken = [...root.children.map(({ attr }) => attr), ...weights].find(isOfModel);
  if (taken !== undefined)
    throw new ExportError(
      `a block or weight of the model called \`${taken}\` has no form as a model of Hugging Face yet`,
      "give it another name: transformers' models have something of this name",
    );
}

function modelClass(
  { names, parts, variants, notes, noLabels }: ModelingOptions,
  pieces: ModulePieces,
  called: ConfigNames,
): string[] {
  const { model } = variants[0]!;
  const { root } = parts;
  const doc = notes.docOfModel(root.instance.block, model);
  const has = (phase: string): boolean => variants.some((v) => v.entry === "objective" && v.phase === phase);
  const sequences = parts.sequences[0]!;
  const inputs = inputsOf(variants, sequences);
  const read = reader(pieces, called);
  return [
    `class ${names.model}(CausalLM):`,
    ...indented(docstring(doc)),
    "",
    ...indented([
      `config_class = ${names.config}`,
      ...(noLabels === null ? [] : [`no_labels = ${JSON.stringify(noLabels)}`]),
      ...(noLabels === null && !has("generate") ? ["causal_losses = False"] : []),
      ...liveText(model.live, called),
      "",
      `def __init__(self, config: ${names.config}) -> None:`,
      ...indented([
        ...pieces.init.map((line) => (line === "super().__init__()" ? "super().__init__(config)" : read(line))),
        "mt.name_paths(self)",
        "self.post_init()",
      ]),
    ]),
    ...pieces.resets.map(read),
    "",
    ...indented([
      `def compute(self, ${inputs.signature}) -> tuple[Tensor | None, dict[str, Tensor]]:`,
      ...indented([
        ...docstring(
          "Logits, and with targets the losses by name." +
            "\n\n- lengths: how many tokens each sequence has, i64[B]; all, if not given. Tokens beyond are padding." +
            "\n- causal: whether each choice of tokens is made from the token alone, as when generating." +
            "\n- caches: of the tokens before these; by the causal rule." +
            "\n- observed: a dict that is filled with what the source observes, by path.",
        ),
        runOf(inputs.objective, model),
        ...axesText(sequences, sequences[0] ?? null, () => pieces.most).map(read),
        ...withLogits(pieces.forward).map(read),
      ]),
    ]),
  ];
}

/** Rewrites reads of `args` to reads of `config`. */
function reader({ arguments: all }: ModulePieces, called: ConfigNames): (line: string) => string {
  const named = new Map(all.map((argument) => [argument.name, argument]));
  return (line) =>
    line.trimStart().startsWith("#")
      ? line
      : line.replaceAll(/\b(self\.)?args\.(\w+)/g, (text, self: string | undefined, name: string) => {
          const argument = named.get(name);
          return argument ? argumentText(self === undefined ? "config" : "self.config", argument, called) : text;
        });
}

const liveText = (live: readonly LiveParameter[], called: ConfigNames): readonly string[] =>
  live.length === 0
    ? []
    : [
        "",
        "@property",
        "def live(self) -> dict[str, Fraction]:",
        `    return {${live.map(({ name }) => `"${name}": mt.ratio(self.config.${called.live(name)})`).join(", ")}}`,
      ];

/**
 * Makes the statements return logits and losses. If the objective computes the logits, they are computed before the
 * losses. Otherwise the returned logits are None.
 */
export function withLogits(lines: readonly string[]): readonly string[] {
  const logitLines = logitsOf(lines);
  return (logitLines ?? lines).map((line) => {
    const [, indent, value] = /^(\s*)return (.*)$/.exec(line) ?? [];
    if (value === undefined || value.startsWith("logits, ")) return line;
    return value === "losses" || value.startsWith("{")
      ? `${indent}return None, ${value}`
      : `${indent}return ${value}, {}`;
  });
}

/**
 * Stores the forward result in a variable `logits` that the losses read too. Returns null if the losses do not use this
 * result.
 */
function logitsOf(lines: readonly string[]): readonly string[] | null {
  const start = lines.indexOf("if run.objective:");
  if (start < 0 || lines.some((line, i) => i !== start && line.includes("run.objective"))) return null;
  const length = lines.slice(start + 1).findIndex((line) => !line.startsWith(" "));
  const block = lines.slice(start + 1, start + 1 + length);
  const tail = lines.slice(start + 1 + length);
  const result = /^return (.*)$/.exec(tail.at(-1) ?? "")?.[1];
  const last = /^ {4}return (.*)$/.exec(block.at(-1) ?? "")?.[1];
  if (length < 0 || result === undefined || last === undefined) return null;
  const assigned = block.flatMap((line) => /^\s+([\w, ]+?) = /.exec(line)?.[1]?.split(", ") ?? []);
  const words = new Set(result.match(/\w+/g));
  const isTaken = lines.some((line) => !line.trimStart().startsWith("#") && /\blogits\b/.test(line));
  if (!tail.slice(0, -1).every((line) => line.startsWith("#")) || assigned.some((name) => words.has(name)) || isTaken)
    return null;
  if (!block.some((line) => line.includes(result)) || !block.every((line) => standsAlone(line, result))) return null;
  // A name needs no parentheses, except as the argument of a call.
  const named = (line: string): string =>
    line.replaceAll(result, "logits").replaceAll(/(?<![\w\])])\(logits\)/g, "logits");
  return [
    ...lines.slice(0, start),
    ...tail.slice(0, -1),
    `logits = ${result}`,
    "if run.objective:",
    ...block.slice(0, -1).map(named),
    `    return logits, ${named(last)}`,
    "return logits, {}",
  ];
}

/** Whether an expression is a whole argument at each of its occurrences in the line. */
const standsAlone = (line: string, expression: string): boolean =>
  line.split(expression).every((part, i, all) => {
    const [begins, ends] = [i > 0, i < all.length - 1];
    return (!begins || /^[,)\]}]/.test(part)) && (!ends || /(\(|, |: )$/.test(part));
  });
