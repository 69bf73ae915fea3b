// The interface of kernel specs, and the builder that collects a kernel's buffers, uniform words and declarations.
import { invariant } from "../../../ground/base/invariant.js";
import type { TensorType } from "../../ir/types.js";
import type { OpAttrs, OpName } from "../../ir/vocabulary.js";
import type { PanelLayout } from "../../../runtime/program/program.js";
import type { TextureAccess } from "../../../runtime/program/textures.js";
import { MATRIX_VECTORS, READS_TEXTURES, type Feature, type MatrixShape } from "../../../runtime/program/target.js";
import type { DType } from "../../../ground/base/dtype.js";
import { printSize, type Size } from "../../../ground/size/size.js";
import type { Extents } from "../analysis/extents.js";
import { collapse } from "../addressing/index-map.js";
import type { Codec, ElementCodec } from "../codecs/codec.js";
import { storageType, words } from "../codecs/words.js";
import { printCount } from "../addressing/text.js";
import type { ElementTunings } from "../tunings/elements.js";
import type { Tunings } from "../tunings/index.js";
import type { Buffer, Count, Declaration, Field, IndexMap, Kernel, Step, Uniform, WgslType } from "../plan/plan.js";

/** A buffer in a spec: an input or result of the node by index, or one that the schedule adds. */
export type Operand =
  | { readonly from: "input" | "result" | "scratch"; readonly index: number }
  /**
   * An input that is a weight, or several concatenated ones, in a packed layout of their total width. The runtime packs
   * weights at load; the device packs states.
   */
  | { readonly from: "packed"; readonly index: number; readonly layout: PanelLayout }
  /** Starts of an axis whose counts only the device knows. */
  | { readonly from: "starts"; readonly axis: string }
  /** A table the host computes for an axis: `counted` holds the starts of one whose counts it knows. */
  | { readonly from: "k" | "span" | "counted"; readonly axis: string };

export const input = (index: number): Operand => ({ from: "input", index });
export const packed = (index: number, layout: PanelLayout): Operand => ({ from: "packed", index, layout });
export const result = (index = 0): Operand => ({ from: "result", index });
export const scratch = (index = 0): Operand => ({ from: "scratch", index });

/**
 * The layout of a value in its buffer, in elements: element (i, j, …) is at offset + i · strides[0] + j · strides[1] +
 * …
 */
export interface View {
  readonly strides: readonly Size[];
  readonly offset: Size;
}

/** The codecs of a kernel's reads and writes, by index. */
export interface Stored {
  readonly reads: readonly ElementCodec[];
  readonly writes: readonly ElementCodec[];
  /**
   * The codec of the weight that the kernel decodes, if it is not stored as elements; its entry in `reads` is then
   * unused.
   */
  readonly packed: Codec | null;
  /** Whether a product or attention may round its operands to f16 however they are stored. */
  readonly rounds: boolean;
  /** Bytes of a product's weight where, in such panels, it is read from a texture; null: from a buffer. */
  readonly inTexture: (layout: PanelLayout) => number | null;
}

/** The properties of a node that its spec may depend on: equal for nodes of equal signature. */
export interface KernelContext<K extends OpName> {
  readonly attrs: OpAttrs[K];
  readonly inputs: readonly TensorType[];
  readonly results: readonly TensorType[];
  readonly extents: Extents;
  readonly tunings: Tunings;
  readonly stored: Stored;
  /** For each input, whether it is a weight or several concatenated ones, which can only be read `packed`. */
  readonly weights: readonly boolean[];
  /**
   * For each input its layout; null: row-major in its own buffer. Other layouts occur only for operators whose record
   * has `readsViews`.
   */
  readonly views: readonly (View | null)[];
  /**
   * The layout of each result; null, or missing at the end: row-major. Other layouts occur only for operators whose
   * record has `writesViews`.
   */
  readonly resultViews: readonly (View | null)[];
  /**
   * For each result, whether it takes over the memory of the record's `inPlace` input, so that it initially holds that
   * input's value; missing entries: false.
   */
  readonly inPlace: readonly boolean[];
  /**
   * If an input is inlined: binds the reads of its expression as the first inputs, and declares `fn value(i: u32)`, its
   * element i.
   */
  readonly prologue: ((kernel: KernelBuilder) => void) | null;
  /** For each input of the node, its number among the kernel's inputs; −1 if it is inlined. */
  readonly places: readonly number[];
}

/** The steps that compute a node, and the sizes of their scratch buffers. */
export interface Work {
  readonly steps: readonly Step<Operand>[];
  readonly scratch: readonly Size[];
}

export type Spec<K extends OpName> = (context: KernelContext<K>) => Work;

export const work = (steps: readonly Step<Operand>[], scratchBytes: readonly Size[] = []): Work => ({
  steps,
  scratch: scratchBytes,
});

/** Invocations of a workgroup in kernels with one invocation for each element. */
export const WORKGROUP = 64;

/** Builds one dispatch of a kernel. Names of buffers, fields and functions are as in its file. */
export class KernelBuilder {
  readonly #file: string;
  readonly #name: string;
  readonly #extents: Extents;
  readonly #fields: Field[] = [];
  readonly #uniforms: Uniform[] = [];
  readonly #buffers: Buffer[] = [];
  readonly #operands: Operand[] = [];
  readonly #declarations: Declaration[] = [];
  readonly #starts = new Map<string, string>();
  readonly #sizeTexts = new Map<string, string>();
  readonly #inputs = new Map<number, string>();
  readonly #features = new Set<Feature>();
  #subgroupSize: number | null = null;
  #leastSubgroup: number | null = null;
  #matrix: MatrixShape | null = null;
  #finished: 1 | 2 | 4 = 4;
  #fixed = false;
  #holdsMany = false;

  constructor(file: string, extents: Extents, name = file) {
    this.#file = file;
    this.#name = name;
    this.#extents = extents;
  }

  read(name: string, element: Buffer["element"], operand: Operand): this {
    this.#bind({ name, access: "read", element }, operand);
    return this;
  }
  /** Binds an input unless it is bound already; returns its name. */
  inputOnce(index: number, element: Buffer["element"]): string {
    let name = this.#inputs.get(index);
    if (name === undefined) {
      name = `x${index}`;
      this.#inputs.set(index, name);
      this.read(name, element, input(index));
    }
    return name;
  }
  /** Binds an input under a name that `inputOnce` also returns. */
  readAs(name: string, element: Buffer["element"], index: number): this {
    this.inputIs(index, name);
    return this.read(name, element, input(index));
  }
  texture(name: string, access: TextureAccess, element: Buffer["element"], operand: Operand): this {
    if (access !== "packed_write") this.#features.add(READS_TEXTURES);
    this.#bind({ name, access, element }, operand);
    return this;
  }
  write(name: string, element: Buffer["element"], operand: Operand): this {
    this.#bind({ name, access: "read_write", element }, operand);
    return this;
  }
  #bind(buffer: Buffer, operand: Operand): void {
    this.#buffers.push(buffer);
    this.#operands.push(operand);
  }

  /** How many sums of a row, in columns side by side, a call of `finish` is for. */
  get finished(): 1 | 2 | 4 {
    return this.#finished;
  }
  finishes(columns: 1 | 2): this {
    this.#finished = columns;
    return this.constant("EACH", columns);
  }
  /** Known sizes are numbers of the text from now on, so that nothing waits for uniform words. */
  fixes(): this {
    this.#fixed = true;
    return this;
  }
  get isFixed(): boolean {
    return this.#fixed;
  }

  /** Requires subgroups of this size. */
  subgroups(width: number): this {
    this.#features.add("subgroups");
    this.#subgroupSize = width;
    return this;
  }
  /** Requires subgroups of at least this size, whatever it is. */
  subgroupsFrom(least: number): this {
    this.#features.add("subgroups");
    this.#leastSubgroup = least;
    return this;
  }
  /** Whether a lane holds many values, so that narrow subgroups are faster. */
  holdsMany(): this {
    this.#holdsMany = true;
    return this;
  }
  /** Requires matrix units with this product, of subgroups of this size. `vectors`: that these load vectors. */
  matrices(width: number, shape: MatrixShape, vectors: boolean): this {
    this.#features.add("shader-f16").add("chromium-experimental-subgroup-matrix");
    if (vectors) this.#features.add(MATRIX_VECTORS);
    this.#matrix = shape;
    return this.subgroups(width);
  }

  /** `fn name() -> u32` */
  count(name: string, size: Size): this {
    this.#declarations.push({ kind: "count", name, count: this.countOf(size, name) });
    return this;
  }
  /** `fn name(i: u32) -> u32`: the offset of element i, row-major over `sizes`, in a tensor of these strides. */
  index(name: string, sizes: readonly Size[], strides: readonly Size[], offset: Size = 0): this {
    const walk = collapse(this.#extents, { sizes, strides: [strides] });
    const map: IndexMap = {
      sizes: walk.sizes.map((s, d) => (d === 0 ? { kind: "one" } : this.countOf(s, `${name}_size${d}`))),
      strides: walk.strides[0]!.map((s, d) => this.countOf(s, `${name}_stride${d}`)),
      offset: this.countOf(offset, `${name}_offset`),
    };
    this.#declarations.push({ kind: "index", name, map });
    return this;
  }
  /** `fn name() -> …`: a constant, passed as a uniform word so that kernels that differ only in it are equal. */
  value(name: string, value: number, dtype: DType): this {
    const type = storageType(dtype);
    return this.function(`fn ${name}() -> ${type} { return sizes.${this.word(value, dtype, name)}; }`);
  }
  alias(name: string, type: WgslType): this {
    this.#declarations.push({ kind: "alias", name, type });
    return this;
  }
  constant(name: string, value: number): this {
    this.#declarations.push({ kind: "constant", name, value });
    return this;
  }
  function(wgsl: string): this {
    this.#declarations.push({ kind: "function", wgsl });
    return this;
  }
  declare(declaration: Declaration): this {
    this.#declarations.push(declaration);
    return this;
  }

  /** The element type that an input is bound with; null where it is not bound, or under a name that is not yet. */
  elementOf(index: number): Buffer["element"] | null {
    const name = this.#inputs.get(index);
    return this.#buffers.find((b) => b.name === name)?.element ?? null;
  }
  /** Whether an input has a name, bound or not. */
  isNamed(index: number): boolean {
    return this.#inputs.has(index);
  }
  /** Registers that an input is bound already, under this name. */
  inputIs(index: number, name: string): void {
    this.#inputs.set(index, name);
  }
  /** A size as an expression of u32; equal sizes are one uniform word. */
  size(size: Size): string {
    if (this.#fixed && typeof size === "number") return `${size}u`;
    const key = printSize(size);
    let text = this.#sizeTexts.get(key);
    if (text === undefined)
      this.#sizeTexts.set(key, (text = printCount(this.countOf(size, `n${this.#sizeTexts.size}`))));
    return text;
  }
  /** A uniform word with a constant; returns its field. */
  word(value: number, dtype: DType, field: string): string {
    return this.#field(field, storageType(dtype), { value, dtype });
  }
  /** A size as a count in the kernel; `field` is the name of a uniform word, if one is needed. */
  countOf(size: Size, field: string): Count {
    if (size === 0) return { kind: "zero" };
    if (size === 1) return { kind: "one" };
    const device = this.#extents.deviceSize(size);
    if (device === null) return { kind: "field", field: this.#field(field, "u32", { size }) };
    const starts = this.#startsOf(device.axis);
    const batch = this.#batch();
    const times = device.factor === 1 ? null : this.#field(field, "u32", { size: device.factor });
    const plus = device.plus === 0 ? null : this.#field(`${field}_plus`, "u32", { size: device.plus });
    return { kind: "rows", starts, batch, times, plus };
  }
  #batch(): string {
    const field = "sequences";
    return this.#fields.some((f) => f.name === field)
      ? field
      : this.#field(field, "u32", { size: this.#extents.batch });
  }
  #field(name: string, type: WgslType, uniform: Uniform): string {
    this.#fields.push({ name, type });
    this.#uniforms.push(uniform);
    return name;
  }
  #startsOf(axis: string): string {
    let name = this.#starts.get(axis);
    if (name === undefined) {
      name = `starts_${this.#starts.size}`;
      this.#starts.set(axis, name);
      this.read(name, "u32", { from: "starts", axis });
    }
    return name;
  }

  /** The dispatch with `workgroups` workgroups. */
  dispatch(workgroups: Size): Step<Operand> {
    const requires = {
      features: [...this.#features],
      subgroupSize: this.#subgroupSize,
      ...(this.#leastSubgroup !== null && { leastSubgroup: this.#leastSubgroup }),
      ...(this.#matrix && { matrices: [this.#matrix] }),
    };
    const kernel: Kernel = {
      file: this.#file,
      name: this.#name,
      fields: this.#fields,
      buffers: this.#buffers,
      declarations: this.#declarations,
      requires,
      ...(this.#holdsMany && { holdsMany: true }),
    };
    return { kind: "dispatch", kernel, buffers: this.#operands, uniforms: this.#uniforms, workgroups };
  }
  /** The dispatch over `elements` elements: workgroups of LANES invocations, each of which processes EACH elements. */
  spread(elements: Size, { lanes, each }: ElementTunings): Step<Operand> {
    return this.constant("LANES", lanes)
      .constant("EACH", each)
      .dispatch(this.#extents.ceilDivide(elements, lanes * each));
  }
  /** The dispatch with one invocation for each element. */
  over(elements: Size): Step<Operand> {
    return this.dispatch(this.#extents.ceilDivide(elements, WORKGROUP));
  }
}

/** A shape split at one dimension: the number of elements before it, along it and after it. */
export function around(
  extents: Extents,
  shape: readonly Size[],
  dim: number,
): { readonly outer: Size; readonly rows: Size; readonly inner: Size } {
  const rows = shape[dim];
  invariant(rows !== undefined, `there is no dimension ${dim}`);
  return { outer: extents.product(shape.slice(0, dim)), rows, inner: extents.product(shape.slice(dim + 1)) };
}

/** The type at an index, which typing guarantees to exist. */
export function typeAt(types: readonly TensorType[], index: number): TensorType {
  const type = types[index];
  invariant(type, `operand ${index} is missing`);
  return type;
}

/** `fn value(i: u32)`: element i of an input, read or computed. */
export function readValues(
  kernel: KernelBuilder,
  prologue: ((kernel: KernelBuilder) => void) | null,
  read: {
    readonly name: string;
    readonly type: WgslType;
    readonly place: number;
    readonly codec?: ElementCodec | undefined;
  },
): KernelBuilder {
  const { name, type, place, codec = words } = read;
  if (prologue) prologue(kernel);
  else
    kernel
      .read(name, codec.element(type), input(place))
      .function(`fn value(i: u32) -> ${type} { return ${codec.load(`${name}[i]`)}; }`);
  return kernel;
}
