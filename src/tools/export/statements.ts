// Writes a statement for each operation of a function, and manages the names that the statements use.
import type { Value } from "../../language/check/model/model.js";
import { isChoice } from "../../language/check/model/types.js";
import { expertProduct, ownWeight, sortingText } from "./entry-ops.js";
import type { Stacks } from "./experts.js";
import { pythonNumber, type Holes, tuple, type Scope, type Text } from "./text.js";
import { Names, reached } from "./names.js";
import {
  axisMade,
  axisOfTokens,
  axisSorted,
  below,
  isOfExperts,
  isWithin,
  pathOfWeight,
  sequenceAt,
  type Body,
} from "./outline.js";
import { refuse } from "./refused.js";
import type { InputSequence } from "./sequences.js";
import type { SourceNotes } from "./source-notes.js";
import type { Updates } from "./tallies.js";
import { expression, lossAxis } from "./torch-ops.js";
import type { NeedsOf, Variant } from "./variants.js";

export interface BodyOptions {
  readonly variant: Variant;
  readonly notes: SourceNotes;
  readonly holes: Holes;
  readonly needs: NeedsOf;
  readonly stacks: Stacks;
  /** The input sequences of all versions. */
  readonly sequences: readonly InputSequence[];
  /** The method name for a call. */
  readonly methodOf: (call: string) => string;
  /** The block's name in the source. */
  readonly block: string;
  /** For the method that computes states after a step: the updates. */
  readonly updates?: Updates;
  /** Names that other versions of the block chose for the same values. */
  readonly naming?: Naming;
  /** For a pipeline stage: the value that enters as `x`, and the value left in `x` at the end. */
  readonly stage?: { readonly given: Value; readonly made: Value | null };
}

/** Expressions longer than this are assigned to a variable instead of being inlined. */
export const LONGEST = 76;
/** The limit for expressions that have a name in the source. */
const LONGEST_NAMED = 40;
/** Default variable names for values without a name in the source. */
const CALLED: Partial<Record<Value["op"], string>> = {
  top: "chosen",
  above: "chosen",
  those: "chosen",
  attention: "seen",
  take: "rows",
  put: "x",
  mask: "mask",
  cross_entropy: "loss",
  log_probability: "logs",
  bce: "loss",
};

/** The number of uses of each value: as an operand, as a result, and as a recorded value. */
export function usesIn(body: Body, variant: Variant): ReadonlyMap<Value, number> {
  const read = body.items.flatMap((item) => (item.value ? item.value.inputs : item.body.ins));
  const recorded = (variant.records.get(body.path) ?? []).map(({ value }) => value);
  const uses = new Map<Value, number>();
  for (const value of [...read, ...body.outs, ...recorded]) uses.set(value, (uses.get(value) ?? 0) + 1);
  return uses;
}

export class Statements {
  protected readonly names = new Names();
  protected readonly texts = new Map<Value, Text>();
  protected readonly axes = new Map<string, string>();
  /** Names for blocks and weights outside the function's own block, by path. */
  protected readonly foreign = new Map<string, string>();
  protected readonly lines: string[] = [];
  protected readonly uses: ReadonlyMap<Value, number>;
  /** The last reader of each value. */
  readonly #user = new Map<Value, Value>();
  /** Names that other versions use for values still to come. */
  readonly #others: ReadonlySet<string>;
  #noted = "";
  #current: Value | null = null;

  constructor(
    protected readonly body: Body,
    protected readonly options: BodyOptions,
  ) {
    for (const { value } of body.items) for (const input of value?.inputs ?? []) this.#user.set(input, value!);
    this.uses = usesIn(body, options.variant);
    this.#others = options.naming?.namesIn(body) ?? new Set();
  }

  /** Whether a value is used once, and never more often in another version; such a value needs no variable. */
  protected isUsedOnce(value: Value): boolean {
    return this.uses.get(value) === 1 && (this.options.naming?.usesOf(value) ?? 1) <= 1;
  }

  /** A free name: if possible, the name chosen by another version. */
  protected nameFor(value: Value, wanted: string): string {
    const { naming } = this.options;
    const known = naming?.nameOf(value);
    const name =
      known !== undefined && !this.names.has(known)
        ? this.names.take(known)
        : this.names.fresh(wanted, undefined, this.#others);
    naming?.call(value, name);
    return name;
  }

  protected value(value: Value): void {
    this.#current = value;
    const scope = this.#scope(value);
    const tallied = this.options.updates ? undefined : this.options.variant.tallies.get(value);
    if (tallied !== undefined) this.#tally(value, tallied, scope);
    if (tallied !== undefined && !this.uses.has(value)) return;
    const sorted = axisSorted(value);
    if (sorted !== null && !this.axes.has(sorted)) this.#sort(value, sorted, scope);
    const text = expertProduct(value, scope, (v) => this.#entriesOf(v)) ?? expression(value, scope);
    const tokens = axisOfTokens(value);
    if (tokens !== null) {
      this.note(value);
      const name = this.names.fresh(this.#assignedName(value) ?? "rows");
      const along = this.axes.get(tokens) ?? this.names.fresh(`${name}_axis`);
      this.axes.set(tokens, along);
      this.lines.push(`${name}, ${along} = ${text.text}`);
      this.texts.set(value, { text: name, tight: true });
      return;
    }
    const axes = axisMade(value);
    const assigned = this.#assignedName(value);
    const longest = assigned === null ? LONGEST : LONGEST_NAMED;
    if (axes.length === 0 && this.isUsedOnce(value) && text.text.length <= longest) {
      this.texts.set(value, text);
      return;
    }
    this.note(value);
    const name = this.#named(value, assigned ?? CALLED[value.op] ?? "h");
    this.lines.push(`${name} = ${text.text}`);
    this.texts.set(value, { text: name, tight: true });
    for (const axis of axes) this.axes.set(axis, `${name}.axis`);
  }

  #scope(value: Value): Scope {
    const expertText = (v: Value, text: (v: Value) => string): string =>
      isOfExperts(v) && value.op !== "matmul" ? ownWeight(text(v), value, this.#entriesOf(value)) : text(v);
    return {
      model: this.options.variant.model,
      holes: this.options.holes,
      tight: (v) => expertText(v, (w) => this.tight(w)),
      loose: (v) => expertText(v, (w) => this.loose(w)),
      given: this.#given(),
      axis: (name) => this.axis(name),
    };
  }

  #given(): string | null {
    const { body, options } = this;
    const read = body.path === "" ? options.variant.model.inputs.map(({ value }) => value) : body.ins;
    const tensor = read.find((x) => !isChoice(x) && this.texts.has(x));
    return tensor === undefined ? null : this.tight(tensor);
  }

  /** The sorted entries along whose axis a value has its rows. */
  #entriesOf(value: Value): string {
    return this.axis(sequenceAt(this.options.variant.model, value.type.shape[1])!);
  }

  /** Sorts the entries of a selection by expert. */
  #sort(value: Value, axis: string, scope: Scope): void {
    const sorting = value as Value<"sort_rows">; // the first operation along a sorted axis is the sort
    const along = this.axis(sequenceAt(scope.model, sorting.inputs[1]!.type.shape[1])!);
    const name = this.names.fresh("entries");
    this.note(value);
    this.lines.push(`${name} = ${sortingText(sorting, along, scope)}`);
    this.axes.set(axis, name);
  }

  /** The source's name for this value; null if the expression only begins a longer expression. */
  #assignedName(value: Value): string | null {
    const user = this.#user.get(value);
    const begins = user?.span.file === value.span.file && user.span.start === value.span.start;
    return begins ? null : this.options.notes.nameOf(value);
  }

  /** A new name, or the name of an operand that has no other reader. */
  #named(value: Value, wanted: string): string {
    const before = value.inputs.find((input) => this.texts.get(input)?.text === wanted);
    if (!before || !this.isUsedOnce(before)) return this.nameFor(value, wanted);
    this.options.naming?.call(value, wanted);
    return wanted;
  }

  /** Counts a sum that will move a state. */
  #tally(value: Value, name: string, scope: Scope): void {
    const { axes, keep, fn } = value.attrs as Value<"reduce">["attrs"]; // tallies are reductions
    const [x] = value.inputs;
    const args = `${scope.loose(x!)}, ${lossAxis(x!, scope)}, ${tuple(axes)}${keep ? ", keepdim=True" : ""}`;
    this.note(value);
    this.lines.push(`losses["tally:${name}"] = mt.batch_total(${args}).detach()`);
    if (fn === "mean") this.lines.push(`losses["tally:${name}_count"] = mt.batch_count(${args})`);
  }

  /** The path prefix for calls of inner blocks. */
  protected get prefix(): string {
    return this.body.path === "" ? "" : `${this.body.path}.`;
  }

  /** The path relative to the own block; for outside paths, the parameter's name. */
  protected local(path: string): string {
    const { instance } = this.body;
    const { stacks } = this.options;
    if (!isWithin(path, instance)) return this.foreign.get(path) ?? path;
    return below(stacks.placeOf(path), stacks.placeOf(instance));
  }

  protected reach(path: string): string {
    return this.foreign.get(path) ?? reached("self", this.local(path));
  }

  protected axis(name: string): string {
    return (
      this.axes.get(name) ??
      this.#fixedAxis(name) ??
      refuse("what is read of a sequence that is not known here", this.#current ?? this.body.path)
    );
  }

  /** An axis of a fixed number of tokens, made by a block within: that of rows along it; null for another axis. */
  #fixedAxis(name: string): string | null {
    const { model } = this.options.variant;
    const axis = model.axes.find((a) => a.name === name);
    if (axis?.role !== "sequence" || axis.count.kind !== "fixed") return null;
    const rows = [...this.texts].find(([{ type }]) => sequenceAt(model, type.shape[1]) === name)?.[1];
    if (rows === undefined) return null;
    const made = this.names.fresh("rows_axis");
    this.lines.push(`${made} = mt.rows(${rows.text}, None)`);
    this.axes.set(name, made);
    return made;
  }

  protected loose(value: Value): string {
    return this.#text(value).text;
  }

  protected tight(value: Value): string {
    const { text, tight } = this.#text(value);
    return tight ? text : `(${text})`;
  }

  #text(value: Value): Text {
    if (value.op === "number") {
      const { value: number } = (value as Value<"number">).attrs; // implied by `op`
      const text = this.options.holes.add(pythonNumber(number), "value");
      return { text, tight: number >= 0 };
    }
    if (value.op === "live") {
      const { name } = (value as Value<"live">).attrs; // likewise
      return { text: `float(run.live["${name}"])`, tight: true };
    }
    const weight = pathOfWeight(value);
    if (weight !== null) {
      if (value.op === "weight" && this.options.stacks.of(weight) !== null)
        refuse("the weight of one expert alone", weight);
      return { text: this.reach(weight), tight: true };
    }
    return this.texts.get(value) ?? refuse("what another block computes", value);
  }

  /** Writes the source line of a statement as a comment, unless the previous statement came from the same line. */
  protected note(value: Value): void {
    const line = this.options.notes.line(value.span);
    if (line !== this.#noted && line !== "") this.lines.push(`# ${line}`);
    this.#noted = line;
  }
}

// Gives a block's values the same names in all versions, so that shared statements have equal text.

/** Identifies a value across versions: the operation, the call, the source position, and a running number. */
type Key = string;

export class Naming {
  readonly #uses = new Map<Key, number>();
  readonly #names = new Map<Key, string>();
  readonly #keys = new Map<Value, Key>();

  constructor(bodies: readonly { readonly body: Body; readonly uses: ReadonlyMap<Value, number> }[]) {
    for (const { body, uses } of bodies) {
      const seen = new Map<string, number>();
      for (const value of computed(body)) {
        const key = `${value.op} ${value.path} ${value.span.file} ${value.span.start} ${value.span.end}`;
        const n = seen.get(key) ?? 0;
        seen.set(key, n + 1);
        this.#keys.set(value, `${key} ${n}`);
        this.#uses.set(`${key} ${n}`, Math.max(uses.get(value) ?? 0, this.#uses.get(`${key} ${n}`) ?? 0));
      }
    }
  }

  /** The number of uses in the version that uses the value most. */
  usesOf(value: Value): number | undefined {
    const key = this.#keys.get(value);
    return key === undefined ? undefined : this.#uses.get(key);
  }

  /** The name that another version chose for the value. */
  nameOf(value: Value): string | undefined {
    const key = this.#keys.get(value);
    return key === undefined ? undefined : this.#names.get(key);
  }

  /** Stores a version's name for a value; the first version decides for all. */
  call(value: Value, name: string): void {
    const key = this.#keys.get(value);
    if (key !== undefined && !this.#names.has(key)) this.#names.set(key, name);
  }

  /** Names that other versions chose for values in this body. */
  namesIn(body: Body): ReadonlySet<string> {
    return new Set(computed(body).flatMap((value) => this.nameOf(value) ?? []));
  }
}

const computed = ({ items }: Body): readonly Value[] =>
  items.flatMap((item) => (item.value ? [item.value] : item.body.outs));
