// What checks of a source told of its names: values, types of tensors, blocks of instances.
import type { ConstValue } from "../check/context.js";
import type { LogicalAxis, LogicalType } from "../check/model.js";
import { instanceOf } from "../check/names/instance.js";
import type { Witness } from "../check/witness.js";
import type { Span } from "../diagnostics/span.js";
import type { Fn, Name } from "../syntax/ast.js";
import type { GivenBlock } from "./definitions.js";
import { areAlike, knownOf, type Known } from "./known.js";

type LookUp = (name: string) => LogicalAxis;

/** One value that a name had, and where its axes are looked up. */
export interface Seen {
  readonly value: Known;
  readonly axis: LookUp;
}

/** At most so many different values are kept of a name. */
const MOST = 6;

/** What is told of one file, by where names begin. */
class FileFacts {
  readonly seen = new Map<number, Seen[]>();
  /** Of each function, by its name's place, what the axes of its types stand for. */
  readonly axes = new Map<number, Map<string, Seen[]>>();
  /** By file and name. */
  readonly blocks = new Map<number, Map<string, GivenBlock>>();
}

/** Filled by checks. It holds nothing of the models that they make. */
export class Facts implements Witness {
  readonly #files = new Map<string, FileFacts>();
  #axis: LookUp = () => {
    throw new Error("no axis has been made");
  };

  constructor(
    /** Whether anything of a file is asked. */
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

  /** Different values of the name at a place. */
  seen(file: string, start: number): readonly Seen[] {
    return this.#files.get(file)?.seen.get(start) ?? [];
  }

  /** What an axis of the function whose name is at this place stands for. */
  axisOf(file: string, start: number, name: string): readonly Seen[] {
    return this.#files.get(file)?.axes.get(start)?.get(name) ?? [];
  }

  /** Blocks of which the name at a place had instances. */
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
