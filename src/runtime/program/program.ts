// The compiled program: plain, versioned, serializable data, the only input of the runtime.
import type { DType } from "../../ground/base/dtype.js";
import type { Axis } from "../../ground/size/axes.js";
import { bytesOf } from "./encodings/encoding.js";
import { encodings, type EncodingName } from "./encodings/index.js";
import type { ActivationType, Requirements, Target } from "./target.js";
import { isTexture, textureShape, type Access, type TextureShape } from "./textures.js";

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
  /** The target that the program was compiled for, and the features that a device must have. */
  readonly target: Target;
  readonly requires: Requirements;
  /** Storage type of activations. f16: the device must have `shader-f16`, even if no kernel uses the feature. */
  readonly precision: ActivationType;
  /** Digest of the tunings that determined the kernels and tiles. */
  readonly tunings: string;
  /** The model's parameter values, printed. */
  readonly parameters: readonly { readonly name: string; readonly value: string }[];
  /** The batch axis first; each axis after the axes that its rule depends on. */
  readonly axes: readonly ProgramAxis[];
  readonly live: readonly { readonly name: string; readonly kind: "ratio" | "float"; readonly default: string }[];
  readonly inputs: readonly ProgramInput[];
  readonly outputs: readonly ProgramOutput[];
  readonly weights: readonly ProgramWeight[];
  /** Patterns of checkpoint keys to ignore; `{x}` matches one segment between dots. */
  readonly ignore: readonly string[];
  readonly states: readonly ProgramState[];
  /** Tables that the host computes once or for each run, from sizes, live parameters and the seed. */
  readonly tables: readonly ProgramTable[];
  /** Buffers, created once per session. */
  readonly slots: readonly ProgramSlot[];
  readonly kernels: readonly ProgramKernel[];
  readonly steps: readonly ProgramStep[];
  /** Debug information: the operators of steps, for display and profilers. In the order of the steps. */
  readonly works: readonly ProgramWork[];
  /** The source locations of works, without duplicates. */
  readonly origins: readonly ProgramOrigin[];
}

/** An axis with its sizes and ratios as text. */
export type ProgramAxis = Axis<SizeText, string>;

export interface ProgramPacking {
  readonly axis: string;
  readonly batchDim: number;
  readonly tokenDim: number;
}

export interface ProgramInput {
  readonly name: string;
  readonly dtype: DType;
  /** The caller's shape, with sequences padded to a common length. */
  readonly shape: readonly SizeText[];
  /** How the session packs the input before writing the slot; null: unchanged. */
  readonly packing: ProgramPacking | null;
  /**
   * If `below` is set, the least integer value: 0; −1 for labels that may be absent; −below for indices that may count
   * from the end.
   */
  readonly least: number;
  /** Integer values must be below this; null: no limit. */
  readonly below: number | null;
  /** The slot of the input; null if no kernel reads the input. */
  readonly slot: number | null;
}

export interface ProgramOutput {
  readonly name: string;
  /** `update`: the new value of a state in a training step. */
  readonly role: "result" | "loss" | "observe" | "update";
  readonly dtype: DType;
  readonly shape: readonly SizeText[];
  readonly packing: ProgramPacking | null;
  readonly slot: number;
  /**
   * If the last dimension is split over several slots: all slots in order, `slot` first, with the columns of each.
   * Otherwise empty.
   */
  readonly parts: readonly ProgramOutputPart[];
  /**
   * For each dimension of `shape` along an axis whose counts only the device knows: the slot of the axis's row offsets,
   * u32[B+1]. The dimension's extent is then the longest count.
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
  /** Keys under which a checkpoint may hold the weight; if several are present, their tensors must be byte-equal. */
  readonly keys: readonly string[];
  /**
   * A slot for each layout that kernels read; empty if no kernel reads the weight. Concatenated weights share a slot.
   */
  readonly slots: readonly ProgramWeightSlot[];
}

export interface ProgramWeightSlot {
  readonly slot: number;
  /** The encoding of the slot. */
  readonly form: EncodingName;
  /** The layout of the weight, or of its part in this slot. */
  readonly layout: WeightLayout;
  /** The slot holds only elements `start` … `stop` − 1 along an axis; null: all. */
  readonly part: { readonly axis: number; readonly start: number; readonly stop: number } | null;
}

/** The layout of a weight in a slot; the runtime packs it at load. */
export type WeightLayout =
  /** Row-major, as in a checkpoint. */
  | { readonly kind: "given" }
  /**
   * Matrices one after the other, each `depth` × `total` (K × N), split into panels of `columns` columns. For each k, a
   * panel stores the values of its columns, padded with zeros. `f32[matrices, ceil(total / columns), K, columns]`.
   *
   * The weight's own matrices are `depth` × `width`, or `transposed` (`width` × `depth`), and its columns are `first` …
   * `first + width` − 1: several weights with equally many matrices may be concatenated in a slot, so that one product
   * reads all of them. With `pairs` D > 0, columns j and j + D of each 2·D are adjacent: position g·2D + 2·j + h holds
   * column g·2D + h·D + j, for h = 0 or 1 and j < D. `total` is then a multiple of 2·D.
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

/**
 * Number of values in a slot that holds a weight of `elements` elements in a layout, including concatenated weights.
 */
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

/** A declared weight in serialized form, with the slots of the layouts that kernels read. */
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

/** The distance between the values of a block: blocks extend along the depth of panels, otherwise along rows. */
export const blockStride = (layout: WeightLayout): number => (layout.kind === "given" ? 1 : layout.columns);

/** Bytes of a slot that holds the weight. */
export const weightBytes = (layout: WeightLayout, elements: number, form: EncodingName): number =>
  bytesOf(encodings[form], packedLength(layout, elements));

export interface ProgramState {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly SizeText[];
  /** `filled`: every element is this value, a 32-bit integer. */
  readonly init:
    | { readonly kind: "zeros" }
    | { readonly kind: "filled"; readonly value: number }
    | { readonly kind: "weight"; readonly path: string };
  readonly slot: number;
}

/** Tables computed from the counts of an axis. */
export type CountedTable = "starts" | "counts" | "positions" | "segments";

export type ProgramTable =
  /**
   * Tables of an axis whose counts the host knows. `starts`, u32[B+1]: the row offsets of the sequences (cu_seqlens).
   * `counts`, u32[B]: the number of rows of each sequence. `positions` and `segments`, u32[rows]: for each row, its
   * index in its sequence, and its sequence.
   */
  | { readonly kind: CountedTable; readonly axis: string; readonly slot: number }
  /** u32[longest + 1]: k of `axis`'s rule for each count of its parent axis (`kTable`). */
  | { readonly kind: "k"; readonly axis: string; readonly slot: number }
  /**
   * u32[2 · (longest + 1)]: for each count n of the parent of `axis` (rule `span`), the first token and the end of the
   * span (`spanOf`).
   */
  | { readonly kind: "span"; readonly axis: string; readonly slot: number }
  /** One f32, u32 or i32: the value of a size. */
  | { readonly kind: "size"; readonly size: SizeText; readonly dtype: "f32" | "u32" | "i32"; readonly slot: number }
  /** One f32: a live parameter. */
  | { readonly kind: "live"; readonly name: string; readonly slot: number }
  /** f32[values]: numbers of the model's text. */
  | { readonly kind: "literal"; readonly values: readonly number[]; readonly slot: number }
  /** One u32. */
  | { readonly kind: "seed"; readonly slot: number }
  /** f32[positions, width] (`rope_table` of the IR); computed in f64, extended when `positions` grows. */
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
  /** The size at the bounds passed to `load`; routed rows count as their bound. */
  readonly bytes: SizeText;
  /** The contents, for display: `layers.1.inner.attn.q`, `activations`. */
  readonly label: string;
}

export interface ProgramKernel {
  /** File or generated name and a number: `matmul.3`. */
  readonly name: string;
  /** Complete WGSL with entry point `main`. If `uniforms` > 0, binding 0 is the uniform buffer of u32 parameters. */
  readonly wgsl: string;
  /**
   * Access of each storage binding, in order of binding number (from 1). For accesses other than `read` and
   * `read_write`, the slot is a storage texture (`textures.ts`).
   */
  readonly access: readonly Access[];
  /** Number of u32 words in its uniform buffer. */
  readonly uniforms: number;
  /** The chosen algorithm and tile, for display: `ROWS=16 VECTORS=2`; empty if the kernel has no choice. */
  readonly tuning: string;
}

/** The shape of each slot that is a texture. */
export function textureSlots({
  kernels,
  steps,
}: Pick<Program, "kernels" | "steps">): ReadonlyMap<number, TextureShape> {
  const slots = new Map<number, TextureShape>();
  for (const step of steps)
    if (step.kind === "dispatch")
      kernels[step.kernel]!.access.forEach((access, i) => {
        if (isTexture(access)) slots.set(step.slots[i]!, textureShape(access));
      });
  return slots;
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
       * Number of workgroups. The runtime splits it into x and y so that neither exceeds the device's limit; the kernel
       * computes its index as `workgroup_id.x + workgroup_id.y · num_workgroups.x` and checks bounds.
       */
      readonly workgroups: SizeText;
      /** Set if the step may run in place of one of the following steps. */
      readonly standIn?: ProgramStandIn;
      /**
       * Index in `works`; null if unknown. Steps of one work are consecutive. They may be alternatives, of which only
       * one has workgroups.
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
 * A stand-in: the step computes bit by bit the same as one of the next `steps` steps, namely the one that has
 * workgroups at the run's sizes. A stand-in pays because its kernel compiles faster, or is compiled anyway, although
 * the other kernel runs faster; or it relies on a promise about the states.
 */
export interface ProgramStandIn {
  readonly steps: number;
  readonly workgroups: SizeText;
  readonly where: StandInCase;
}

/**
 * When a stand-in is used. `spared`: while the other kernel is not compiled, for steps of at most `each` floating-point
 * operations, until `total` operations are done; only on devices that compile slowly. `shared`: the same, if the
 * stand-in's kernel is already compiled or another step of the run needs it. `promised`: in runs whose caller makes
 * this promise (`RunOptions.promises`).
 */
export type StandInCase =
  | { readonly kind: "spared" | "shared"; readonly each: number; readonly total: number }
  | { readonly kind: "promised"; readonly promise: RunPromise };

/**
 * Promises that a caller may make about a run. greedy: the sampling states request the likeliest token of every
 * sequence, with unmodified logits and without log-probabilities.
 */
export const PROMISES = ["greedy"] as const;
export type RunPromise = (typeof PROMISES)[number];

/** Debug information on a step, or on several related steps: their operators and cost. */
export interface ProgramWork {
  /** Operators in order of evaluation: the fused prologue, the main operator, the fused epilogue. */
  readonly ops: readonly ProgramOperator[];
  /** Index in `ops` of the main operator, which names the work. */
  readonly main: number;
  /** Floating-point operations; a multiply-add counts as two. Experts count by their expected number of tokens. */
  readonly flops: SizeText;
  /** The operations if all experts computed, for mixtures in which some experts do nothing. */
  readonly denseFlops?: SizeText;
  /** Bytes read from and written to memory, counting every operand once. */
  readonly bytes: SizeText;
}

export interface ProgramOperator {
  readonly op: string;
  /** Index in `origins`; null if unknown. */
  readonly origin: number | null;
}

/** The call path and source line of an operator. */
export interface ProgramOrigin {
  readonly path: string;
  readonly file: string;
  readonly line: number;
}
