// Writes `model.py`: one class for each kind of block, the model's arguments, and the functions that load weights.
import { cachedSequence, hasCausal } from "./caches.js";
import { inputsOf } from "./call-inputs.js";
import { filled, marksIn } from "./text.js";
import { signaturesOf, type Child, type Kind, type Parts, type Signature } from "./classes.js";
import { laidOut, paragraphs } from "./layout.js";
import { familyList, type FamilyList } from "./family-lists.js";
import { listOf, nestedList, periodOf } from "./lists.js";
import { attribute, Names, variable } from "./names.js";
import { nativeText } from "./native.js";
import {
  argumentsOf,
  argumentsText,
  axesText,
  type Argument,
  boundName,
  derivedOf,
  forwardDoc,
  INIT_WEIGHTS,
  liveText,
  loadText,
  runOf,
  stepText,
  testOf,
  unsigned,
  UPDATE_STATES,
} from "./root-text.js";
import type { InputSequence } from "./sequences.js";
import { fileName, type SourceNotes } from "./source-notes.js";
import type { Variant } from "./variants.js";

export interface ModuleOptions {
  readonly parts: Parts;
  readonly variants: readonly Variant[];
  readonly notes: SourceNotes;
  /** Names that block classes must not have, because the file uses them. */
  readonly reserved?: readonly string[];
}

/** Pieces for another module that wraps the same blocks. */
export interface ModulePieces {
  readonly arguments: readonly Argument[];
  /** Classes of inner blocks, each preceded by two empty lines. */
  readonly classes: readonly string[];
  /** Statements of the model's constructor. The first is `super().__init__()`; the rest read `args`. */
  readonly init: readonly string[];
  /** The method `reset_parameters`, preceded by an empty line, if the model itself has weights. */
  readonly resets: readonly string[];
  /** Statements after `run = …` and `axis = …`; they read `self.args`. */
  readonly forward: readonly string[];
  /** The greatest number of tokens in a sequence, as an expression. */
  readonly most: string | null;
}

/** Pieces for the class of a pipeline stage. */
export interface StagePieces {
  /** Statements after `run = …` and `axis = …`; they read `self.args`. */
  readonly lines: readonly string[];
  /** The last dimensions of the tensor passed from stage to stage. */
  readonly width: readonly string[];
  /** The greatest number of tokens in a sequence, as an expression. */
  readonly most: string | null;
}

export const moduleText = (options: ModuleOptions): string => new ModuleWriter(options).write();

export const modulePieces = (options: ModuleOptions): ModulePieces => new ModuleWriter(options).pieces();

export const stagePieces = (options: ModuleOptions): StagePieces => new ModuleWriter(options).stages();

export const indented = (lines: readonly string[], by = 4): string[] =>
  lines.map((line) => (line === "" ? "" : " ".repeat(by) + line));

/** Writes a docstring; escapes quotes and backslashes from the source. */
export function docstring(text: string): string[] {
  const safe = text.replaceAll("\\", "\\\\").replaceAll('"""', '\\"\\"\\"');
  const lines = paragraphs(safe, 92);
  if (lines.length === 1 && !safe.endsWith('"')) return [`"""${safe}"""`];
  return [`"""${lines[0]!}`, ...lines.slice(1), '"""'];
}

/** The lines of all methods. */
const linesOf = ({ methods }: Kind): readonly string[] => methods.flatMap(({ lines }) => lines);

class ModuleWriter {
  readonly #signatures: ReadonlyMap<Kind, Signature>;
  readonly #names = new Map<Kind, string>();

  constructor(private readonly options: ModuleOptions) {
    const { root, kinds } = options.parts;
    this.#signatures = signaturesOf(kinds, root.kind);
    const names = new Names();
    for (const name of options.reserved ?? []) names.fresh(name);
    this.#names.set(root.kind, names.fresh(root.instance.block));
    names.fresh(this.#argsName);
    const natives = new Map<string, string>();
    for (const kind of kinds) {
      if (kind === root.kind) continue;
      const name =
        (kind.native && natives.get(kind.block)) ?? names.fresh(kind.stacked ? `${kind.block}Experts` : kind.block);
      if (kind.native) natives.set(kind.block, name);
      this.#names.set(kind, name);
    }
  }

  get #argsName(): string {
    return `${this.options.parts.root.instance.block}Args`;
  }

  write(): string {
    const { root, kinds } = this.options.parts;
    const { model } = this.options.variants[0]!;
    const lines = [
      ...docstring(
        `${model.name}, written by \`modc export --to torch\` from ${fileName(model)}.\n\n` +
          "Classes are the blocks of the source, whose lines stand above what became of them; parameters have\n" +
          "modc's names of weights, and shapes are those of whole sequences side by side: [batch, tokens, ...].",
      ),
      "",
      "from __future__ import annotations",
      "",
      ...(kinds.some((kind) => linesOf(kind).some((line) => /\bmath\./.test(line))) ? ["import math"] : []),
      "from dataclasses import dataclass",
      "from fractions import Fraction",
      "from pathlib import Path",
      "",
      "import torch",
      "import torch.nn.functional as F",
      "from torch import Tensor, nn",
      "",
      "import modc_torch as mt",
      "from modc_files import read_weights",
      "",
      "",
      ...argumentsText(this.#argsName, this.#arguments(true)),
      ...this.#classes(),
      "",
      "",
      ...this.#root(),
      "",
      "",
      ...loadText(this.#names.get(root.kind)!),
      "",
    ];
    return laidOut(lines).join("\n");
  }

  pieces(): ModulePieces {
    const { kind } = this.options.parts.root;
    const [first] = this.#sequences;
    return {
      arguments: this.#arguments(false),
      classes: this.#classes(),
      init: this.#init(kind),
      resets: this.#resets(kind),
      forward: this.#texts(kind, linesOf(kind)),
      most: first ? this.#most(first) : null,
    };
  }

  stages(): StagePieces {
    const { kind } = this.options.parts.root;
    const { lines, width } = kind.stages!; // requested if the model has stages
    const [first] = this.#sequences;
    return { lines: this.#texts(kind, lines), width: this.#texts(kind, width), most: first ? this.#most(first) : null };
  }

  /** The input sequences of the exported model. */
  get #sequences(): readonly InputSequence[] {
    return this.options.parts.sequences[0]!;
  }

  /** The greatest number of tokens in a sequence, if bounded. */
  #most(sequence: InputSequence): string | null {
    const longest = boundName(this.options.parts, sequence);
    if (longest !== null) return `self.args.${variable(longest)}`;
    return sequence.bound === null ? null : String(sequence.bound);
  }

  #classes(): readonly string[] {
    const { root, kinds } = this.options.parts;
    const inner = kinds.filter((kind, i) => kind !== root.kind && this.#firstOf(kind, kinds) === i);
    return inner.flatMap((kind) => ["", "", ...this.#class(kind)]);
  }

  /**
   * The first kind with the same class name. Kinds for one PyTorch module share a class whether they have a bias or
   * not.
   */
  #firstOf(kind: Kind, kinds: readonly Kind[]): number {
    return kinds.findIndex((other) => this.#names.get(other) === this.#names.get(kind));
  }

  /** `hasFormulas`: whether numbers computed from other arguments are left out of the fields. */
  #arguments(hasFormulas: boolean): readonly Argument[] {
    const { parts, variants } = this.options;
    const { kind, holes, children } = parts.root;
    const { names, of } = this.#signatures.get(kind)!;
    const numbers = names.map((name) => ({ name: variable(name), value: holes[of.indexOf(name)]!.text }));
    const lists = [...new Set(children.flatMap(({ attr, index }) => (index.length === 0 ? [] : attr)))].flatMap(
      (attr) => {
        const members = children.filter((child) => child.attr === attr);
        const { length: name, period: found } = this.#listOf(kind, attr, members);
        const period = found?.period;
        return [
          ...(name === null ? [] : [{ name: variable(name), value: members.length }]),
          ...(typeof period !== "string"
            ? []
            : [{ name: variable(period), value: Number(parts.root.instance.numbers.get(period)!.num) }]),
        ];
      },
    );
    const longest = this.#sequences.flatMap((sequence) => {
      const name = boundName(parts, sequence);
      return name === null ? [] : [[variable(name), sequence.bound!] as const];
    });
    const derived = derivedOf(kind.parts, this.#signatures.get(kind)!, hasFormulas);
    return argumentsOf(variants[0]!.model, numbers, lists, new Map(longest), derived);
  }

  #class(kind: Kind): readonly string[] {
    const { names } = this.#signatures.get(kind)!;
    const note = this.options.notes.block(kind.block);
    const stacked = kind.stacked
      ? "All experts of a list at once: their weights have the expert as first dimension."
      : null;
    const doc = [note?.doc, stacked, note ? `Source: ${note.place}.` : null].flatMap((text) => text ?? []).join("\n\n");
    if (kind.native) {
      const alike = this.options.parts.kinds.filter((other) => this.#names.get(other) === this.#names.get(kind));
      return nativeText(this.#names.get(kind)!, kind.native, docstring(doc), alike);
    }
    const parameters = names.map((name) => `, ${variable(name)}: ${this.#typeOf(kind, name)}`).join("");
    return [
      `class ${this.#names.get(kind)!}(nn.Module):`,
      ...indented(docstring(doc)),
      "",
      ...indented([`def __init__(self${parameters}) -> None:`, ...indented(this.#init(kind))]),
      ...this.#resets(kind),
      ...kind.methods.flatMap(({ name, parameters, result, lines }) => [
        "",
        ...indented([
          `def ${name}(${["self", ...parameters].join(", ")}) -> ${result}:`,
          ...indented(this.#texts(kind, lines)),
        ]),
      ]),
    ];
  }

  /** The type of a class parameter. In an expression a float may happen to have an integer value. */
  #typeOf(kind: Kind, name: string): string {
    const { of } = this.#signatures.get(kind)!;
    const holes = kind.parts.map(({ holes }) => holes[of.indexOf(name)]!);
    if (holes.some(({ text }) => text.startsWith("Fraction"))) return "Fraction";
    return holes.every(({ text, hint }) => /^-?\d+$/.test(text) && hint !== "value") ? "int" : "float";
  }

  #init(kind: Kind): readonly string[] {
    const { of } = this.#signatures.get(kind)!;
    const isRoot = kind === this.options.parts.root.kind;
    const kept = isRoot
      ? []
      : [...kind.resets, ...linesOf(kind)].flatMap((line) => marksIn(line).flatMap((hole) => of[hole] ?? []));
    const stored = [...new Set(kept)].map((name) => `self.${attribute(name)} = ${variable(name)}`);
    return [
      "super().__init__()",
      ...stored,
      ...this.#texts(kind, kind.weights, this.#inInit(kind)),
      ...this.#children(kind),
      ...(kind.resets.length > 0 ? ["self.reset_parameters()"] : []),
    ];
  }

  #resets(kind: Kind): readonly string[] {
    if (kind.resets.length === 0) return [];
    return ["", ...indented(["def reset_parameters(self) -> None:", ...indented(this.#texts(kind, kind.resets))])];
  }

  /** How the constructor refers to a parameter. */
  #inInit(kind: Kind): (name: string) => string {
    return kind === this.options.parts.root.kind ? (name) => `args.${variable(name)}` : variable;
  }

  /** Replaces marks by numbers or by class parameters, read from where the methods find them. */
  #texts(kind: Kind, lines: readonly string[], named?: (name: string) => string): readonly string[] {
    const isRoot = kind === this.options.parts.root.kind;
    const read = named ?? ((name: string) => (isRoot ? `self.args.${variable(name)}` : `self.${attribute(name)}`));
    const { of } = this.#signatures.get(kind)!;
    const { holes } = kind.parts[0]!;
    return lines.map((line) => filled(line, (hole) => (of[hole] === null ? holes[hole]!.text : read(of[hole]!))));
  }

  #children(kind: Kind): readonly string[] {
    const { children } = kind.parts[0]!;
    const groups = new Map<string, Child[]>();
    for (const child of children) groups.set(child.attr, [...(groups.get(child.attr) ?? []), child]);
    return [...groups].flatMap(([attr, group]) => {
      const made = group.map((child) => this.#made(kind, child));
      if (group[0]!.index.length === 0) return [`self.${attr} = ${made[0]!}`];
      if (group.some(({ index }) => index.length > 1)) {
        const [first, ...rest] = nestedList(group.map(({ index }, i) => ({ index, text: made[i]! })));
        return [`self.${attr} = ${first!}`, ...rest];
      }
      const { length, period } = this.#listOf(kind, attr, group);
      const test = testOf(period, kind.parts[0]!);
      const [first, ...rest] = listOf(made, length === null ? null : `args.${variable(length)}`, test);
      return [`self.${attr} = ${first!}`, ...rest];
    });
  }

  /** The period of a list's members, and the parameter that equals the list's length. */
  #listOf(kind: Kind, attr: string, group: readonly Child[]): FamilyList {
    const { parts } = this.options;
    const made = group.map((child) => this.#made(kind, child));
    return kind === parts.root.kind
      ? familyList(parts, this.#signatures.get(kind)!, attr, made)
      : { period: periodOf([{ kinds: made, numbers: new Map() }]), length: null };
  }

  /** The constructor call of an inner block. */
  #made(kind: Kind, { part, from }: Child): string {
    const signature = this.#signatures.get(part.kind)!;
    const own = this.#signatures.get(kind)!;
    const named = this.#inInit(kind);
    const args = signature.names.map((name) => {
      const hole = signature.of.indexOf(name);
      const outer = own.of[from + hole] ?? null;
      return `${variable(name)}=${outer === null ? part.holes[hole]!.text : named(outer)}`;
    });
    if (part.kind.native?.biased && part.kind.weights.length > 1) args.push("bias=True");
    return `${this.#names.get(part.kind)!}(${args.join(", ")})`;
  }

  #root(): readonly string[] {
    const { parts, variants } = this.options;
    const { root } = parts;
    const { kind } = root;
    const { model } = variants[0]!;
    const doc = this.options.notes.docOfModel(root.instance.block, model);
    const sequences = this.#sequences;
    const inputs = inputsOf(variants, sequences);
    const causal = hasCausal(variants);
    const cached = cachedSequence(variants, sequences);
    const caches = cached !== null;
    return [
      `class ${this.#names.get(kind)!}(nn.Module):`,
      ...indented(docstring(doc)),
      "",
      ...indented([
        ...liveText(model),
        `def __init__(self, args: ${this.#argsName} | None = None) -> None:`,
        ...indented([
          ...this.#init(kind).flatMap((line, i) =>
            i === 0 ? [line, `self.args = args = args or ${this.#argsName}()`] : [line],
          ),
          "mt.name_paths(self)",
        ]),
      ]),
      ...this.#resets(kind),
      "",
      ...indented(INIT_WEIGHTS),
      ...indented([
        "",
        `def forward(self, ${inputs.signature}) -> Tensor | dict[str, Tensor]:`,
        ...indented([
          ...docstring(forwardDoc(variants, sequences)),
          ...(causal ? [] : ["if causal:", '    raise ValueError("the model has no causal rule")']),
          ...(caches
            ? ["if caches is not None and not causal:", '    raise ValueError("caches are of the causal rule")']
            : []),
          ...inputs.checks,
          runOf(inputs.objective, model),
          ...axesText(sequences, cached, (sequence) => this.#most(sequence)),
          ...unsigned(variants, sequences),
          ...this.#texts(kind, linesOf(kind)),
        ]),
        ...(caches && sequences.length > 0 ? ["", ...stepText(model, sequences.length > 1)] : []),
        ...(variants.some(({ updates }) => updates.size > 0) ? ["", ...UPDATE_STATES] : []),
      ]),
    ];
  }
}
