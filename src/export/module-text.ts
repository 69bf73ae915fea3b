// The text of `model.py`: a class for each kind of block, the model's arguments, and how its weights are loaded.
import type { Model } from "../check/model.js";
import { filled, marksIn } from "./holes.js";
import { signaturesOf, type Child, type Kind, type Part, type Signature } from "./classes.js";
import { laidOut, paragraphs } from "./layout.js";
import { attribute, attributePath, Names, variable } from "./names.js";
import { sequenceAt } from "./outline.js";
import { refuse } from "./refused.js";
import type { SourceNotes } from "./source-notes.js";
import type { Variant } from "./variants.js";

export interface ModuleOptions {
  readonly root: Part;
  readonly kinds: readonly Kind[];
  readonly variants: readonly Variant[];
  readonly notes: SourceNotes;
}

export function moduleText(options: ModuleOptions): string {
  const writer = new ModuleWriter(options);
  return writer.write();
}

const indented = (lines: readonly string[], by = 4): string[] =>
  lines.map((line) => (line === "" ? "" : " ".repeat(by) + line));

/** A docstring; quotes and backslashes of the source do not end it. */
function docstring(text: string): string[] {
  const safe = text.replaceAll("\\", "\\\\").replaceAll('"""', '\\"\\"\\"');
  const lines = paragraphs(safe, 92);
  if (lines.length === 1 && !safe.endsWith('"')) return [`"""${safe}"""`];
  return [`"""${lines[0]!}`, ...lines.slice(1), '"""'];
}

class ModuleWriter {
  readonly #signatures: ReadonlyMap<Kind, Signature>;
  readonly #names = new Map<Kind, string>();

  constructor(private readonly options: ModuleOptions) {
    this.#signatures = signaturesOf(options.kinds);
    const names = new Names();
    this.#names.set(options.root.kind, names.fresh(options.root.instance.block));
    for (const kind of options.kinds) if (kind !== options.root.kind) this.#names.set(kind, names.fresh(kind.block));
  }

  write(): string {
    const { root, kinds } = this.options;
    const { model } = this.options.variants[0]!;
    const inner = kinds.filter((kind) => kind !== root.kind);
    const lines = [
      ...docstring(
        `${model.name}, written by \`modc export --to torch\` from ${model.file}.\n\n` +
          "Classes are the blocks of the source, whose lines stand above what became of them; parameters have\n" +
          "modc's names of weights, and shapes are those of whole sequences side by side: [batch, tokens, ...].",
      ),
      "",
      "from __future__ import annotations",
      "",
      "import json",
      "from fractions import Fraction",
      "from pathlib import Path",
      "",
      "import torch",
      "import torch.nn.functional as F",
      "from torch import Tensor, nn",
      "",
      "import modc_torch as mt",
      ...inner.flatMap((kind) => ["", "", ...this.#class(kind)]),
      "",
      "",
      ...this.#root(),
      "",
      "",
      ...LOAD(this.#names.get(root.kind)!),
      "",
    ];
    return laidOut(lines).join("\n");
  }

  #class(kind: Kind): readonly string[] {
    const { names } = this.#signatures.get(kind)!;
    const note = this.options.notes.block(kind.block);
    const doc = [note?.doc, note ? `Source: ${note.place}.` : null].flatMap((text) => text ?? []).join("\n\n");
    const parameters = names.map((name) => `, ${variable(name)}`).join("");
    return [
      `class ${this.#names.get(kind)!}(nn.Module):`,
      ...indented(docstring(doc)),
      "",
      ...indented([`def __init__(self${parameters}) -> None:`, ...indented(this.#init(kind))]),
      ...this.#resets(kind),
      ...(kind.forward.length === 0
        ? []
        : [
            "",
            ...indented([
              `def forward(${["self", ...kind.parameters].join(", ")}) -> ${kind.result}:`,
              ...indented(this.#texts(kind, kind.forward)),
            ]),
          ]),
    ];
  }

  #init(kind: Kind): readonly string[] {
    const { of } = this.#signatures.get(kind)!;
    const text = this.#texts(kind, kind.weights, variable);
    const kept = [...kind.resets, ...kind.forward].flatMap((line) => marksIn(line).flatMap((hole) => of[hole] ?? []));
    const stored = [...new Set(kept)].map((name) => `self.${attribute(name)} = ${variable(name)}`);
    return [
      "super().__init__()",
      ...stored,
      ...text,
      ...this.#children(kind),
      ...(kind.resets.length > 0 ? ["self.reset_parameters()"] : []),
    ];
  }

  #resets(kind: Kind): readonly string[] {
    if (kind.resets.length === 0) return [];
    return ["", ...indented(["def reset_parameters(self) -> None:", ...indented(this.#texts(kind, kind.resets))])];
  }

  /** Marks become parameters of the class, kept where methods read them, or numbers. */
  #texts(kind: Kind, lines: readonly string[], named = (name: string) => `self.${attribute(name)}`): readonly string[] {
    const { of } = this.#signatures.get(kind)!;
    const { holes } = kind.parts[0]!;
    return lines.map((line) => filled(line, (hole) => (of[hole] === null ? holes[hole]!.text : named(of[hole]!))));
  }

  #children(kind: Kind): readonly string[] {
    const { children } = kind.parts[0]!;
    const groups = new Map<string, Child[]>();
    for (const child of children) groups.set(child.attr, [...(groups.get(child.attr) ?? []), child]);
    return [...groups].flatMap(([attr, group]) => {
      const made = group.map((child) => this.#made(kind, child));
      if (group[0]!.index === null) return [`self.${attr} = ${made[0]!}`];
      const [first, ...rest] = listOf(made);
      return [`self.${attr} = ${first!}`, ...rest];
    });
  }

  /** The call that makes an inner block. */
  #made(kind: Kind, { part, from }: Child): string {
    const signature = this.#signatures.get(part.kind)!;
    const own = this.#signatures.get(kind)!;
    const args = signature.names.map((name) => {
      const hole = signature.of.indexOf(name);
      const outer = own.of[from + hole] ?? null;
      return `${variable(name)}=${outer === null ? part.holes[hole]!.text : variable(outer)}`;
    });
    return `${this.#names.get(part.kind)!}(${args.join(", ")})`;
  }

  #root(): readonly string[] {
    const { root, variants } = this.options;
    const { kind } = root;
    const note = this.options.notes.block(root.instance.block);
    const { model } = variants[0]!;
    const parameters = model.parameters.map(({ name, value }) => `${name} = ${value}`).join(", ");
    const doc = [
      ...(note === null || note.doc === null ? [] : [note.doc]),
      ...(parameters === "" ? [] : [`Exported with ${parameters}.`]),
      ...(note ? [`Source: ${note.place}.`] : []),
    ].join("\n\n");
    const inputs = inputsOf(variants);
    const along = sequenceInput(model);
    return [
      `class ${this.#names.get(kind)!}(nn.Module):`,
      ...indented(docstring(doc)),
      "",
      ...indented(["def __init__(self) -> None:", ...indented([...this.#init(kind), "mt.name_paths(self)"])]),
      ...this.#resets(kind),
      ...indented([
        "",
        `def forward(self, ${inputs.signature}) -> Tensor | dict[str, Tensor]:`,
        ...indented([
          ...docstring(forwardDoc(variants)),
          ...(variants.some(({ phase }) => phase === "generate")
            ? []
            : ["if causal:", '    raise ValueError("the model has no causal rule")']),
          runOf(inputs.objective),
          ...(along === null ? [] : [`axis = mt.rows(${variable(along)}, lengths)`]),
          ...this.#texts(kind, kind.forward),
        ]),
      ]),
    ];
  }
}

/** It trains where it has what only the objective takes; without a train mode it evaluates. */
function runOf(objective: readonly string[]): string {
  const test = objectiveTest(objective);
  const training = objective.length > 0 ? `self.training and ${test}` : test;
  return `run = mt.Run(causal=causal, training=${training}, objective=${test}, observed=observed)`;
}

const objectiveTest = (inputs: readonly string[]): string =>
  inputs.length === 0 ? "False" : `${variable(inputs[0]!)} is not None`;

function forwardDoc(variants: readonly Variant[]): string {
  const objective = variants.find(({ entry }) => entry === "objective");
  const causal = variants.some(({ phase }) => phase === "generate");
  return [
    "The result" +
      (objective ? ", or with what only the objective takes the losses by name, whose sum training minimises" : "") +
      ".",
    "",
    "- lengths: how many tokens each sequence has, i64[B]; all, if not given. Tokens beyond are padding.",
    causal
      ? "- causal: whether each choice of tokens is made from the token alone, as when generating."
      : "- causal: the model has no causal rule: refused.",
    "- observed: a dict that is filled with what the source observes, by path.",
  ].join("\n");
}

/** An input whose second dimension is the model's sequence; null where it has none. */
function sequenceInput(model: Model): string | null {
  const axes = model.axes.filter((axis) => axis.role === "sequence" && axis.count.kind === "input");
  if (axes.length > 1) refuse(`a model of the sequences ${axes.map(({ name }) => name).join(" and ")}`, "");
  if (axes.length === 0) return null;
  const found = model.inputs.find(({ type }) => sequenceAt(model, type.shape[1]) !== null);
  return found?.name ?? refuse("a sequence that is not the second dimension of an input", "");
}

/** The inputs of forward and objective: those that only the objective takes may be left out. */
function inputsOf(variants: readonly Variant[]): {
  readonly objective: readonly string[];
  readonly signature: string;
} {
  const namesOf = (model: Model | undefined): readonly string[] => model?.inputs.map(({ name }) => name) ?? [];
  const forward = namesOf(variants.find(({ entry }) => entry === "forward")?.model);
  const all = namesOf(variants.find(({ entry }) => entry === "objective")?.model);
  const own = all.filter((name) => !forward.includes(name));
  const versions = variants.filter(({ entry }) => entry === "objective");
  if (versions.length > 0 && (own.length === 0 || forward.some((name) => !all.includes(name))))
    refuse("an objective that does not take the inputs of forward and others", "");
  const signature = [
    ...forward.map((name) => `${variable(name)}: Tensor`),
    ...own.map((name) => `${variable(name)}: Tensor | None = None`),
    "lengths: Tensor | None = None",
    "causal: bool = False",
    "observed: dict | None = None",
  ].join(", ");
  return { objective: own, signature };
}

/** A list of inner blocks: a comprehension where they repeat. */
function listOf(made: readonly string[]): readonly string[] {
  const all = (period: number): boolean => made.every((text, i) => text === made[i % period]);
  const [first, second] = made;
  if (made.length > 1 && all(1)) return [`nn.ModuleList([${first!} for _ in range(${made.length})])`];
  if (made.length > 2 && all(2))
    return [
      "nn.ModuleList([",
      ...indented([`${second!} if i % 2 == 1`, `else ${first!}`, `for i in range(${made.length})`]),
      "])",
    ];
  return ["nn.ModuleList([", ...indented(made.map((text) => `${text},`)), "])"];
}

/** Parameters whose names in the module are not their keys in checkpoints. */
export const keysOf = (model: Model): Readonly<Record<string, string>> =>
  Object.fromEntries(
    model.weights.flatMap(({ path, keys }) => {
      const [name, key] = [attributePath(path), keys[0] ?? path];
      return name === key ? [] : [[name, key]];
    }),
  );

const LOAD = (name: string): readonly string[] => [
  'def load(folder: str | Path, device: torch.device | str = "cpu") -> ' + name + ":",
  '    """The module with the weights of the folder\'s `model.safetensors`."""',
  "    folder = Path(folder)",
  '    names = folder / "keys.json"',
  "    keys = json.loads(names.read_text()) if names.exists() else {}",
  '    stored = mt.read_safetensors(folder / "model.safetensors")',
  `    model = ${name}()`,
  "    model.load_state_dict({key: stored[keys.get(key, key)].float() for key in model.state_dict()})",
  "    return model.to(device)",
];
