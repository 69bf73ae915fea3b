// Facts that checks report about names of a source: values, tensor types, blocks of instances.
import type { ConstValue, InstanceRef } from "../check/model/context.js";
import type { LogicalAxis, LogicalType } from "../check/model/model.js";
import { instanceOf } from "../check/names/instance.js";
import type { Witness } from "../check/model/witness.js";
import type { Span } from "../diagnostics/span.js";
import type { Fn, Name } from "../syntax/ast.js";
import type { GivenBlock } from "./occurrences.js";
import { equalShapes } from "../check/model/types.js";
import { printValue } from "../check/model/values.js";
import { printSize } from "../../ground/size/size.js";

type LookUp = (name: string) => LogicalAxis;

/** A value that a name had, and the lookup for its axes. */
export interface Seen {
  readonly value: Known;
  readonly axis: LookUp;
}

/** The greatest number of different values kept for a name. */
const MOST = 6;

/** Facts about one file, by the start of names. */
class FileFacts {
  readonly seen = new Map<number, Seen[]>();
  /** For each function, by the start of its name: the meaning of the axes in its types. */
  readonly axes = new Map<number, Map<string, Seen[]>>();
  /** By file and name. */
  readonly blocks = new Map<number, Map<string, GivenBlock>>();
}

/** Filled by checks. It keeps no references to the checked models. */
export class Facts implements Witness {
  readonly #files = new Map<string, FileFacts>();
  #axis: LookUp = () => {
    throw new Error("no axis has been made");
  };

  constructor(
    /** Whether facts about this file are wanted. */
    readonly concerns: (file: string) => boolean,
  ) {}

  axes(lookup: LookUp): void {
    this.#axis = lookup;
  }

  bound({ span }: Name, value: ConstValue): void {
    const file = this.#fileOf(span);
    if (!file) return;
    if (value.kind === "instance" || value.kind === "list") noteBlocks(file.blocks, span.start, value);
    this.#note(file.seen, span.start, value);
  }

  stored({ span }: Name, type: LogicalType): void {
    const file = this.#fileOf(span);
    if (file) this.#noteKnown(file.seen, span.start, { kind: "tensor", type });
  }

  entered({ name: { span } }: Fn, sizes: ReadonlyMap<string, ConstValue>): void {
    const file = this.#fileOf(span);
    if (!file) return;
    let axes = file.axes.get(span.start);
    if (!axes) file.axes.set(span.start, (axes = new Map()));
    for (const [name, value] of sizes) if (CAPITAL.test(name)) this.#note(axes, name, value);
  }

  /** The distinct values of the name at this place. */
  seen(file: string, start: number): readonly Seen[] {
    return this.#files.get(file)?.seen.get(start) ?? [];
  }

  /** The meaning of an axis in the function whose name starts at this place. */
  axisOf(file: string, start: number, name: string): readonly Seen[] {
    return this.#files.get(file)?.axes.get(start)?.get(name) ?? [];
  }

  /** The blocks whose instances the name at this place held. */
  blocks(file: string, start: number): Iterable<GivenBlock> {
    return this.#files.get(file)?.blocks.get(start)?.values() ?? [];
  }

  #fileOf({ file }: Span): FileFacts | null {
    let known = this.#files.get(file);
    if (!known) {
      if (!this.concerns(file)) return null;
      this.#files.set(file, (known = new FileFacts()));
    }
    return known;
  }

  #note<K>(all: Map<K, Seen[]>, key: K, value: ConstValue): void {
    if ((all.get(key)?.length ?? 0) < MOST) this.#noteKnown(all, key, knownOf(value));
  }

  #noteKnown<K>(all: Map<K, Seen[]>, key: K, value: Known): void {
    const before = all.get(key);
    if (before === undefined) all.set(key, [{ value, axis: this.#axis }]);
    else if (before.length < MOST && !before.some((seen) => areAlike(seen.value, value)))
      before.push({ value, axis: this.#axis });
  }
}

const CAPITAL = /^[A-Z]/;

type GivenBlocks = FileFacts["blocks"];

function noteBlocks(all: GivenBlocks, start: number, value: ConstValue, depth = 0): void {
  if (value.kind === "instance") {
    const { block: name, file: declaring } = instanceOf(value.instance);
    const { file } = declaring.tree;
    let blocks = all.get(start);
    if (!blocks) all.set(start, (blocks = new Map()));
    const key = `${file}#${name}`;
    if (!blocks.has(key)) blocks.set(key, { name, file });
  } else if (value.kind === "list" && depth < 3)
    for (const item of value.items.slice(0, 64)) noteBlocks(all, start, item, depth + 1);
}

/** Values that reference no model are stored unchanged. */
type Plain = Extract<ConstValue, { kind: "number" | "bool" | "string" | "none" | "size" | "error" }>;

export type Known =
  | Plain
  /** A tensor, or a weight or state. */
  | { readonly kind: "tensor"; readonly type: LogicalType }
  | { readonly kind: "route"; readonly type: LogicalType; readonly axis: string }
  | { readonly kind: "choice"; readonly type: LogicalType }
  | { readonly kind: "instance"; readonly block: string }
  | { readonly kind: "experts"; readonly length: number }
  | KnownList
  | { readonly kind: "tuple"; readonly items: readonly { readonly name: string; readonly known: Known }[] };

interface KnownList {
  readonly kind: "list";
  readonly length: number;
  /** The blocks of the instances in the list. */
  readonly blocks: readonly string[];
  /** The type of the first item, if this item is a tensor. */
  readonly type: LogicalType | null;
  /** The list in source syntax; null for a long list. */
  readonly text: string | null;
}

/** A list has a text only if it has at most SHORT items, and at most MOST_WITHIN items including nested lists. */
const SHORT = 8;
const MOST_WITHIN = 64;

function knownOf(value: ConstValue): Known {
  switch (value.kind) {
    case "tensor":
      return { kind: "tensor", type: value.value.type };
    case "route":
      return { kind: "route", type: value.value.type, axis: value.value.attrs.axis };
    case "choice":
      return { kind: "choice", type: value.value.type };
    case "instance":
      return { kind: "instance", block: value.instance.block };
    case "experts":
      return { kind: "experts", length: value.blocks.items.length };
    case "tuple":
      return { kind: "tuple", items: value.items.map((item, i) => ({ name: value.names[i]!, known: knownOf(item) })) };
    case "list": {
      const { items } = value;
      const [first] = items;
      return {
        kind: "list",
        length: items.length,
        blocks: [...new Set(items.flatMap((i) => (i.kind === "instance" ? [i.instance.block] : [])))],
        type: first?.kind === "tensor" ? first.value.type : null,
        text: items.length <= SHORT && workOf(value) <= MOST_WITHIN ? printValue(value, () => undefined) : null,
      };
    }
    default:
      return value;
  }
}

/** The approximate amount of text for a value; counting stops beyond MOST_WITHIN. */
function workOf(value: ConstValue): number {
  if (value.kind === "string") return Math.ceil(value.value.length / MOST_WITHIN);
  if (value.kind !== "list") return 1;
  let sum = 1;
  for (const item of value.items) if (sum <= MOST_WITHIN) sum += workOf(item);
  return sum;
}

/** Whether two values look the same to the user. */
export const areAlike = (a: Known, b: Known): boolean =>
  a.kind === "tensor" && b.kind === "tensor"
    ? a.type.dtype === b.type.dtype && equalShapes(a.type.shape, b.type.shape)
    : keyOf(a) === keyOf(b);

function keyOf(known: Known): string {
  switch (known.kind) {
    case "tensor":
      return typeKey(known.type);
    case "route":
    case "choice":
      return `${known.kind} ${typeKey(known.type)}`;
    case "tuple":
      return JSON.stringify(known.items.map((item) => [item.name, keyOf(item.known)]));
    case "size":
      return printSize(known.size);
    case "instance":
      return known.block;
    case "list":
      return JSON.stringify([known.length, known.blocks, known.type && typeKey(known.type), known.text]);
    case "number":
    case "string":
    case "bool":
      return printValue(known, () => undefined);
    default:
      return known.kind;
  }
}

const typeKey = ({ dtype, shape }: LogicalType): string => `${dtype}[${shape.map(printSize).join()}]`;

/** The path of a call is valid only after the check has ended. */
interface CallsAt {
  readonly span: Span;
  readonly calls: readonly { readonly path: string }[];
}

export class Calls implements Witness {
  readonly #calls = new Map<string, { readonly span: Span; readonly calls: { readonly path: string }[] }>();

  called(span: Span, _: InstanceRef, __: Fn, call: { readonly path: string }): void {
    const key = `${span.file}#${span.start}#${span.end}`;
    const found = this.#calls.get(key);
    if (found) found.calls.push(call);
    else this.#calls.set(key, { span, calls: [call] });
  }

  in(file: string): readonly CallsAt[] {
    return [...this.#calls.values()].filter(({ span }) => span.file === file);
  }
}
