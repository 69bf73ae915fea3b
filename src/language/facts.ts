// What checks of a source told of its names and calls: values, types of tensors, blocks of instances.
import type { ConstValue, InstanceRef } from "../check/context.js";
import type { LogicalAxis, LogicalType } from "../check/model.js";
import { instanceOf } from "../check/names/instance.js";
import { printValue } from "../check/values.js";
import type { Witness } from "../check/witness.js";
import type { Span } from "../diagnostics/span.js";
import { printSize } from "../size/size.js";
import type { Block, Fn, Name } from "../syntax/ast.js";

type LookUp = (name: string) => LogicalAxis;

/** One value that a name had, and where its axes are looked up. */
export interface Seen {
  readonly value: ConstValue | { readonly kind: "stored"; readonly type: LogicalType };
  readonly axis: LookUp;
}

/** One call of a function. */
export interface Call {
  /** The path of the called instance's call; valid once the check has ended. */
  readonly call: { readonly path: string };
  readonly result: Seen;
}

/** At most so many different values are kept of a name. */
const MOST = 6;

/** Filled by checks, by the places of names and calls: `<file>#<start>`. */
export class Facts implements Witness {
  readonly #seen = new Map<string, Seen[]>();
  readonly #keys = new Map<string, Set<string>>();
  readonly #blocks = new Map<string, Map<Block, string>>();
  readonly #calls = new Map<string, { readonly span: Span; readonly calls: Call[] }>();
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

  bound(name: Name, value: ConstValue): void {
    const { file, start } = name.span;
    if (!this.concerns(file)) return;
    const key = `${file}#${start}`;
    if (value.kind === "instance" || value.kind === "list") this.#noteBlocks(key, value);
    this.#note(key, { value, axis: this.#axis });
  }

  stored({ span }: Name, type: LogicalType): void {
    if (this.concerns(span.file))
      this.#note(`${span.file}#${span.start}`, { value: { kind: "stored", type }, axis: this.#axis });
  }

  entered({ name: { span } }: Fn, sizes: ReadonlyMap<string, ConstValue>): void {
    if (!this.concerns(span.file)) return;
    for (const [name, value] of sizes)
      if (/^[A-Z]/.test(name)) this.#note(`${span.file}#${span.start}#${name}`, { value, axis: this.#axis });
  }

  called(span: Span, _: InstanceRef, __: Fn, call: { readonly path: string }, result: ConstValue): void {
    if (!this.concerns(span.file)) return;
    const key = `${span.file}#${span.start}#${span.end}`;
    let found = this.#calls.get(key);
    if (!found) this.#calls.set(key, (found = { span, calls: [] }));
    found.calls.push({ call, result: { value: result, axis: this.#axis } });
  }

  /** Different values of the name at a place. */
  seen(file: string, start: number): readonly Seen[] {
    return this.#seen.get(`${file}#${start}`) ?? [];
  }

  /** What an axis of the function whose name is at this place stands for. */
  axisOf(file: string, start: number, name: string): readonly Seen[] {
    return this.#seen.get(`${file}#${start}#${name}`) ?? [];
  }

  /** Blocks of which the name at a place had instances, each with the file that declares it. */
  blocks(file: string, start: number): ReadonlyMap<Block, string> {
    return this.#blocks.get(`${file}#${start}`) ?? new Map<Block, string>();
  }

  /** All calls of functions in a file. */
  callsIn(file: string): readonly { readonly span: Span; readonly calls: readonly Call[] }[] {
    return [...this.#calls.values()].filter(({ span }) => span.file === file);
  }

  #note(key: string, seen: Seen): void {
    const known = this.#seen.get(key);
    if (known === undefined) {
      this.#seen.set(key, [seen]);
      return;
    }
    if (known.length >= MOST) return;
    let keys = this.#keys.get(key);
    if (!keys) this.#keys.set(key, (keys = new Set(known.map(identity))));
    const own = identity(seen);
    if (keys.has(own)) return;
    keys.add(own);
    known.push(seen);
  }

  #noteBlocks(key: string, value: ConstValue, depth = 0): void {
    if (value.kind === "instance") {
      const { decl, file } = instanceOf(value.instance);
      let blocks = this.#blocks.get(key);
      if (!blocks) this.#blocks.set(key, (blocks = new Map()));
      blocks.set(decl, file.tree.file);
    } else if (value.kind === "list" && depth < 3)
      for (const item of value.items.slice(0, 64)) this.#noteBlocks(key, item, depth + 1);
  }
}

/** Equal for values that print alike. */
function identity({ value }: Seen): string {
  switch (value.kind) {
    case "stored":
      return typeKey(value.type);
    case "tensor":
      return typeKey(value.value.type);
    case "route":
    case "choice":
      return `${value.kind} ${typeKey(value.value.type)}`;
    case "tuple":
      return value.items.map((item) => (item.kind === "tensor" ? typeKey(item.value.type) : item.kind)).join();
    case "size":
      return printSize(value.size);
    case "instance":
      return value.instance.block;
    case "list":
      return `list ${value.items.length}`;
    case "number":
    case "string":
    case "bool":
      return printValue(value, () => undefined);
    default:
      return value.kind;
  }
}

const typeKey = ({ dtype, shape }: LogicalType): string => `${dtype}[${shape.map(printSize).join()}]`;
