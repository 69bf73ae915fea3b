// The compiled program: plain, versioned, serialisable data, and all that the runtime knows of a model.
import type { DType } from "../base/dtype.js";
import type { Axis } from "../size/axes.js";
import { bytesOf } from "./encodings/encoding.js";
import { encodings, type EncodingName } from "./encodings/index.js";
import type { ActivationType, Requirements, Target } from "./target.js";

export const PROGRAM_FORMAT = "modc-program";
export const PROGRAM_VERSION = 4;

/** The printed form of a size (`size/parse-size.ts`): `128`, `rows(T)*128`. */
export type SizeText = number | string;

export interface Program {
  readonly format: typeof PROGRAM_FORMAT;
  readonly version: typeof PROGRAM_VERSION;
  readonly model: string;
  readonly phase: "infer" | "train" | "generate";
  readonly entry: "forward" | "objective";
  /** What it was compiled for, and what of that a device must have. */
  readonly target: Target;
  readonly requires: Requirements;
  /** f16: the device must have `shader-f16`, whether or not a kernel turned out to use it. */
  readonly precision: ActivationType;
  /** Digest of the tunings its kernels and tiles were chosen by. */
  readonly tunings: string;
  /** Parameters of the model as they were set, printed. */
  readonly parameters: readonly { readonly name: string; readonly value: string }[];
  /** Batch first; an axis stands after those it is made from. */
  readonly axes: readonly ProgramAxis[];
  readonly live: readonly { readonly name: string; readonly kind: "ratio" | "float"; readonly default: string }[];
  readonly inputs: readonly ProgramInput[];
  readonly outputs: readonly ProgramOutput[];
  readonly weights: readonly ProgramWeight[];
  /** Patterns of checkpoint keys to pass over; `{x}` matches one segment between dots. */
  readonly ignore: readonly string[];
  readonly states: readonly ProgramState[];
  /** Data the host computes for each run (or once), from sizes alone. */
  readonly tables: readonly ProgramTable[];
  /** Buffers, made once per session. */
  readonly slots: readonly ProgramSlot[];
  readonly kernels: readonly ProgramKernel[];
  readonly steps: readonly ProgramStep[];
  /** What the steps compute, for people and profilers: nothing that runs depends on it. In order of the steps. */
  readonly works: readonly ProgramWork[];
  /** The places in the source that works come from, each once. */
  readonly origins: readonly ProgramOrigin[];
}

/** Its sizes and ratios are printed. */
export type ProgramAxis = Axis<SizeText, string>;

export interface ProgramPacking {
  readonly axis: string;
  readonly batchDim: number;
  readonly tokenDim: number;
}

export interface ProgramInput {
  readonly name: string;
  readonly dtype: DType;
  /** As the caller gives it, sequences side by side. */
  readonly shape: readonly SizeText[];
  /** How the session packs it before writing the slot; null: as it is. */
  readonly packing: ProgramPacking | null;
  /**
   * Where `below` is given, whole values must be at least this: 0, −1 for labels that may be none, −below for indices
   * that may count from the end.
   */
  readonly least: number;
  /** Whole values must be below this; null: no limit. */
  readonly below: number | null;
  /** Null where no kernel reads it. */
  readonly slot: number | null;
}

export interface ProgramOutput {
  readonly name: string;
  readonly role: "result" | "loss" | "observe";
  readonly dtype: DType;
  readonly shape: readonly SizeText[];
  readonly packing: ProgramPacking | null;
  readonly slot: number;
  /**
   * Where its last dimension lies in several slots, side by side when read: all of them in order, `slot` first, and the
   * columns of each. Else empty.
   */
  readonly parts: readonly ProgramOutputPart[];
  /**
   * For each dimension of `shape` along an axis that only the device counts: the slot of that axis's starts, u32[B+1].
   * Its extent is then the longest count.
   */
  readonly starts: readonly ProgramStarts[];
}

export interface ProgramOutputPart {
  readonly slot: number;
  readonly columns: number;
}

export interface ProgramStarts {
  readonly dim: number;
  readonly slot: number;
}

export interface ProgramWeight {
  readonly path: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly init:
    | { readonly kind: "zeros" | "ones" }
    | { readonly kind: "normal"; readonly std: number }
    | { readonly kind: "uniform"; readonly low: number; readonly high: number }
    | { readonly kind: "orthogonal"; readonly gain: number };
  /** Keys a checkpoint may hold it under; several, when byte-equal. */
  readonly keys: readonly string[];
  /**
   * A slot for each layout that kernels read; none where no kernel reads it. Weights that stand side by side name the
   * same one.
   */
  readonly slots: readonly ProgramWeightSlot[];
}

export interface ProgramWeightSlot {
  readonly slot: number;
  /** Its encoding. */
  readonly form: EncodingName;
  /** Of what lies there as if it were a weight of its own. */
  readonly layout: WeightLayout;
  /** Elements `start` … `stop` − 1 along an axis lie there and no others; null: all. */
  readonly part: { readonly axis: number; readonly start: number; readonly stop: number } | null;
}

/** How a weight lies in a slot; the runtime packs it when it is loaded. */
export type WeightLayout =
  /** Row-major, as a checkpoint has it. */
  | { readonly kind: "given" }
  /**
   * Matrices one after the other, each of `depth` × `total` (K × N), cut into panels of so many `columns` of N: of each
   * k in turn the values of the panel's columns, zeros beyond the last. `f32[matrices, ceil(total / columns), K,
   * columns]`.
   *
   * The weight's own matrices are `depth` × `width`, or `transposed` (`width` × `depth`), and its columns are `first` …
   * `first + width` − 1: several weights of as many matrices may stand side by side in a slot, so that one product
   * reads all of them. With `pairs` D > 0, columns j and j + D of each 2·D lie next to each other: place g·2D + 2·j + h
   * holds column g·2D + h·D + j, h being 0 or 1 and j below D. `total` is then a multiple of 2·D.
   */
  | {
      readonly kind: "panels";
      readonly depth: number;
      readonly width: number;
      readonly transposed: boolean;
      readonly columns: number;
      readonly first: number;
      readonly total: number;
      readonly pairs: number;
    };

export type PanelLayout = Extract<WeightLayout, { kind: "panels" }>;

/** Values of a slot that holds a weight of so many `elements` in a layout, with what stands beside it. */
export function packedLength(layout: WeightLayout, elements: number): number {
  switch (layout.kind) {
    case "given":
      return elements;
    case "panels": {
      const { depth, width, columns, total } = layout;
      return depth * width === 0 ? 0 : (elements / (depth * width)) * Math.ceil(total / columns) * columns * depth;
    }
    default:
      return layout satisfies never;
  }
}

/**
 * A weight as a model declares it, in the form that is read and written: with the slots of the kernels that read it,
 * where there are any.
 */
export const asProgramWeight = (
  { path, dtype, shape, init, keys }: Omit<ProgramWeight, "slots">,
  slots: readonly ProgramWeightSlot[] = [],
): ProgramWeight => ({
  path,
  dtype,
  shape,
  init,
  keys,
  slots,
});

/** How far apart the values of a block stand: blocks lie along the depth of panels, else along rows. */
export const blockStride = (layout: WeightLayout): number => (layout.kind === "given" ? 1 : layout.columns);

/** Bytes of such a slot. */
export const weightBytes = (layout: WeightLayout, elements: number, form: EncodingName): number =>
  bytesOf(encodings[form], packedLength(layout, elements));

export interface ProgramState {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly SizeText[];
  /** `filled`: every element is this value, a whole number of 32 bits. */
  readonly init:
    | { readonly kind: "zeros" }
    | { readonly kind: "filled"; readonly value: number }
    | { readonly kind: "weight"; readonly path: string };
  readonly slot: number;
}

/** Tables that follow from the counts of an axis. */
export type CountedTable = "starts" | "counts" | "positions" | "segments";

export type ProgramTable =
  /**
   * Of an axis whose counts the host knows. `starts`, u32[B+1]: the first packed row of each sequence and, last, the
   * number of rows; `counts`, u32[B]: the rows of each; `positions` and `segments`, u32[rows]: the place of each row in
   * its sequence, and which sequence that is.
   */
  | { readonly kind: CountedTable; readonly axis: string; readonly slot: number }
  /** u32[longest + 1]: k of `axis`'s rule for each count of the axis it depends on (`kTable`). */
  | { readonly kind: "k"; readonly axis: string; readonly slot: number }
  /**
   * u32[2 · (longest + 1)]: for each count n of the parent of `axis` (rule `span`), the first token and the one after
   * the last (`spanOf`).
   */
  | { readonly kind: "span"; readonly axis: string; readonly slot: number }
  /** One f32, u32 or i32: the value of a size. */
  | { readonly kind: "size"; readonly size: SizeText; readonly dtype: "f32" | "u32" | "i32"; readonly slot: number }
  /** One f32: a live parameter. */
  | { readonly kind: "live"; readonly name: string; readonly slot: number }
  /** One u32. */
  | { readonly kind: "seed"; readonly slot: number }
  /** f32[positions, width] (`rope_table` of the IR); computed in 64 bits, written when `positions` grows. */
  | {
      readonly kind: "rope";
      readonly positions: SizeText;
      readonly width: number;
      readonly theta: number;
      readonly frequencies: readonly number[] | null;
      readonly scale: number;
      readonly slot: number;
    };

export interface ProgramSlot {
  /** Size at the bounds given to `load`; routed rows count as their bound. */
  readonly bytes: SizeText;
  /** What is in it, for people: `layers.1.inner.attn.q`, `activations`. */
  readonly label: string;
}

export interface ProgramKernel {
  /** File or generated name and a number: `matmul.3`. */
  readonly name: string;
  /** Complete WGSL with entry point `main`; binding 0 is the uniform buffer of u32 parameters where `uniforms` > 0. */
  readonly wgsl: string;
  /** Access of each storage binding, in order of binding number (from 1). */
  readonly access: readonly ("read" | "read_write")[];
  /** Number of u32 words in its uniform buffer. */
  readonly uniforms: number;
  /** The algorithm and tile it was given, for people: `ROWS=16 VECTORS=2`; empty where there was nothing to choose. */
  readonly tuning: string;
}

/** A word of a uniform buffer: a size (u32), or a constant's bits. */
export type ProgramUniform = SizeText | { readonly f32: number };

export type ProgramStep =
  | {
      readonly kind: "dispatch";
      readonly kernel: number;
      /** Slots in order of binding number. */
      readonly slots: readonly number[];
      readonly uniforms: readonly ProgramUniform[];
      /**
       * How many invocations or tiles there are: `count` workgroups, laid out by the runtime over x and y so that none
       * exceeds the device's limit; the kernel numbers them `workgroup_id.x + workgroup_id.y · num_workgroups.x` and
       * guards.
       */
      readonly workgroups: SizeText;
      /** Where it may be dispatched instead of one of the steps right behind it. */
      readonly standIn?: ProgramStandIn;
      /**
       * Of `works`; null where nobody says. Steps of one work follow one another; they may be alternatives, all but one
       * of which have no workgroups.
       */
      readonly work: number | null;
    }
  | {
      readonly kind: "copy";
      readonly from: number;
      readonly to: number;
      readonly bytes: SizeText;
      readonly work: number | null;
    }
  | { readonly kind: "clear"; readonly slot: number; readonly bytes: SizeText; readonly work: number | null };

/**
 * A step that computes, to the bit, what one of the next `steps` does, whichever has workgroups at the sizes of a run.
 * What stands in is compiled sooner, or compiled anyway, and what it stands in for is faster once it is compiled; or it
 * knows more of what it is given.
 */
export interface ProgramStandIn {
  readonly steps: number;
  readonly workgroups: SizeText;
  readonly where: StandInCase;
}

/**
 * `spared`: while the other's kernel has not been compiled, in runs in which its work has at most `each` floating-point
 * operations, `total` in all. Only where kernels are compiled slowly. `shared`: as that, where its own kernel has been
 * compiled or will be for another step of the run. `promised`: in runs whose caller promises this
 * (`RunOptions.promises`).
 */
export type StandInCase =
  | { readonly kind: "spared" | "shared"; readonly each: number; readonly total: number }
  | { readonly kind: "promised"; readonly promise: RunPromise };

/**
 * What a caller may promise of a run. greedy: the states of sampling ask for the likeliest token of every sequence, as
 * the logits come, and for no log-probability.
 */
export const PROMISES = ["greedy"] as const;
export type RunPromise = (typeof PROMISES)[number];

/** What one step, or several that belong together, compute, and what that costs. */
export interface ProgramWork {
  /**
   * Operators in the order they are evaluated: those fused ahead of the one the work is named for, that one, and those
   * fused behind it.
   */
  readonly ops: readonly ProgramOperator[];
  /** Which of `ops` it is named for. */
  readonly main: number;
  /** Floating-point operations; a multiply-add is two. */
  readonly flops: SizeText;
  /** Bytes read from memory and written to it, every operand once. */
  readonly bytes: SizeText;
}

export interface ProgramOperator {
  readonly op: string;
  /** Of `origins`; null where nobody knows. */
  readonly origin: number | null;
}

/** The call path and source line an operator was compiled from. */
export interface ProgramOrigin {
  readonly path: string;
  readonly file: string;
  readonly line: number;
}
