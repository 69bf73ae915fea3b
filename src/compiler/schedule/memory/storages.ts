// Assigns storages to ordered kernels and builds their steps: a result takes over memory whose contents nothing else
// needs, and states are updated in place.
import { countOf } from "../../../ground/base/collections.js";
import { invariant } from "../../../ground/base/invariant.js";
import { isOp, isScatter, type Node, type Origin } from "../../ir/graph.js";
import { encodings, type EncodingName } from "../../../runtime/program/encodings/index.js";
import { weightBytes, type PanelLayout, type WeightLayout } from "../../../runtime/program/program.js";
import type { Target } from "../../../runtime/program/target.js";
import { fitsTexture } from "../../../runtime/program/textures.js";
import { deviceDims, piecesOf, statesBehind, type KernelGraph } from "../fusion/kernel-graph.js";
import { decodePanels, packPanels } from "../kernels/panels.js";
import type { Operand, Stored, Work } from "../kernels/spec.js";
import type { Value } from "../addressing/layout.js";
import type { Codec, ElementCodec } from "../codecs/codec.js";
import { words } from "../codecs/words.js";
import { checkBindings, expectOneAccess, expectPackedNext } from "./slots.js";
import type { Encoded } from "./encodings.js";
import { mapStep, storage, type Step, type Storage } from "../plan/plan.js";
import { isProductBy, productWeights, shapeOf, type Packable } from "../analysis/side-by-side.js";
import { GIVEN, liesInPanels, partsOf, type Sources } from "../analysis/sources.js";
import type { Tunings } from "../tunings/index.js";
import { readsTextures } from "../tunings/products.js";
import type { FusedKernel } from "../kernels/fused-kernel.js";

export type StoredStep = Step<Storage> & { readonly origin: Origin | null; readonly nodes: readonly Node[] };

export interface StoredKernels {
  readonly steps: readonly StoredStep[];
  /** For each output, the storage of each of its pieces. */
  readonly outputs: readonly (readonly Storage[])[];
  /** Starts of the axes of outputs whose counts only the device knows. */
  readonly starts: ReadonlyMap<string, Storage>;
  /** Labels of storages that the caller reads: the names of the results. */
  readonly labels: ReadonlyMap<Storage, string>;
}

export interface StorageOptions {
  readonly encoded: Encoded;
  readonly tunings: Tunings;
  readonly target: Target;
}

export function storeKernels(
  kernels: readonly FusedKernel[],
  fused: KernelGraph,
  options: StorageOptions,
): StoredKernels {
  const { graph, extents, layouts, results, sources } = fused;
  const { elements, packed: decoded, across, rounding } = options.encoded;
  const next = graph.states.map((s) => layouts.valueOf(s.next));
  const values = graph.outputs.map((o) => piecesOf(o, results.joined).map((n) => layouts.valueOf(n)));
  // Every kernel that runs over an axis reads the axis's counts.
  const outliving = [...values.flat(), ...next, ...results.starts.map((node) => layouts.valueOf(node))];
  const lastRead = lastReads(kernels, outliving, sources);
  /** The storage of the state whose new value a value is, or a value on the way to that. */
  const stateOf = new Map(
    graph.states.flatMap((s, i) => {
      const memory = sources.state(s.name, extents.bytes(s.type));
      return valuesInState(s.name, next[i]!, (node) => layouts.valueOf(node)).map((value) => [value, memory] as const);
    }),
  );
  /** By storage of a state, the last of these values that lies there. */
  const held = new Map<Storage, Value>();
  const made = new Map<Value, Storage>();
  const steps: StoredStep[] = [];
  const panels = new Map<string, Storage>();
  const works = new Map<string, Work>();

  const codecOf = (value: Value): ElementCodec => elements.get(value) ?? words;
  const encodingOf = (value: Value): EncodingName => (decoded.get(value) ?? codecOf(value)).encoding;
  const storageOf = (value: Value): Storage => {
    const { node } = value;
    const known =
      made.get(value) ?? (isOp(node, "weight") ? sources.weight(node, GIVEN, encodingOf(value)) : sources.of(node));
    invariant(known, `${node.op} is read before it is computed`);
    return known;
  };
  const startsOf = (axis: string): Value => {
    const node = graph.starts.get(axis);
    invariant(node, `the graph has no starts of ${axis}`);
    return layouts.valueOf(node);
  };
  const push = (step: Step<Storage>, nodes: readonly Node[]): void => {
    checkBindings(step, options.target.limits);
    steps.push({ ...step, origin: nodes[0]?.origin ?? null, nodes });
  };
  /** For each result that may take over memory, whether nothing else needs the old contents. */
  const takesOver = ({ takesOver: places, reads, writes }: FusedKernel, at: number): readonly boolean[] =>
    places.map((taken, i) => {
      if (taken === null) return false;
      const value = itemAt(reads, taken);
      const readFrom = storageOf(value);
      const state = stateOf.get(itemAt(writes, i).value);
      // A state's new value may take over only the state's memory.
      if (sources.holds(readFrom) ? readFrom !== state : state !== undefined) return false;
      const others = places.some(
        (other, j) => j !== i && other !== null && storageOf(itemAt(reads, other)) === readFrom,
      );
      const free = memoryOf(value, sources).every((m) => lastRead.get(m) === at) && !others;
      return free && reads.every((v) => v === value || fused.packed.has(v.node) || storageOf(v) !== readFrom);
    });
  /** The storage of the state whose new value a value is, if what lies there has no later reads. */
  const freeState = (value: Value, at: number): Storage | null => {
    const state = stateOf.get(value);
    const before = state && held.get(state);
    const isFree = (memory: Value | Storage): boolean => (lastRead.get(memory) ?? -1) < at;
    return state && isFree(state) && (!before || isFree(before)) ? state : null;
  };
  /** Weights in panels that some product reads from a buffer: it reads them otherwise too, or decodes them first. */
  const inBuffers = new Set(
    kernels.flatMap(({ nodes: [node], decodes }, i) =>
      decodes !== null && !across.has(kernels[i]!) ? [] : ((node && productWeights(node)) ?? []),
    ),
  );
  /** As `Stored.inTexture`; null where the kernel reads no weights that all products could read from a texture. */
  const textured = (kernel: FusedKernel): Stored["inTexture"] | null => {
    const { decodes, reads } = kernel;
    const weights = decodes && readsTextures(options.target) ? weightsAt(kernel, reads.indexOf(decodes)) : null;
    if (!weights?.every(isWeight) || weights.some((w) => inBuffers.has(w))) return null;
    const form = encodingOf(decodes!);
    return (layout) => {
      const bytes = weightBytes(partsOf(weights, layout)[0]!, countOf(shapeOf(weights[0]!)), form);
      return liesInPanels(layout, form) || !fitsTexture(bytes, encodings[form].texture) ? null : bytes;
    };
  };
  /** Equal kernels are created once. */
  const workOf = (kernel: FusedKernel, inPlace: readonly boolean[]): Work => {
    const inTexture = textured(kernel);
    const stored: Stored = {
      reads: kernel.reads.map(codecOf),
      writes: kernel.writes.map((w) => codecOf(w.value)),
      packed: (kernel.decodes && !across.has(kernel) && decoded.get(kernel.decodes)) || null,
      rounds: kernel.nodes.some((node) => rounding.has(node)),
      inTexture: inTexture ?? (() => null),
    };
    const codecs = [...stored.reads, ...stored.writes, ...(stored.packed ? [stored.packed] : [])];
    const kinds = [
      ...codecs.map((c) => c.encoding),
      ...(stored.rounds ? ["rounds"] : []),
      ...(inTexture ? ["textures"] : []),
    ];
    const key = `${inPlace.map(Number).join("")} ${kinds.join(" ")} ${kernel.key}`;
    const work = works.get(key) ?? kernel.make(inPlace, stored);
    works.set(key, work);
    return work;
  };
  /**
   * The storage of states in a packed layout. They are packed before the first step that reads them so, as their old
   * values do not change until all reads are done.
   */
  const packedStates = (states: readonly Node<"state">[], layout: PanelLayout, nodes: readonly Node[]): Storage => {
    const memory = states.map((node) => sources.of(node)!);
    if (states.length === 1 && liesInPanels(layout, "word")) return memory[0]!;
    const key = JSON.stringify([states.map((s) => s.attrs.name), layout]);
    const known = panels.get(key);
    if (known) return known;
    const elements = countOf(shapeOf(states[0]!));
    const parts = partsOf(states, layout);
    const packed = storage(
      weightBytes(parts[0]!, elements, "word"),
      `${states.map((s) => s.attrs.name).join(" + ")}, in panels`,
    );
    panels.set(key, packed);
    if (layout.total % layout.columns !== 0) push({ kind: "clear", to: packed, bytes: packed.bytes }, nodes);
    parts.forEach((part, i) => {
      const step = packPanels(part, elements / (layout.depth * parts[0]!.width), extents, options.tunings.elements);
      push(
        mapStep(step, ({ from }) => (from === "result" ? packed : memory[i]!)),
        nodes,
      );
    });
    return packed;
  };
  /** The memory and the layout of weights in blocks, as the first product reads them. */
  const blocks = new Map<Node<"weight">, { readonly from: Storage; readonly layout: WeightLayout }>();
  const packedWeights = (weights: readonly Node<"weight">[], layout: PanelLayout, form: EncodingName): Storage => {
    const from = sources.weights(weights, layout, form);
    partsOf(weights, layout).forEach((part, i) => {
      const fileLayout = weights.length === 1 && liesInPanels(part, form) ? GIVEN : part;
      if (!blocks.has(weights[i]!)) blocks.set(weights[i]!, { from, layout: fileLayout });
    });
    return from;
  };
  /** Weights in panels of words, decoded from blocks by each kernel that sums across them. */
  const decodedPanels = (
    weights: readonly Node<"weight">[],
    layout: PanelLayout,
    codec: Codec,
    nodes: readonly Node[],
  ): Storage => {
    const elements = countOf(shapeOf(weights[0]!));
    const parts = partsOf(weights, layout);
    const decodedMemory = storage(
      weightBytes(parts[0]!, elements, "word"),
      `${weights.map((w) => w.attrs.path).join(" + ")}, decoded`,
    );
    if (layout.total % layout.columns !== 0)
      push({ kind: "clear", to: decodedMemory, bytes: decodedMemory.bytes }, nodes);
    parts.forEach((part, i) => {
      const weight = weights[i]!;
      const decoding = blocks.get(weight) ?? {
        from: sources.weight(weight, GIVEN, codec.encoding),
        layout: GIVEN,
      };
      const step = decodePanels(
        { from: decoding.layout, to: part, codec },
        elements,
        extents,
        options.tunings.elements,
      );
      push(
        mapStep(step, ({ from }) => (from === "result" ? decodedMemory : decoding.from)),
        nodes,
      );
    });
    return decodedMemory;
  };
  const packed = (kernel: FusedKernel, index: number, layout: PanelLayout): Storage => {
    const weights = weightsAt(kernel, index);
    invariant(weights, `input ${index} of ${kernel.nodes[0]!.op} is packed as if it were a weight`);
    if (isStates(weights)) return packedStates(weights, layout, kernel.nodes);
    const value = itemAt(kernel.reads, index);
    const codec = across.has(kernel) ? decoded.get(value) : undefined;
    const parts = weights.filter(isWeight);
    return codec ? decodedPanels(parts, layout, codec, kernel.nodes) : packedWeights(parts, layout, encodingOf(value));
  };
  const run = (kernel: FusedKernel, at: number): void => {
    const inPlace = takesOver(kernel, at);
    const work = workOf(kernel, inPlace);
    const outputs = kernel.writes.map(({ value, bytes }, i) => {
      const taken = inPlace[i] ? storageOf(itemAt(kernel.reads, itemAt(kernel.takesOver, i)!)) : freeState(value, at);
      const memory =
        taken ??
        storage(extents.encoded(bytes, encodings[encodingOf(value)]), value.node.origin?.path ?? value.node.op);
      made.set(value, memory);
      if (stateOf.get(value) === memory) held.set(memory, value);
      return memory;
    });
    const scratch = work.scratch.map((bytes) => storage(bytes, "scratch"));
    const packings = new Map<string, Storage>();
    const packedOnce = (index: number, layout: PanelLayout): Storage => {
      const key = `${index} ${JSON.stringify(layout)}`;
      const packing = packings.get(key) ?? packed(kernel, index, layout);
      packings.set(key, packing);
      return packing;
    };
    const resolve = (operand: Operand): Storage => {
      switch (operand.from) {
        case "input":
          return storageOf(itemAt(kernel.reads, operand.index));
        case "packed":
          return packedOnce(operand.index, operand.layout);
        case "result":
          return itemAt(outputs, operand.index);
        case "scratch":
          return itemAt(scratch, operand.index);
        case "starts":
          return storageOf(startsOf(operand.axis));
        case "counted":
          return sources.starts(operand.axis);
        case "k":
        case "span":
          return sources.table(operand.from, operand.axis);
        default:
          return operand satisfies never;
      }
    };
    // Packing steps come before all of these, which rely on their order.
    for (const step of work.steps.map((s) => mapStep(s, resolve))) push(step, kernel.nodes);
  };
  /**
   * The storage from which the caller reads a result. States are updated before that read, so old values are copied,
   * and those on the way to new ones. New values are read in place if they have one number per row, since such small
   * results are read in one turn.
   */
  const outputOf = (value: Value, name: string): Storage => {
    const source = storageOf(value);
    const isNew = stateOf.get(value) === source && next.includes(value);
    if (!sources.isState(source) || (isNew && value.node.types[value.result]!.shape.length === 1)) return source;
    const copy = storage(source.bytes, name);
    push({ kind: "copy", from: source, to: copy, bytes: source.bytes }, [value.node]);
    return copy;
  };
  /**
   * Copies new values that were not computed in place to the states' slots at the end. A state whose new value is
   * another state's old value is copied aside first.
   */
  const updateStates = (): void => {
    const moves = graph.states.flatMap((state, i) => {
      const to = sources.state(state.name, extents.bytes(state.type));
      const from = storageOf(next[i]!);
      return from === to ? [] : [{ from, to, nodes: [next[i]!.node] }];
    });
    const ready = moves.map(({ from, to, nodes }) => {
      if (!sources.isState(from)) return { from, to, nodes };
      const aside = storage(from.bytes, "old state");
      push({ kind: "copy", from, to: aside, bytes: from.bytes }, nodes);
      return { from: aside, to, nodes };
    });
    for (const { from, to, nodes } of ready) push({ kind: "copy", from, to, bytes: to.bytes }, nodes);
  };

  kernels.forEach(run);
  expectOneAccess(steps);
  expectPackedNext(steps);
  const outputs = values.map((ofOutput, i) => ofOutput.map((value) => outputOf(value, graph.outputs[i]!.name)));
  updateStates();
  const counted = new Set(graph.outputs.flatMap((o) => deviceDims(o, extents).map(({ axis }) => axis)));
  const starts = new Map([...counted].map((axis) => [axis, storageOf(startsOf(axis))]));
  const named = [
    ...outputs.flatMap((storages, i) => storages.map((s) => [s, graph.outputs[i]!.name] as const)),
    ...[...starts].map(([axis, s]) => [s, `starts(${axis})`] as const),
  ];
  return { steps, outputs, starts, labels: labelsOf(named, sources) };
}

/** Storages that the caller fills have labels already; others are labelled by the first result read from them. */
function labelsOf(named: readonly (readonly [Storage, string])[], sources: Sources): ReadonlyMap<Storage, string> {
  const labels = new Map<Storage, string>();
  for (const [memory, name] of named)
    if (!labels.has(memory)) labels.set(memory, sources.holds(memory) ? memory.label : name);
  return labels;
}

/**
 * The position of the last kernel that reads a value; infinite for values that outlive all kernels. States are counted
 * by storage.
 */
function lastReads(
  kernels: readonly FusedKernel[],
  outliving: readonly Value[],
  sources: Sources,
): ReadonlyMap<Value | Storage, number> {
  const last = new Map<Value | Storage, number>();
  kernels.forEach((kernel, i) => {
    for (const value of kernel.reads) for (const memory of memoryOf(value, sources)) last.set(memory, i);
  });
  for (const value of outliving) for (const memory of memoryOf(value, sources)) last.set(memory, Infinity);
  return last;
}

/**
 * The new value of a state and, where it comes of several scatters into the old one, what each of them makes: each can
 * take over the state's memory from the one before. Empty where the state keeps its value.
 */
function valuesInState(name: string, next: Value, valueOf: (node: Node) => Value): readonly Value[] {
  const values: Value[] = [];
  for (let value = next; ; value = valueOf(value.node.inputs[0])) {
    const { node } = value;
    if (isOp(node, "state")) return node.attrs.name === name ? values : values.slice(0, 1);
    values.push(value);
    if (!isScatter(node)) return values.slice(0, 1);
  }
}

/** All nodes of a state share one storage. */
const memoryOf = (value: Value, sources: Sources): readonly (Value | Storage)[] => [
  value,
  ...statesBehind(value.node).map((s) => sources.of(s)!),
];

/** The weights (or states) at an input of a kernel. */
function weightsAt({ nodes, reads }: FusedKernel, index: number): readonly Packable[] | null {
  const value = itemAt(reads, index).node;
  if (isOp(value, "weight")) return [value];
  const [node] = nodes;
  return node && isProductBy(node, value) ? productWeights(node) : null;
}

const isWeight = (node: Packable): node is Node<"weight"> => isOp(node, "weight");
const isStates = (nodes: readonly Packable[]): nodes is readonly Node<"state">[] =>
  nodes.every((n) => isOp(n, "state"));

function itemAt<T>(list: readonly T[], index: number): T {
  const item = list[index];
  invariant(item !== undefined, `operand ${index} is missing`);
  return item;
}
