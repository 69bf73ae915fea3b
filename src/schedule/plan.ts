// The plan: which kernels run on which buffers, in which order, before any WGSL is written.
import type { Graph, Node, Origin } from "../ir/graph.js";
import type { OpAttrs } from "../ir/vocabulary.js";
import type { EncodingName } from "../program/encodings/index.js";
import type { CountedTable, ProgramOutputPart, ProgramWeightSlot, StandInCase } from "../program/program.js";
import type { ActivationType, Requirements, Target } from "../program/target.js";
import type { DType } from "../base/dtype.js";
import type { Size } from "../size/size.js";
import type { Tunings } from "./tunings/index.js";

export interface Plan {
  readonly graph: Graph;
  readonly target: Target;
  readonly tunings: Tunings;
  /** What kernels hand to kernels. */
  readonly precision: ActivationType;
  /** Of nodes whose first result lies in no words. */
  readonly encodings: ReadonlyMap<Node, EncodingName>;
  readonly slots: readonly PlanSlot[];
  readonly steps: readonly PlanStep[];
  readonly tables: readonly PlanTable[];
  /** Slots by name; inputs that no kernel reads have none. */
  readonly inputs: ReadonlyMap<string, number>;
  /** By path: a slot for each layout that a kernel reads. */
  readonly weights: ReadonlyMap<string, readonly PlanWeight[]>;
  readonly states: ReadonlyMap<string, number>;
  /** In the order of the graph's outputs. */
  readonly outputs: readonly PlanOutput[];
}

export interface PlanSlot {
  /** Largest size of the values that live in it, one after the other. */
  readonly bytes: Size;
  readonly label: string;
}

export type PlanWeight = ProgramWeightSlot;

export interface PlanOutput {
  readonly slot: number;
  /** As `ProgramOutput.parts`. */
  readonly parts: readonly ProgramOutputPart[];
  /** Of each dimension along an axis that only the device counts: the slot of its starts. */
  readonly starts: readonly { readonly dim: number; readonly slot: number }[];
}

export type PlanTable =
  | { readonly kind: CountedTable | "k" | "span"; readonly axis: string; readonly slot: number }
  | { readonly kind: "size"; readonly size: Size; readonly dtype: "f32" | "u32" | "i32"; readonly slot: number }
  | { readonly kind: "live"; readonly name: string; readonly slot: number }
  | { readonly kind: "seed"; readonly slot: number }
  | { readonly kind: "rope"; readonly attrs: OpAttrs["rope_table"]; readonly slot: number };

/** `B` is how a step names a buffer: an operand within a kernel's spec, a slot within a plan. */
export type Step<B> =
  | {
      readonly kind: "dispatch";
      readonly kernel: Kernel;
      /** In order of the kernel's buffers. */
      readonly buffers: readonly B[];
      readonly uniforms: readonly Uniform[];
      /** How many workgroups; at the bound where only the device knows the extent. */
      readonly workgroups: Size;
      /** Where it stands in for one of the steps right behind it. */
      readonly standIn?: StandIn;
      /**
       * Which algorithm and tile were chosen, for people: `subgroup, 16 × 64`. By default the kernel's constants are
       * named.
       */
      readonly tuning?: string;
    }
  | { readonly kind: "copy"; readonly from: B; readonly to: B; readonly bytes: Size }
  | { readonly kind: "clear"; readonly to: B; readonly bytes: Size };

/** As `ProgramStandIn`. */
export interface StandIn {
  readonly steps: number;
  readonly workgroups: Size;
  readonly where: StandInCase;
}

/** `nodes`: all that the step computes, the one it is named for first. */
export type PlanStep = Step<number> & { readonly origin: Origin | null; readonly nodes: readonly Node[] };

/** A word of the uniform buffer: a size, or a constant. */
export type Uniform = { readonly size: Size } | { readonly value: number; readonly dtype: DType };

/**
 * A kernel: a file of `kernels/` and what stands in its parameters region. Equal kernels have equal text and are
 * compiled once.
 */
export interface Kernel {
  /** Name of the file, without `.wgsl`. */
  readonly file: string;
  /** What it does here, for people: the file's name, or the operators of a generated expression. */
  readonly name: string;
  /** Fields of `Sizes`, in order of the uniform words. */
  readonly fields: readonly Field[];
  /** Bindings from 1. */
  readonly buffers: readonly Buffer[];
  readonly declarations: readonly Declaration[];
  readonly requires: Requirements;
}

export interface Field {
  readonly name: string;
  readonly type: WgslType;
}

export type WgslType = "f32" | "u32" | "i32";

export interface Buffer {
  readonly name: string;
  readonly access: "read" | "read_write";
  /**
   * `vec4u`: four words. `vec2u`: four f16 values, packed in two words. `atomic<u32>`: words that several invocations
   * change.
   */
  readonly element: WgslType | "f16" | "vec4f" | "vec4u" | "vec2u" | "atomic<u32>";
}

/** What varies between the uses of a kernel's file: declarations, and nothing in the bodies. */
export type Declaration =
  /** `alias name = type;` */
  | { readonly kind: "alias"; readonly name: string; readonly type: WgslType }
  /** `const name = value;`: the few sizes that are worth a compilation of their own. */
  | { readonly kind: "constant"; readonly name: string; readonly value: number }
  /** `fn name() -> u32`: an extent. */
  | { readonly kind: "count"; readonly name: string; readonly count: Count }
  /** `fn name(i: u32) -> u32`: from the number of an element in one order to its offset in another. */
  | { readonly kind: "index"; readonly name: string; readonly map: IndexMap }
  /** A function as WGSL; may call the helpers of `ops/wgsl.ts`. */
  | { readonly kind: "function"; readonly wgsl: string };

/** An extent or stride as a kernel knows it. */
export type Count =
  | { readonly kind: "one" }
  | { readonly kind: "zero" }
  /** A word of the uniform buffer. */
  | { readonly kind: "field"; readonly field: string }
  /**
   * Rows of an axis that only the device knows: `starts[batch]`, the last entry of its starts, times a field and plus
   * another.
   */
  | {
      readonly kind: "rows";
      readonly starts: string;
      readonly batch: string;
      readonly times: string | null;
      readonly plus: string | null;
    };

/** offset + Σ coordinate(d) · stride(d), the coordinates of element i over `sizes`, row-major. */
export interface IndexMap {
  readonly sizes: readonly Count[];
  readonly strides: readonly Count[];
  readonly offset: Count;
}

/** The same step over other buffers. */
export function mapStep<A, B>(step: Step<A>, to: (buffer: A) => B): Step<B> {
  switch (step.kind) {
    case "dispatch":
      return { ...step, buffers: step.buffers.map(to) };
    case "copy":
      return { ...step, from: to(step.from), to: to(step.to) };
    case "clear":
      return { ...step, to: to(step.to) };
    default:
      return step satisfies never;
  }
}
