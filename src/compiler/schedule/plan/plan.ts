// The plan: the kernels, their buffers and their order, before WGSL is generated.
import type { Graph, Node, Origin } from "../../ir/graph.js";
import type { OpAttrs } from "../../ir/vocabulary.js";
import type { EncodingName } from "../../../runtime/program/encodings/index.js";
import type {
  CountedTable,
  ProgramOutputPart,
  ProgramWeightSlot,
  StandInCase,
} from "../../../runtime/program/program.js";
import type { Access } from "../../../runtime/program/textures.js";
import type { ActivationType, Requirements, Target } from "../../../runtime/program/target.js";
import type { DType } from "../../../ground/base/dtype.js";
import type { Size } from "../../../ground/size/size.js";
import type { Tunings } from "../tunings/index.js";

export interface Plan {
  readonly graph: Graph;
  readonly target: Target;
  readonly tunings: Tunings;
  /** Storage type of activations between kernels. */
  readonly precision: ActivationType;
  /** Encodings of nodes whose first result is not stored in words. */
  readonly encodings: ReadonlyMap<Node, EncodingName>;
  readonly slots: readonly PlanSlot[];
  readonly steps: readonly PlanStep[];
  readonly tables: readonly PlanTable[];
  /** Slots by name; inputs that no kernel reads have none. */
  readonly inputs: ReadonlyMap<string, number>;
  /** By path of the weight: a slot for each layout that a kernel reads. */
  readonly weights: ReadonlyMap<string, readonly PlanWeight[]>;
  readonly states: ReadonlyMap<string, number>;
  /** In the order of the graph's outputs. */
  readonly outputs: readonly PlanOutput[];
}

export interface PlanSlot {
  /** Largest size of the values that share the slot. */
  readonly bytes: Size;
  readonly label: string;
}

export type PlanWeight = ProgramWeightSlot;

export interface PlanOutput {
  readonly slot: number;
  /** As `ProgramOutput.parts`. */
  readonly parts: readonly ProgramOutputPart[];
  /** For each dimension whose extent only the device knows: the slot of its axis's starts. */
  readonly starts: readonly { readonly dim: number; readonly slot: number }[];
}

export type PlanTable =
  | { readonly kind: CountedTable | "k" | "span"; readonly axis: string; readonly slot: number }
  | { readonly kind: "size"; readonly size: Size; readonly dtype: "f32" | "u32" | "i32"; readonly slot: number }
  | { readonly kind: "live"; readonly name: string; readonly slot: number }
  | { readonly kind: "literal"; readonly values: readonly number[]; readonly slot: number }
  | { readonly kind: "seed"; readonly slot: number }
  | { readonly kind: "rope"; readonly attrs: OpAttrs["rope_table"]; readonly slot: number };

/** `B` identifies a buffer: an operand in a kernel's spec, a storage during scheduling, a slot in a plan. */
export type Step<B> =
  | {
      readonly kind: "dispatch";
      readonly kernel: Kernel;
      /** In the order of the kernel's buffers. */
      readonly buffers: readonly B[];
      readonly uniforms: readonly Uniform[];
      /** Number of workgroups; for the axis's bound where only the device knows the extent. */
      readonly workgroups: Size;
      /** Set if the step may run in place of one of the steps right after it. */
      readonly standIn?: StandIn;
      /** The chosen algorithm and tile, for display: `subgroup, 16 × 64`. Default: the kernel's constants. */
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

/** `nodes`: all nodes that the step computes; the step is named after the first. */
export type PlanStep = Step<number> & { readonly origin: Origin | null; readonly nodes: readonly Node[] };

/** A word of the uniform buffer: a size, or a constant. */
export type Uniform = { readonly size: Size } | { readonly value: number; readonly dtype: DType };

/**
 * A kernel: a file of `kernels/` and the contents of its parameters region. Equal kernels have equal text and are
 * compiled once.
 */
export interface Kernel {
  /** Name of the file, without `.wgsl`. */
  readonly file: string;
  /** A name for display: the file's name, or the operators of a generated expression. */
  readonly name: string;
  /** Fields of the uniform struct `Sizes`, in the order of its words. */
  readonly fields: readonly Field[];
  /** Storage buffers, at bindings from 1 on. */
  readonly buffers: readonly Buffer[];
  readonly declarations: readonly Declaration[];
  readonly requires: Requirements;
  /** Whether a lane holds many values: then narrow subgroups, with more registers for each lane, are faster. */
  readonly holdsMany?: boolean;
  /** The kernels that a joined kernel runs in turn; left out for all other kernels. */
  readonly joins?: readonly JoinedKernel[];
}

/** A kernel without barriers that a workgroup runs as a part of another. */
export interface JoinedKernel {
  readonly kernel: Kernel;
  /** Begins the names of its declarations and of its words in the uniform buffer. */
  readonly prefix: string;
  /** For each of its buffers, the number of the buffer in the whole kernel. */
  readonly buffers: readonly number[];
  /** Whether it must wait for the parts before it. */
  readonly waits: boolean;
}

export interface Field {
  readonly name: string;
  readonly type: WgslType;
}

export type WgslType = "f32" | "u32" | "i32";

export interface Buffer {
  readonly name: string;
  /** A format: it is no buffer but a texture, an element to a texel (`program/textures.ts`). */
  readonly access: Access;
  /**
   * `vec4u`: four words. `vec2u`: four f16 values, packed in two words. `atomic<u32>`: words that several invocations
   * change.
   */
  readonly element: WgslType | "f16" | "vec4f" | "vec4u" | "vec2u" | "atomic<u32>";
}

/** A declaration of the parameters region. Only these vary between the uses of a kernel file, never function bodies. */
export type Declaration =
  /** `alias name = type;` */
  | { readonly kind: "alias"; readonly name: string; readonly type: WgslType }
  /** `const name = value;`: for the few sizes for which specializing the kernel pays off. */
  | { readonly kind: "constant"; readonly name: string; readonly value: number }
  /** `fn name() -> u32`: an extent. */
  | { readonly kind: "count"; readonly name: string; readonly count: Count }
  /** `fn name(i: u32) -> u32`: maps an element's index in one order to its offset in a buffer. */
  | { readonly kind: "index"; readonly name: string; readonly map: IndexMap }
  /** A function as WGSL; it may call the helpers of `ops/wgsl.ts`. */
  | { readonly kind: "function"; readonly wgsl: string };

/** An extent or stride in a kernel. */
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

/** offset + Σ coordinate(d) · stride(d), for the coordinates of element i over `sizes`, row-major. */
export interface IndexMap {
  readonly sizes: readonly Count[];
  readonly strides: readonly Count[];
  readonly offset: Count;
}

/** The same step with its buffers mapped by `to`. */
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

/** The memory of one value, or of several that take it over in place. */
export interface Storage {
  readonly bytes: Size;
  /** A label for messages. */
  readonly label: string;
}

export const storage = (bytes: Size, label: string): Storage => ({ bytes, label });
