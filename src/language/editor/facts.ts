// Facts that checks report about names of a source: values, tensor types, blocks of instances.
import type { ConstValue } from "../check/context.js";
import type { LogicalAxis, LogicalType } from "../check/model.js";
import { instanceOf } from "../check/names/instance.js";
import type { Witness } from "../check/witness.js";
import type { Span } from "../diagnostics/span.js";
import type { Fn, Name } from "../syntax/ast.js";
import type { GivenBlock } from "./occurrences.js";
import { areAlike, knownOf, type Known } from "./known.js";

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
