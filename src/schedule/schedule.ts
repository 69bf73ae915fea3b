// Graph → plan: which kernels run, in which order, on which slots.
import { invariant } from "../base/invariant.js";
import { isOp, type Graph, type GraphOutput, type Node, type Origin } from "../ir/graph.js";
import { printSize } from "../size/size.js";
import { packedLength, type PanelLayout, type ValueForm } from "../program/program.js";
import { PORTABLE, TargetError, type ActivationType, type Target, type WeightType } from "../program/target.js";
import { abilitiesOf } from "./abilities.js";
import { viewsOf } from "./addressing/views.js";
import { contractionsAsProducts } from "./contractions.js";
import { Extents } from "./extents.js";
import { halfNodes, halvesOf, packedWeights, type HalvesOptions } from "./halves.js";
import { joinedByReader } from "./joined.js";
import { packPanels } from "./kernels/panels.js";
import type { HalfFormat, Operand, Work } from "./kernels/spec.js";
import type { Value } from "./layout.js";
import { keptRows } from "./kept-rows.js";
import { assignSlots, storage, touched, type Storage } from "./memory.js";
import { orderOf } from "./order.js";
import { partition, sumsReadWhole } from "./partition.js";
import { mapStep, type Plan, type PlanOutput, type PlanStep, type Step } from "./plan.js";
import { routedStatistics } from "./routed-statistics.js";
import { sharedRows } from "./shared-rows.js";
import { madeWhenPacked, productWeights, shapeOf, type Packable } from "./side-by-side.js";
import { GIVEN, liesInPanels, partsOf, Sources } from "./sources.js";
import { widthOf } from "./split/columns.js";
import { split } from "./split/split.js";
import { tuningsFor, type Tunings } from "./tunings/index.js";
import type { Unit } from "./unit.js";
import { updatesAfterReaders } from "./unit-order.js";
import { UnitMaker } from "./units.js";

/**
 * Chooses kernels and memory for a graph on a device, by its tunings or by others. Linear in its nodes. Throws TargetError for f16 where the target has none, CompilerBug where
 * a kernel needs more than the limits allow.
 */
export function schedule(
  graph: Graph,
  target: Target = PORTABLE,
  tunings: Tunings = tuningsFor(target),
  precision: ActivationType = "f32",
  weights: WeightType = "f32",
): Plan {
  if (precision === "f16" && !target.f16)
    throw new TargetError(
      `activations in f16 need shader-f16, which the target (${target.device}) does not have`,
      "store them in f32, or compile for a device that has it",
    );
  if (precision === "f16" && weights === "bf16") throw new TargetError("precision f16 stores weights in f16, not in bf16", "give one of the two");
  const whole = split(contractionsAsProducts(graph), target.limits);
  const extents = new Extents(whole.axes);
  const prepared = routedStatistics(whole, (product) => abilitiesOf(product, tunings.products, extents));
  return new Scheduling(prepared, target, tunings, precision, weights).plan();
}

class Scheduling {
  readonly #graph: Graph;
  readonly #target: Target;
  readonly #tunings: Tunings;
  readonly #extents: Extents;
  readonly #order: readonly Node[];
  /** Of the axes that only the device counts. */
  readonly #starts: readonly Node[];
  /** What is put together when the caller reads it. */
  readonly #joined: ReadonlySet<Node>;
  readonly #required: ReadonlySet<Node>;
  readonly #madeWhenPacked: ReadonlySet<Node>;
  readonly #units: UnitMaker;
  /** The unit that reads a value last; infinite for what the caller reads. Of states, by their memory. */
  readonly #lastRead = new Map<Value | Storage, number>();
  /** The memory of the state whose new value a value is. */
  readonly #stateOf = new Map<Value, Storage>();
  readonly #precision: ActivationType;
  /** What lies in memory in two bytes a value, and how. */
  readonly #halves: ReadonlySet<Value>;
  readonly #storage = new Map<Value, Storage>();
  readonly #sources: Sources;
  /** Of states, by names and layout. */
  readonly #panels = new Map<string, Storage>();
  readonly #work = new Map<string, Work>();
  readonly #steps: (Step<Storage> & { readonly origin: Origin | null; readonly nodes: readonly Node[] })[] = [];

  readonly #format: HalfFormat;

  constructor(graph: Graph, target: Target, tunings: Tunings, precision: ActivationType, weights: WeightType) {
    this.#graph = graph;
    this.#precision = precision;
    this.#target = target;
    this.#tunings = tunings;
    this.#extents = new Extents(graph.axes);
    this.#sources = new Sources(this.#extents);
    const order = orderOf(graph, this.#extents);
    this.#joined = joinedByReader(graph, order);
    this.#order = order.filter((n) => !this.#joined.has(n));
    this.#starts = [...graph.starts].flatMap(([axis, node]) => (this.#extents.onDevice(axis) ? [node] : []));
    this.#required = new Set([...graph.outputs.flatMap((o) => this.#piecesOf(o)), ...graph.states.map((s) => s.next), ...this.#starts]);
    this.#madeWhenPacked = madeWhenPacked(this.#order, this.#required);
    this.#units = this.#makeUnits();
    this.#format = precision === "f16" ? "f16" : weights === "bf16" ? "packed bf16" : "packed f16";
    this.#halves = precision === "f16" ? halvesOf(this.#halvesOptions()) : weights === "f32" ? new Set() : packedWeights(this.#halvesOptions());
  }
  #halvesOptions(): HalvesOptions {
    const { units, layouts } = this.#units;
    const [required, madeWhenPacked] = [this.#required, this.#madeWhenPacked];
    return { order: this.#order, units, layouts, required, madeWhenPacked, isGiven: (node) => this.#sources.of(node) !== null };
  }

  #makeUnits(): UnitMaker {
    const extents = this.#extents;
    const isGiven = (node: Node): boolean => this.#sources.of(node) !== null;
    const kept = new Set([...keptRows(this.#order), ...sharedRows(this.#order)]);
    const views = viewsOf(this.#order, this.#required, kept, extents);
    const options = {
      extents,
      limits: this.#target.limits,
      required: this.#required,
      views,
      copied: new Set([...kept, ...views.opaque]),
      scores: this.#tunings.scores,
      isGiven,
      abilities: (p: Node<"matmul">) => abilitiesOf(p, this.#tunings.products, extents),
    };
    const first = partition(this.#order, { ...options, whole: new Set() });
    const whole = sumsReadWhole(this.#order, first);
    const made = new UnitMaker({
      extents,
      tunings: this.#tunings,
      partition: whole.size === 0 ? first : partition(this.#order, { ...options, whole }),
      isGiven,
      madeWhenPacked: this.#madeWhenPacked,
      updates: new Map(this.#graph.states.map((s) => [s.next, s.name])),
    });
    for (const node of this.#order) made.enter(node);
    for (const node of this.#required) made.layouts.valueOf(node);
    return made;
  }

  plan(): Plan {
    const { layouts } = this.#units;
    const outputs = this.#graph.outputs.map((o) => this.#piecesOf(o).map((n) => layouts.valueOf(n)));
    const next = this.#graph.states.map((s) => layouts.valueOf(s.next));
    const units = this.#inOrder(next);
    units.forEach((unit, i) => {
      for (const value of unit.reads) for (const memory of this.#memoryOf(value)) this.#lastRead.set(memory, i);
    });
    // What counts an axis is read by whatever kernel runs over it.
    const counting = this.#starts.map((node) => layouts.valueOf(node));
    for (const value of [...outputs.flat(), ...next, ...counting]) for (const memory of this.#memoryOf(value)) this.#lastRead.set(memory, Infinity);
    this.#graph.states.forEach((s, i) => {
      if (!isOp(next[i]!.node, "state")) this.#stateOf.set(next[i]!, this.#sources.state(s.name, this.#extents.bytes(s.type)));
    });
    units.forEach((unit, i) => this.#emit(unit, i));
    const results = outputs.map((values, i) => values.map((value) => this.#outputStorage(value, this.#graph.outputs[i]!.name)));
    this.#updateStates(next);
    return this.#assign(results);
  }

  /** New values of states come once the old ones have been read. */
  #inOrder(next: readonly Value[]): readonly Unit[] {
    const { layouts, units } = this.#units;
    return updatesAfterReaders(units, {
      statesOf: ({ node }) => statesBehind(node).map((s) => s.attrs.name),
      next: new Map(this.#graph.states.map((s, i) => [s.name, next[i]!])),
      counts: ({ nodes }) => {
        if (this.#starts.length === 0) return [];
        const sizes = new Set(nodes.flatMap((n) => [n, ...n.inputs].flatMap((m) => m.types.flatMap((t) => t.shape))));
        const axes = new Set([...sizes].flatMap((size) => this.#extents.deviceSize(size)?.axis ?? []));
        return [...axes].flatMap((axis) => layouts.valueOf(this.#graph.starts.get(axis)!)).filter((value) => !nodes.includes(value.node));
      },
    });
  }
  /** Reads of a state, by whatever node, are of one memory. */
  #memoryOf(value: Value): readonly (Value | Storage)[] {
    return [value, ...statesBehind(value.node).map((s) => this.#sources.of(s)!)];
  }

  // --- steps
  #emit(unit: Unit, at: number): void {
    const inPlace = this.#takesOver(unit, at);
    const work = this.#workOf(unit, inPlace);
    const results = unit.writes.map(({ value, bytes }, i) => {
      const taken = inPlace[i] ? this.#storageOf(itemAt(unit.reads, itemAt(unit.takesOver, i)!)) : this.#freeState(value, at);
      const made = taken ?? storage(this.#halves.has(value) ? this.#extents.halfOf(bytes) : bytes, value.node.origin?.path ?? value.node.op, false);
      this.#storage.set(value, made);
      return made;
    });
    const scratch = work.scratch.map((bytes) => storage(bytes, "scratch", false));
    const resolve = (operand: Operand): Storage => {
      switch (operand.from) {
        case "input":
          return this.#storageOf(itemAt(unit.reads, operand.index));
        case "packed": {
          const weights = this.#weightsAt(unit, operand.index);
          invariant(weights, `input ${operand.index} of ${unit.nodes[0]!.op} is packed as if it were a weight`);
          if (isStates(weights)) return this.#packedStates(weights, operand.layout, unit.nodes);
          return this.#sources.weights(weights.filter(isWeight), operand.layout, this.#formOf(itemAt(unit.reads, operand.index)));
        }
        case "result":
          return itemAt(results, operand.index);
        case "scratch":
          return itemAt(scratch, operand.index);
        case "starts":
          return this.#storageOf(this.#startsOf(operand.axis));
        case "counted":
          return this.#sources.starts(operand.axis);
        case "k":
        case "span":
          return this.#sources.table(operand.from, operand.axis);
        default:
          return operand satisfies never;
      }
    };
    for (const step of work.steps) this.#push(mapStep(step, resolve), unit.nodes);
  }
  /** The weights that stand at an input of a unit. */
  #weightsAt({ nodes, reads }: Unit, index: number): readonly Packable[] | null {
    const value = itemAt(reads, index).node;
    if (isOp(value, "weight")) return [value];
    return value === nodes[0]!.inputs[1] ? productWeights(nodes[0]!) : null;
  }
  /** The memory of states in a layout, packed before the first step that reads them so: they stay what they are until all have. */
  #packedStates(states: readonly Node<"state">[], layout: PanelLayout, nodes: readonly Node[]): Storage {
    const memory = states.map((node) => this.#sources.of(node)!);
    if (states.length === 1 && liesInPanels(layout)) return memory[0]!;
    const key = JSON.stringify([states.map((s) => s.attrs.name), layout]);
    const known = this.#panels.get(key);
    if (known) return known;
    const elements = shapeOf(states[0]!).reduce((n, d) => n * d, 1);
    const parts = partsOf(states, layout);
    const made = storage(4 * packedLength(parts[0]!, elements), `${states.map((s) => s.attrs.name).join(" + ")}, in panels`, false);
    this.#panels.set(key, made);
    if (layout.total % layout.columns !== 0) this.#push({ kind: "clear", to: made, bytes: made.bytes }, nodes);
    parts.forEach((part, i) => {
      const step = packPanels(part, elements / (layout.depth * parts[0]!.width), this.#extents, this.#tunings.elements);
      this.#push(
        mapStep(step, ({ from }) => (from === "result" ? made : memory[i]!)),
        nodes,
      );
    });
    return made;
  }
  #push(step: Step<Storage>, nodes: readonly Node[]): void {
    if (step.kind === "dispatch") {
      const { buffers, file } = step.kernel;
      invariant(
        buffers.length <= this.#target.limits.storageBuffersPerStage,
        `${file} needs ${buffers.length} storage buffers, the limit is ${this.#target.limits.storageBuffersPerStage}`,
      );
      const written = step.buffers.filter((_, i) => buffers[i]!.access === "read_write");
      invariant(
        written.every((s) => step.buffers.filter((o) => o === s).length === 1),
        `${file} would bind a buffer that it writes twice`,
      );
    }
    this.#steps.push({ ...step, origin: nodes[0]?.origin ?? null, nodes });
  }
  /** For each result that may take over memory, whether nothing else needs that. */
  #takesOver({ takesOver, reads, writes }: Unit, at: number): readonly boolean[] {
    return takesOver.map((place, i) => {
      if (place === null) return false;
      const value = itemAt(reads, place);
      const own = this.#storageOf(value);
      const state = this.#stateOf.get(itemAt(writes, i).value);
      // The new value of a state goes nowhere but into its memory.
      if (own.fixed ? own !== state : state !== undefined) return false;
      const others = takesOver.some((other, j) => j !== i && other !== null && this.#storageOf(itemAt(reads, other)) === own);
      const free = this.#memoryOf(value).every((m) => this.#lastRead.get(m) === at) && !others;
      return free && reads.every((v) => v === value || this.#madeWhenPacked.has(v.node) || this.#storageOf(v) !== own);
    });
  }
  /** The memory of the state whose new value a value is, where its old one has been read by all. */
  #freeState(value: Value, at: number): Storage | null {
    const state = this.#stateOf.get(value);
    return state && (this.#lastRead.get(state) ?? -1) < at ? state : null;
  }
  #storageOf(value: Value): Storage {
    const { node } = value;
    const known = this.#storage.get(value) ?? (isOp(node, "weight") ? this.#sources.weight(node, GIVEN, this.#formOf(value)) : this.#sources.of(node));
    invariant(known, `${node.op} is read before it is computed`);
    return known;
  }
  #formOf(value: Value): ValueForm {
    return !this.#halves.has(value) ? "word" : this.#format === "packed bf16" ? "bf16" : "f16";
  }
  #startsOf(axis: string): Value {
    const node = this.#graph.starts.get(axis);
    invariant(node, `the graph has no starts of ${axis}`);
    return this.#units.layouts.valueOf(node);
  }
  /** Kernels of equal units are chosen once. */
  #workOf(unit: Unit, inPlace: readonly boolean[]): Work {
    const stored = { reads: unit.reads.map((v) => this.#halves.has(v)), writes: unit.writes.map((w) => this.#halves.has(w.value)), format: this.#format };
    const key = `${inPlace.map(Number).join("")} ${[...stored.reads, ...stored.writes].map(Number).join("")} ${unit.key}`;
    let work = this.#work.get(key);
    if (!work) this.#work.set(key, (work = unit.make(inPlace, stored)));
    return work;
  }

  // --- what outlives the steps
  /** Dimensions of an output, as the caller sees it, along axes that only the device counts. */
  #deviceDims({ shape }: GraphOutput): readonly { readonly dim: number; readonly axis: string }[] {
    return shape.flatMap((size, dim) => {
      const axis = printSize(size);
      return this.#extents.onDevice(axis) ? [{ dim, axis }] : [];
    });
  }
  #outputStarts(): ReadonlyMap<string, Value> {
    const axes = this.#graph.outputs.flatMap((o) => this.#deviceDims(o).map(({ axis }) => axis));
    return new Map(axes.map((axis) => [axis, this.#startsOf(axis)]));
  }
  /** Where the caller reads a result: states change before that, so their old values are copied. New ones of a number a row stay, which are read in one turn. */
  #outputStorage(value: Value, name: string): Storage {
    const own = this.#storageOf(value);
    if (!this.#sources.isState(own)) return keep(own, name);
    if (this.#stateOf.get(value) === own && value.node.types[value.result]!.shape.length === 1) return own;
    const copy = storage(own.bytes, name, true);
    this.#push({ kind: "copy", from: own, to: copy, bytes: own.bytes }, [value.node]);
    return copy;
  }
  /** New values that could not be computed there go to the states' slots once all are computed; a state that becomes the old value of another is copied aside first. */
  #updateStates(next: readonly Value[]): void {
    const moves = this.#graph.states.flatMap((state, i) => {
      const to = this.#sources.state(state.name, this.#extents.bytes(state.type));
      const from = this.#storageOf(next[i]!);
      return from === to ? [] : [{ from, to, nodes: [next[i]!.node] }];
    });
    const ready = moves.map(({ from, to, nodes }) => {
      if (!this.#sources.isState(from)) return { from, to, nodes };
      const aside = storage(from.bytes, "old state", false);
      this.#push({ kind: "copy", from, to: aside, bytes: from.bytes }, nodes);
      return { from: aside, to, nodes };
    });
    for (const { from, to, nodes } of ready) this.#push({ kind: "copy", from, to, bytes: to.bytes }, nodes);
  }

  #piecesOf({ node }: GraphOutput): readonly Node[] {
    return this.#joined.has(node) ? node.inputs : [node];
  }
  #assign(results: readonly (readonly Storage[])[]): Plan {
    const starts = new Map([...this.#outputStarts()].map(([axis, value]) => [axis, keep(this.#storageOf(value), `starts(${axis})`)]));
    const used = new Set(this.#steps.flatMap((step) => touched(step)));
    for (const s of results.flat()) used.add(s);
    for (const s of starts.values()) used.add(s);
    const fixed = [...new Set([...this.#sources.storages(used), ...results.flat(), ...starts.values()])];
    const live = new Map(this.#graph.live.map((l) => [l.name, l.default]));
    const { slots, slotOf } = assignSlots(this.#steps, fixed, this.#graph.axes, live);
    const outputs = results.map((pieces, i): PlanOutput => {
      const output = this.#graph.outputs[i]!;
      const dims = this.#deviceDims(output);
      const slots = pieces.map(slotOf);
      const parts = this.#joined.has(output.node) ? slots.map((slot, j) => ({ slot, columns: widthOf(output.node.inputs[j]!) })) : [];
      return { slot: slots[0]!, parts, starts: dims.map(({ dim, axis }) => ({ dim, slot: slotOf(itemOf(starts, axis)) })) };
    });
    const steps = this.#steps.map((step): PlanStep => ({ ...mapStep(step, slotOf), origin: step.origin, nodes: step.nodes }));
    const [target, tunings, precision] = [this.#target, this.#tunings, this.#precision];
    return {
      graph: this.#graph,
      target,
      tunings,
      precision,
      halves: halfNodes(this.#halves, this.#halvesOptions()),
      slots,
      steps,
      outputs,
      ...this.#sources.slots(slotOf, used),
    };
  }
}

/** Memory that the caller reads has a slot of its own, named for what is read there; what the caller fills has its name already. */
function keep(own: Storage, name: string): Storage {
  if (!own.fixed) own.label = name;
  own.fixed = true;
  return own;
}

/** The states that are read where a node is: itself, or those that stand side by side in it, of which the parts may be read in its stead. */
const statesBehind = (node: Node): readonly Node<"state">[] =>
  isOp(node, "state") ? [node] : isOp(node, "concat") ? node.inputs.filter((n) => isOp(n, "state")) : [];

const isWeight = (node: Packable): node is Node<"weight"> => isOp(node, "weight");
const isStates = (nodes: readonly Packable[]): nodes is readonly Node<"state">[] => nodes.every((n) => isOp(n, "state"));
function itemOf<T>(map: ReadonlyMap<string, T>, axis: string): T {
  const item = map.get(axis);
  invariant(item !== undefined, `the starts of ${axis} are not read`);
  return item;
}

function itemAt<T>(list: readonly T[], index: number): T {
  const item = list[index];
  invariant(item !== undefined, `operand ${index} is missing`);
  return item;
}
