// Converts a plan to a program: WGSL for every kernel, sizes as text, source places as lines.
import type { Model } from "../../language/check/model/model.js";
import { invariant } from "../../ground/base/invariant.js";
import type { SourceFile } from "../../language/diagnostics/span.js";
import { kernelFiles } from "../../ground/embedded.js";
import { isOp, nodesOf } from "../ir/graph.js";
import type { OpAttrs } from "../ir/vocabulary.js";
import { wholeShape } from "../ir/typing.js";
import {
  FEATURES,
  PINS,
  pinnedWidth,
  roomyWidth,
  sameShape,
  type Requirements,
  type Target,
} from "../../runtime/program/target.js";
import { tuningsDigest } from "../schedule/tunings/file.js";
import type { Kernel, Plan, PlanStep, PlanTable, Uniform } from "../schedule/plan/plan.js";
import {
  asProgramWeight,
  PROGRAM_FORMAT,
  PROGRAM_VERSION,
  type Program,
  type ProgramKernel,
  type ProgramStep,
  type ProgramTable,
  type ProgramUniform,
  type ProgramWeight,
  type SizeText,
} from "../../runtime/program/program.js";
import { mapAxis } from "../../ground/size/axes.js";
import { printRational } from "../../ground/numerics/rational.js";
import { printSize, type Size } from "../../ground/size/size.js";
import { joinedText } from "./joined.js";
import { LineTable, worksOf } from "./works.js";
import { assemble, printRegion } from "./region.js";

export interface EmitOptions {
  /**
   * The model the plan was compiled from: its weights, parameters and phase. Without it, the program lists the weights
   * that the plan reads, initialized with zeros.
   */
  readonly model?: Model;
  /** Source texts that origins point into. Origins in other files get line 0. */
  readonly sources?: readonly SourceFile[];
}

/** Converts a plan to a program, i.e. the data a runtime needs. Kernels with equal text are stored once. */
export function emit(plan: Plan, options: EmitOptions = {}): Program {
  const { graph } = plan;
  const { model } = options;
  const kernels = new Kernels(plan.target);
  const { works, origins, ofStep } = worksOf(plan, new LineTable(options.sources ?? []));
  const steps = plan.steps.map((step, i) => emitStep(step, kernels, ofStep[i]!));
  return {
    format: PROGRAM_FORMAT,
    version: PROGRAM_VERSION,
    model: graph.name,
    phase: model?.phase ?? "infer",
    entry: model?.entry ?? "forward",
    target: plan.target,
    requires: requirementsOf(plan),
    precision: plan.precision,
    tunings: tuningsDigest(plan.tunings),
    parameters: model?.parameters.map(({ name, value }) => ({ name, value })) ?? [],
    axes: graph.axes.map((axis) => mapAxis(axis, { size: sizeText, ratio: printRational })),
    live: graph.live.map((l) => ({ name: l.name, kind: l.kind, default: printRational(l.default) })),
    inputs: graph.inputs.map((i) => ({
      name: i.name,
      dtype: i.node.attrs.dtype,
      shape: i.shape.map(sizeText),
      packing: i.packing,
      least: i.least,
      below: i.below,
      slot: plan.inputs.get(i.name) ?? null,
    })),
    outputs: graph.outputs.map((o, i) => {
      return {
        name: o.name,
        role: o.role,
        dtype: o.node.types[0]!.dtype,
        shape: o.shape.map(sizeText),
        packing: o.packing,
        ...plan.outputs[i]!,
      };
    }),
    weights: weightsOf(plan, model),
    ignore: model?.ignore ?? [],
    states: graph.states.map((s) => {
      const slot = plan.states.get(s.name);
      invariant(slot !== undefined, `state ${s.name} has no slot`);
      return { name: s.name, dtype: s.type.dtype, shape: s.type.shape.map(sizeText), init: s.init, slot };
    }),
    tables: plan.tables.map(emitTable),
    slots: plan.slots.map((s) => ({ bytes: sizeText(s.bytes), label: s.label })),
    kernels: kernels.all,
    steps,
    works,
    origins,
  };
}

function requirementsOf(plan: Plan): Requirements {
  const used = plan.steps.flatMap((step) => (step.kind === "dispatch" ? [step.kernel] : []));
  const all = used.map((kernel) => kernel.requires);
  const said = used.map((kernel) => pinnedIn(kernel, plan.target)).find((width) => width !== null) ?? null;
  const subgroupSize = all.find((r) => r.subgroupSize !== null)?.subgroupSize ?? said;
  const pins = said !== null;
  const features = FEATURES.filter(
    (f) =>
      all.some((r) => r.features.includes(f)) ||
      (f === "shader-f16" && plan.precision === "f16") ||
      ((f === PINS || f === "subgroups") && pins),
  );
  const least = Math.max(...all.map((r) => r.leastSubgroup ?? 0));
  const matrices = all.flatMap((r) => r.matrices ?? []);
  const distinct = matrices.filter((shape, i) => matrices.findIndex((other) => sameShape(shape, other)) === i);
  return {
    features: features.toSorted(),
    subgroupSize,
    ...(least > 0 && { leastSubgroup: least }),
    ...(distinct.length > 0 && { matrices: distinct }),
  };
}

/** Workgroups of more subgroups than this do not run on all of Intel's GPUs (64 threads before Gfx12.5). */
const MOST_SUBGROUPS = 64;

/** The size that a kernel says its subgroups have; null if it says none. */
function pinnedIn(kernel: Kernel, target: Target): number | null {
  if (kernel.requires.subgroupSize !== null) return pinnedWidth(target);
  const width = kernel.holdsMany === true ? roomyWidth(target) : null;
  if (width === null) return null;
  // WebGPU refuses a size of which the workgroup's first dimension is no multiple.
  const lanes = lanesOf(kernel);
  return lanes % width === 0 && lanes / width <= MOST_SUBGROUPS ? width : null;
}

/** Invocations of a workgroup in x: a number of the file, or a constant of the kernel. */
function lanesOf(kernel: Kernel): number {
  const size = /@workgroup_size\((\w+)/.exec(sourceOf(kernel))?.[1];
  const constant = kernel.declarations.find((d) => d.kind === "constant" && d.name === size);
  const lanes = constant?.kind === "constant" ? constant.value : Number(size);
  invariant(Number.isInteger(lanes), `kernels/${kernel.file}.wgsl: the workgroup's size ${size} is not known`);
  return lanes;
}

/** The program's kernels, deduplicated by their text. */
class Kernels {
  readonly all: ProgramKernel[] = [];
  readonly #byKernel = new Map<Kernel, number>();
  readonly #byText = new Map<string, number>();
  readonly #target: Target;

  constructor(target: Target) {
    this.#target = target;
  }

  indexOf(kernel: Kernel, tuning: string | null): number {
    let index = this.#byKernel.get(kernel);
    if (index === undefined) this.#byKernel.set(kernel, (index = this.#add(kernel, tuning)));
    return index;
  }
  #add(kernel: Kernel, tuning: string | null): number {
    const text = kernel.joins ? joinedText(kernel, kernel.joins, sourceOf) : `${kernel.file}\n${printRegion(kernel)}`;
    const known = this.#byText.get(text);
    if (known !== undefined) return known;
    const index = this.all.length;
    this.all.push({
      name: `${kernel.name}.${index}`,
      wgsl: kernel.joins ? text : assemble(sourceOf(kernel), kernel, pinnedIn(kernel, this.#target)),
      access: kernel.buffers.map((b) => b.access),
      uniforms: kernel.fields.length,
      tuning:
        tuning ?? kernel.declarations.flatMap((d) => (d.kind === "constant" ? [`${d.name}=${d.value}`] : [])).join(" "),
    });
    this.#byText.set(text, index);
    return index;
  }
}

function sourceOf({ file }: Kernel): string {
  const source = kernelFiles[`${file}.wgsl`];
  invariant(source !== undefined, `there is no kernels/${file}.wgsl`);
  return source;
}

function emitStep(step: PlanStep, kernels: Kernels, work: number): ProgramStep {
  switch (step.kind) {
    case "dispatch":
      return {
        kind: "dispatch",
        kernel: kernels.indexOf(step.kernel, step.tuning ?? null),
        slots: step.buffers,
        uniforms: step.uniforms.map(emitUniform),
        workgroups: sizeText(step.workgroups),
        ...(step.standIn && { standIn: { ...step.standIn, workgroups: sizeText(step.standIn.workgroups) } }),
        work,
      };
    case "copy":
      return { kind: "copy", from: step.from, to: step.to, bytes: sizeText(step.bytes), work };
    case "clear":
      return { kind: "clear", slot: step.to, bytes: sizeText(step.bytes), work };
    default:
      return step satisfies never;
  }
}

const sizeText = (size: Size): SizeText => (typeof size === "number" ? size : printSize(size));

/**
 * The JSON form of a uniform. Values that JSON cannot hold (NaN, infinities, −0) are written as the bits of the word.
 */
export function emitUniform(uniform: Uniform): ProgramUniform {
  if ("size" in uniform) return sizeText(uniform.size);
  const { value, dtype } = uniform;
  switch (dtype) {
    case "f32":
    case "f16": {
      const single = Math.fround(value);
      return Number.isFinite(single) && !Object.is(single, -0) ? { f32: single } : bitsOf(single);
    }
    case "i32":
    case "u32":
    case "bool":
      return value >>> 0;
    default:
      return dtype satisfies never;
  }
}

const bitsOf = (value: number): number => new Uint32Array(new Float32Array([value]).buffer)[0]!;

function emitTable(table: PlanTable): ProgramTable {
  switch (table.kind) {
    case "size":
      return { kind: "size", size: sizeText(table.size), dtype: table.dtype, slot: table.slot };
    case "rope": {
      const { positions, width, theta, frequencies, scale } = table.attrs;
      return { kind: "rope", positions: sizeText(positions), width, theta, frequencies, scale, slot: table.slot };
    }
    case "starts":
    case "counts":
    case "positions":
    case "segments":
    case "k":
    case "span":
      return { kind: table.kind, axis: table.axis, slot: table.slot };
    case "live":
      return { kind: "live", name: table.name, slot: table.slot };
    case "literal":
      return { kind: "literal", values: table.values, slot: table.slot };
    case "seed":
      return { kind: "seed", slot: table.slot };
    default:
      return table satisfies never;
  }
}

/**
 * All weights that the model declares, whether the plan reads them or not, because a checkpoint must contain them all.
 */
function weightsOf(plan: Plan, model: Model | undefined): readonly ProgramWeight[] {
  const slotsOf = (path: string): ProgramWeight["slots"] => plan.weights.get(path) ?? [];
  if (model) return model.weights.map((weight) => asProgramWeight(weight, slotsOf(weight.path)));
  const read = new Map<string, OpAttrs["weight"]>();
  for (const node of nodesOf(plan.graph)) if (isOp(node, "weight")) read.set(node.attrs.path, node.attrs);
  return [...read.values()].map(({ path, dtype, ...attrs }) => ({
    path,
    dtype,
    shape: wholeShape({ path, dtype, ...attrs }),
    init: { kind: "zeros" },
    keys: [path],
    slots: slotsOf(path),
  }));
}
