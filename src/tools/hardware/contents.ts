// The contents of a step's buffers while its machine code is followed: uniforms and tables as the host writes them for
// these sizes, and random values for everything that other kernels or callers would write.
import type { Program, ProgramStep } from "../../runtime/program/program.js";
import { countedData, tableData } from "../../runtime/steps/tables.js";
import { SizeTable } from "../../runtime/steps/sizes.js";
import { UniformLayout } from "../../runtime/steps/uniforms.js";
import { sizeOfText } from "../../ground/size/parse-size.js";
import { axisSize } from "../../ground/size/size.js";
import type { Axis, RunSizes, Sizes } from "../../ground/size/axes.js";
import type { Contents } from "./run/memory.js";
import { DRAWN, scattered, scatteredFloat, SURE } from "./run/wave.js";

type Dispatch = Extract<ProgramStep, { readonly kind: "dispatch" }>;

/** The number of rows that a routed axis keeps, among `total` rows. Only the device knows the exact number. */
export interface KeptRows {
  readonly kept: number;
  readonly total: number;
}

export class StepContents {
  readonly #program: Program;
  readonly #axes: readonly Axis[];
  readonly #run: RunSizes;
  readonly #sizes: Sizes;
  readonly #tables = new Map<number, Uint32Array>();

  constructor(program: Program, axes: readonly Axis[], run: RunSizes, sizes: Sizes) {
    this.#program = program;
    this.#axes = axes;
    this.#run = run;
    this.#sizes = sizes;
    for (const table of program.tables) {
      const words = this.#table(table);
      if (words) this.#tables.set(table.slot, words);
    }
  }

  #table(table: Program["tables"][number]): Uint32Array | null {
    switch (table.kind) {
      case "seed":
        return Uint32Array.of(1);
      case "rope":
        return null;
      case "starts":
      case "counts":
      case "positions":
      case "segments":
        return countedData(table.kind, this.#sizes.sequence(table.axis));
      default: {
        const data = tableData(table, this.#axes, this.#run, this.#sizes);
        return new Uint32Array(data.buffer, data.byteOffset, data.length);
      }
    }
  }

  /** Buffer contents by binding number; null: no such binding. */
  of(step: Dispatch, rows: KeptRows | null): readonly (Contents | null)[] {
    const kernel = this.#program.kernels[step.kernel]!;
    const bindings = bindingsOf(kernel.wgsl);
    const most = Math.max(0, ...bindings.map((b) => b.binding));
    return Array.from({ length: most + 1 }, (_, i): Contents | null => {
      const binding = bindings.find((b) => b.binding === i);
      if (!binding) return null;
      if (binding.uniform) return tableContents(this.#uniforms(step), 16);
      const slot = step.slots[i - 1];
      const declared = slot === undefined ? undefined : this.#program.slots[slot];
      const bytes = declared ? Math.max(16, this.#sizes.number(sizeOfText(declared.bytes))) : 16;
      const table = slot === undefined ? undefined : this.#tables.get(slot);
      if (table) return tableContents(table, bytes);
      const kept = rows ?? { kept: this.#longest(), total: this.#longest() };
      // Row offsets and positions of queries and keys, as `attention_rows` lists them.
      const isList = kernel.name.startsWith("attention") && binding.name === "rows";
      return isList ? rowsOfAttention(kept, this.#batch(), bytes) : randomContents(binding, bytes, kept);
    });
  }

  #batch(): number {
    const batch = this.#axes.find((a) => a.role === "batch");
    return batch ? this.#sizes.number(axisSize(batch.name)) : 1;
  }

  #longest(): number {
    return Math.max(1, ...this.#axes.map((a) => (a.role === "sequence" ? this.#sizes.sequence(a.name).rows : 1)));
  }

  #uniforms(step: Dispatch): Uint32Array {
    const table = new SizeTable();
    const layout = new UniformLayout(16, table);
    layout.offset(step.uniforms);
    const values = table.values(this.#sizes);
    const words = new Uint32Array(layout.bytes / 4);
    for (const { at, word } of layout.words) words[at] = "bits" in word ? word.bits : values[word.size]!;
    return words;
  }
}

const tableContents = (words: Uint32Array, bytes: number): Contents => ({
  bytes: Math.max(bytes, 4 * words.length),
  ground: SURE,
  word: (i) => words[i] ?? 0,
});

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

/** For each of `batch` sequences: the kept rows, spread evenly over all rows. */
function rowsOfAttention(all: KeptRows, batch: number, bytes: number): Contents {
  const [kept, total] = [Math.max(1, Math.round(all.kept / batch)), Math.round(all.total / batch)];
  const starts = 2 * (batch + 1);
  const value = (i: number): number =>
    i < starts ? (i % (batch + 1)) * kept : Math.floor(((((i - starts) % kept) + 1) * total) / kept) - 1;
  return { bytes, ground: DRAWN, word: value };
}

/** Random floats from −1 to 1; integers by the name of the binding. */
function randomContents({ name, type }: Binding, bytes: number, { kept, total }: KeptRows): Contents {
  const contents = (value: (i: number) => number): Contents => ({ bytes, ground: DRAWN, word: value });
  if (/f(32|16)?>?$|^f/.test(type) && !/u/.test(type))
    return contents((i) => {
      float[0] = scatteredFloat(i);
      return word[0]!;
    });
  // Row offsets of one sequence: the sequence starts at row 0 and has all rows.
  if (/start|parent|^kept|begin|offset/i.test(name)) return contents((i) => (i === 0 ? 0 : kept));
  if (/count/i.test(name)) return contents(() => kept);
  // Lists with one entry each.
  if (/^heads$/.test(name)) return contents(() => 1);
  if (/^next$/.test(name)) return contents(() => 0);
  if (/position|ind(ex|ices)|rows?$|place|order/i.test(name)) {
    // Indices spread evenly over all rows; the last index is the last row. A single row is the position at which
    // generation continues.
    const entries = Math.max(1, Math.min(kept, Math.floor(bytes / 4)));
    return contents((i) => Math.max(0, Math.floor(((Math.min(i, entries - 1) + 1) * total) / entries) - 1));
  }
  return contents((i) => scattered(i) & 0xff);
}

interface Binding {
  readonly binding: number;
  readonly name: string;
  readonly uniform: boolean;
  readonly writes: boolean;
  /** The element type: `f32`, `vec4f`, `u32`, `Sizes`. */
  readonly type: string;
}

export function bindingsOf(wgsl: string): readonly Binding[] {
  const matches = wgsl.matchAll(
    /@group\(0\)\s*@binding\((\d+)\)\s*var(?:<([^>]*)>)?\s*(\w+)\s*:\s*(?:array<((?:[^<>]|<[^<>]*>)*)>|([^;]+));/g,
  );
  return [...matches].map(([, binding, space, name, elements, whole]) => ({
    binding: Number(binding),
    name: name!,
    uniform: space === "uniform",
    writes: /read_write|write/.test(space ?? ""),
    type: (elements ?? whole ?? "").split(",")[0]!.trim(),
  }));
}

/** Invocations of a workgroup by dimension, from the attribute `@workgroup_size` and the constants that it names. */
export function threadsOf(wgsl: string): readonly [number, number, number] {
  const sizes = (/@workgroup_size\(([^)]*)\)/.exec(wgsl)?.[1] ?? "1")
    .split(",")
    .map((text) => valueOf(text.trim(), wgsl, 0));
  return [sizes[0] ?? 1, sizes[1] ?? 1, sizes[2] ?? 1];
}

/** Evaluates sums and products of numbers and of the text's constants; NaN for anything else. */
function valueOf(text: string, wgsl: string, depth: number): number {
  const terms = (operator: string, join: (a: number, b: number) => number): number =>
    text
      .split(operator)
      .map((part) => valueOf(part.trim(), wgsl, depth))
      .reduce(join);
  if (depth > 8) return NaN;
  if (/^\d+u?$/.test(text)) return Number.parseInt(text, 10);
  if (/^[^()]*\+[^()]*$/.test(text)) return terms("+", (a, b) => a + b);
  if (/^[^()]*\*[^()]*$/.test(text)) return terms("*", (a, b) => a * b);
  if (/^[^()]*\/[^()]*$/.test(text)) return terms("/", (a, b) => Math.floor(a / b));
  const constant = new RegExp(`const ${text}(?:\\s*:\\s*u32)?\\s*=\\s*([^;]+);`).exec(wgsl)?.[1];
  return constant === undefined ? NaN : valueOf(constant.trim().replace(/^u32\((.*)\)$/, "$1"), wgsl, depth + 1);
}

export const asksGroups = (wgsl: string): boolean => /@builtin\(num_workgroups\)/.test(wgsl);

/** The dimensions in which a kernel reads its workgroup's number. */
export function numberedBy(wgsl: string): readonly (0 | 1 | 2)[] {
  const name = /@builtin\(workgroup_id\)\s*(\w+)/.exec(wgsl)?.[1];
  const dimensions = ["x", "y", "z"].flatMap((d, i) =>
    name !== undefined && new RegExp(`\\b${name}\\.${d}\\b`).test(wgsl) ? [i as 0 | 1 | 2] : [],
  );
  return dimensions.length > 0 || name === undefined ? dimensions : [0, 1, 2];
}
