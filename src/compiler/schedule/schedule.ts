// Graph → plan: which kernels run, in which order, on which slots.
import { invariant } from "../../ground/base/invariant.js";
import { type Graph, type GraphOutput } from "../ir/graph.js";
import {
  PORTABLE,
  storageTypes,
  TargetError,
  type Precision,
  type StorageTypes,
  type Target,
} from "../../runtime/program/target.js";
import { encodedValues, encodingsOf } from "./memory/encodings.js";
import { deviceDims, fuse, piecesOf, statesBehind, type KernelGraph } from "./fusion/kernel-graph.js";
import { assignSlots, touched } from "./memory/slots.js";
import { mapStep, type Plan, type PlanOutput, type PlanStep, type Storage } from "./plan/plan.js";
import { joinDispatches } from "./joining/join-dispatches.js";
import { widthOf } from "./analysis/extents.js";
import { storeKernels } from "./memory/storages.js";
import { tuningsFor, type Tunings } from "./tunings/index.js";
import type { FusedKernel } from "./kernels/fused-kernel.js";
import { updatesAfterReaders } from "./memory/kernel-order.js";

export interface SchedulePrecision extends Precision {
  /** Paths of the weights that alone may be stored in the type of weights; default: all. */
  readonly of?: ReadonlySet<string>;
}

/**
 * Chooses kernels and memory for a graph on a device, by default with the tunings of its class. Linear in its nodes.
 * Throws TargetError for f16 on a target without it, CompilerBug where a kernel exceeds the limits.
 */
export function schedule(
  graph: Graph,
  target: Target = PORTABLE,
  tunings: Tunings = tuningsFor(target),
  precision: SchedulePrecision = {},
): Plan {
  const types = storageTypes(precision);
  expectF16(types, target);
  const fused = fuse(graph, target, tunings);
  const { sources } = fused;
  const encoded = encodedValues(fused, types, precision.of ?? null);
  const kernels = kernelsInOrder(fused);
  const stored = storeKernels(kernels, fused, { encoded, tunings, target });
  const { outputs, starts, labels } = stored;
  const live = new Map(fused.graph.live.map((l) => [l.name, l.default]));
  const steps = joinDispatches(stored.steps, target, fused.graph.axes, live);
  const used = new Set([...steps.flatMap((step) => touched(step)), ...labels.keys()]);
  const fixed = new Map([...sources.storages(used).map((s) => [s, s.label] as const), ...labels]);
  const { slots, slotOf } = assignSlots(steps, fixed, fused.graph.axes, live);
  return {
    graph: fused.graph,
    target,
    tunings,
    precision: types.activations,
    encodings: encodingsOf(encoded, fused),
    slots,
    steps: steps.map((step): PlanStep => ({ ...mapStep(step, slotOf), origin: step.origin, nodes: step.nodes })),
    outputs: outputs.map((pieces, i) =>
      outputOf(fused, fused.graph.outputs[i]!, pieces.map(slotOf), (axis) => slotOf(startsOf(starts, axis))),
    ),
    ...sources.slots(slotOf, used),
  };
}

function expectF16({ activations }: StorageTypes, target: Target): void {
  if (activations === "f16" && !target.f16)
    throw new TargetError(
      `activations in f16 need shader-f16, which the target (${target.device}) does not have`,
      "store them in f32, or compile for a device that has it",
    );
}

/** Orders the kernels such that the old values of states are read before the new ones are written. */
function kernelsInOrder({ graph, extents, kernels, layouts, results }: KernelGraph): readonly FusedKernel[] {
  return updatesAfterReaders(kernels, {
    statesOf: ({ node }) => statesBehind(node).map((s) => s.attrs.name),
    next: new Map(graph.states.map((s) => [s.name, layouts.valueOf(s.next)])),
    counts: ({ nodes }) => {
      if (results.starts.length === 0) return [];
      const sizes = new Set(nodes.flatMap((n) => [n, ...n.inputs].flatMap((m) => m.types.flatMap((t) => t.shape))));
      const axes = new Set([...sizes].flatMap((size) => extents.deviceSize(size)?.axis ?? []));
      return [...axes]
        .flatMap((axis) => layouts.valueOf(graph.starts.get(axis)!))
        .filter((value) => !nodes.includes(value.node));
    },
  });
}

function outputOf(
  fused: KernelGraph,
  output: GraphOutput,
  slots: readonly number[],
  startsSlot: (axis: string) => number,
): PlanOutput {
  const pieces = piecesOf(output, fused.results.joined);
  const parts = fused.results.joined.has(output.node)
    ? slots.map((slot, j) => ({ slot, columns: widthOf(pieces[j]!) }))
    : [];
  return {
    slot: slots[0]!,
    parts,
    starts: deviceDims(output, fused.extents).map(({ dim, axis }) => ({ dim, slot: startsSlot(axis) })),
  };
}

function startsOf(starts: ReadonlyMap<string, Storage>, axis: string): Storage {
  const found = starts.get(axis);
  invariant(found !== undefined, `the starts of ${axis} are not read`);
  return found;
}
