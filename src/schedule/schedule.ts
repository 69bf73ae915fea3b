// Graph → plan: which kernels run, in which order, on which slots.
import { invariant } from "../diagnostics/invariant.js";
import { isOp, type Graph, type GraphOutput, type Node, type Origin } from "../ir/graph.js";
import { printSize } from "../size/size.js";
import { attrsKey } from "../ir/key.js";
import { inputTypes, printType } from "../ir/typing.js";
import type { OpName } from "../ir/vocabulary.js";
import { ops } from "../ops/index.js";
import { PORTABLE, type Target } from "../program/target.js";
import { Extents } from "./extents.js";
import { buffersOf, declareValue, expressionKey, expressionOf, expressionWork, readLeaves, storing, type Expression } from "./expression.js";
import { groupPointwise, isExpression, type Grouping } from "./group.js";
import { specs, worksInPlace } from "./kernels/index.js";
import type { KernelBuilder, Operand, Spec, Work } from "./kernels/spec.js";
import { assignSlots, storage, touched, type Storage } from "./memory.js";
import { orderOf } from "./order.js";
import type { Plan, PlanOutput, PlanStep, Step } from "./plan.js";
import { madeWhenLoaded, productWeights } from "./side-by-side.js";
import { Sources } from "./sources.js";
import { tuningsFor, type Tunings } from "./tunings/index.js";

/** Chooses kernels and memory for a graph on a device, by its tunings or by others. Linear in its nodes. Throws CompilerBug where a kernel needs more than the limits allow. */
export function schedule(graph: Graph, target: Target = PORTABLE, tunings: Tunings = tuningsFor(target)): Plan {
  return new Scheduling(graph, target, tunings).plan();
}

/** A result of a node: what a view of it names too. */
interface Value {
  readonly node: Node;
  readonly result: number;
}

/** One node's work, or one expression's. */
interface Unit {
  readonly node: Node;
  readonly expression: Expression | null;
  /** What a node's kernel computes in place of input 0; its `inputs` are then what that reads. */
  readonly prologue: Expression | null;
  /** Values in the order of the kernel's inputs. */
  readonly inputs: readonly Value[];
}

class Scheduling {
  readonly #graph: Graph;
  readonly #target: Target;
  readonly #tunings: Tunings;
  readonly #extents: Extents;
  readonly #order: readonly Node[];
  readonly #groups: Grouping;
  readonly #madeWhenLoaded: ReadonlySet<Node>;
  readonly #values = new Map<Node, Value[]>();
  readonly #views = new Map<Node, Value>();
  readonly #units: Unit[] = [];
  readonly #made = new Set<Node>();
  /** The unit that reads a value last; infinite for what the caller reads. */
  readonly #lastRead = new Map<Value, number>();
  readonly #storage = new Map<Value, Storage>();
  readonly #sources: Sources;
  readonly #work = new Map<string, Work>();
  readonly #steps: (Step<Storage> & { readonly origin: Origin | null; readonly nodes: readonly Node[] })[] = [];

  constructor(graph: Graph, target: Target, tunings: Tunings) {
    this.#graph = graph;
    this.#target = target;
    this.#tunings = tunings;
    this.#extents = new Extents(graph.axes);
    this.#sources = new Sources(this.#extents);
    this.#order = orderOf(graph, this.#extents);
    const stored = new Set([...graph.outputs.map((o) => o.node), ...graph.states.map((s) => s.next), ...graph.starts.values()]);
    this.#groups = groupPointwise(this.#order, stored, this.#extents, target.limits);
    this.#madeWhenLoaded = madeWhenLoaded(this.#order, stored);
  }

  plan(): Plan {
    const outputs = this.#graph.outputs.map((o) => this.#valueOf(o.node));
    const next = this.#graph.states.map((s) => this.#valueOf(s.next));
    for (const node of this.#order) this.#enter(node);
    for (const value of [...outputs, ...next, ...this.#outputStarts().values()]) {
      this.#require(value);
      this.#lastRead.set(value, Infinity);
    }
    this.#units.forEach((unit, i) => this.#emit(unit, i));
    const results = outputs.map((value, i) => this.#outputStorage(value, this.#graph.outputs[i]!.name));
    this.#updateStates(next);
    return this.#assign(results);
  }

  // --- what there is to compute
  /** Views resolved. Inputs stand before their readers in the order, so this looks one step back. */
  #valueOf(node: Node, result = 0): Value {
    if (ops[node.op].lower.kind !== "view") {
      let results = this.#values.get(node);
      if (!results) this.#values.set(node, (results = node.types.map((_, i) => ({ node, result: i }))));
      const value = results[result];
      invariant(value, `${node.op} has no result ${result}`);
      return value;
    }
    let value = this.#views.get(node);
    if (!value) {
      let at = node;
      let picked = 0;
      while (ops[at.op].lower.kind === "view") {
        picked = isOp(at, "pick") ? at.attrs.result : 0;
        at = at.inputs[0]!;
        const known = this.#views.get(at);
        if (known) {
          value = known;
          break;
        }
      }
      this.#views.set(node, (value ??= this.#valueOf(at, picked)));
    }
    return value;
  }

  #enter(node: Node): void {
    const { kind } = ops[node.op].lower;
    if (kind === "source" || kind === "view" || node.op === "constant" || node.op === "broadcast" || this.#madeWhenLoaded.has(node)) return;
    // What the host counts is there before the first step.
    if (this.#sources.of(node)) return;
    if (isExpression(node)) {
      const group = this.#groups.stored.get(node);
      if (group) this.#express(node, expressionOf(group));
      return;
    }
    const prologue = this.#groups.prologues.get(node);
    if (prologue) this.#add(node, { prologue: expressionOf(prologue) }, [...buffersOf(expressionOf(prologue)), ...node.inputs.slice(1)]);
    else this.#add(node, {}, node.inputs);
  }
  /** A constant or a broadcast value is written to memory only for a reader that is no expression. */
  #require(value: Value): void {
    const { node } = value;
    if ((node.op === "constant" || node.op === "broadcast") && !this.#made.has(node)) this.#express(node, storing(node));
  }
  #express(node: Node, expression: Expression): void {
    this.#add(node, { expression }, buffersOf(expression));
  }
  #add(node: Node, parts: { readonly expression?: Expression; readonly prologue?: Expression }, reads: readonly Node[]): void {
    const inputs = reads.map((n) => this.#valueOf(n));
    for (const value of inputs) this.#require(value);
    for (const value of inputs) this.#lastRead.set(value, this.#units.length);
    this.#made.add(node);
    this.#units.push({ node, expression: parts.expression ?? null, prologue: parts.prologue ?? null, inputs });
  }

  // --- steps
  #emit(unit: Unit, at: number): void {
    const { node, expression } = unit;
    const inPlace = expression === null && this.#takesOver(unit, at);
    const work = expression ? this.#expressionWork(expression) : this.#kernelWork(unit, inPlace);
    const [, ...rest] = node.types;
    const results = inPlace
      ? [this.#storageOf(unit.inputs[ops[node.op].inPlace!]!), ...rest.map((_, i) => this.#newResult(node, i + 1))]
      : node.types.map((_, i) => this.#newResult(node, i));
    if (inPlace) this.#storage.set(this.#valueOf(node), results[0]!);
    const scratch = work.scratch.map((bytes) => storage(bytes, "scratch", false));
    const resolve = (operand: Operand): Storage => {
      switch (operand.from) {
        case "input":
          return this.#storageOf(itemAt(unit.inputs, operand.index));
        case "packed": {
          const weights = this.#weightsAt(unit, operand.index);
          invariant(weights, `input ${operand.index} of ${node.op} is packed as if it were a weight`);
          return this.#sources.weights(weights, operand.layout);
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
    const nodes = [...new Set([node, ...((expression ?? unit.prologue)?.operations ?? [])])];
    for (const step of work.steps) this.#push(mapStep(step, resolve), nodes);
  }
  /** The weights that stand at an input of a unit. */
  #weightsAt({ node, inputs }: Unit, index: number): readonly Node<"weight">[] | null {
    const value = itemAt(inputs, index).node;
    if (isOp(value, "weight")) return [value];
    return value === node.inputs[1] ? productWeights(node) : null;
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
  /** Whether nothing else needs the memory that the result would take over. */
  #takesOver({ node, inputs }: Unit, at: number): boolean {
    const { inPlace } = ops[node.op];
    if (inPlace === undefined || !worksInPlace.has(node.op)) return false;
    const value = inputs[inPlace]!;
    const own = this.#storageOf(value);
    return !own.fixed && this.#lastRead.get(value) === at && inputs.every((v, i) => i === inPlace || this.#storageOf(v) !== own);
  }
  #newResult(node: Node, result: number): Storage {
    const value = this.#valueOf(node, result);
    const made = storage(this.#extents.bytes(this.#extents.equal.type(node.types[result]!)), node.origin?.path ?? node.op, false);
    this.#storage.set(value, made);
    return made;
  }
  #storageOf(value: Value): Storage {
    const known = this.#storage.get(value) ?? this.#sources.of(value.node);
    invariant(known, `${value.node.op} is read before it is computed`);
    return known;
  }
  #startsOf(axis: string): Value {
    const node = this.#graph.starts.get(axis);
    invariant(node, `the graph has no starts of ${axis}`);
    return this.#valueOf(node);
  }

  // --- kernels of equal nodes are chosen once
  #expressionWork(expression: Expression): Work {
    return this.#remember(`= ${expressionKey(expression, this.#extents)}`, () => expressionWork(expression, this.#extents));
  }
  #kernelWork(unit: Unit, inPlace: boolean): Work {
    const { node, prologue, inputs: values } = unit;
    const types = (list: readonly Node["types"][number][]): string => list.map(printType).join(" ");
    const { equal } = this.#extents;
    const inputs = inputTypes(node.op, node.inputs).map((t) => equal.type(t));
    const results = node.types.map((t) => equal.type(t));
    const attrs = equal.attrs(node.attrs);
    const weights = values.map((_, i) => this.#weightsAt(unit, i) !== null);
    const key = `${node.op}{${attrsKey(attrs)}}${inPlace ? "!" : ""}(${types(inputs)})${weights.map(Number).join("")} ${types(results)}${prologue ? `<${expressionKey(prologue, this.#extents)}>` : ""}`;
    const prologueOf =
      prologue &&
      ((kernel: KernelBuilder): void => {
        readLeaves(kernel, prologue);
        declareValue(kernel, prologue, this.#extents);
      });
    return this.#remember(key, () =>
      runSpec(node.op, {
        attrs,
        inputs,
        results,
        extents: this.#extents,
        tunings: this.#tunings,
        weights,
        views: values.map(() => null),
        resultView: null,
        inPlace,
        prologue: prologueOf,
        loads: null,
        finishes: null,
        inputB: 1,
        pairs: 0,
      }),
    );
  }
  #remember(key: string, make: () => Work): Work {
    let work = this.#work.get(key);
    if (!work) this.#work.set(key, (work = make()));
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
  /** Where the caller reads a result: states change before that, so their old values are copied. */
  #outputStorage(value: Value, name: string): Storage {
    const own = this.#storageOf(value);
    if (!this.#sources.isState(own)) return Object.assign(own, { fixed: true });
    const copy = storage(own.bytes, name, true);
    this.#push({ kind: "copy", from: own, to: copy, bytes: own.bytes }, [value.node]);
    return copy;
  }
  /** New values go to the states' slots once all are computed; a state that becomes the old value of another is copied aside first. */
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

  #assign(results: readonly Storage[]): Plan {
    const starts = new Map([...this.#outputStarts()].map(([axis, value]) => [axis, Object.assign(this.#storageOf(value), { fixed: true })]));
    const used = new Set(this.#steps.flatMap((step) => touched(step)));
    for (const s of results) used.add(s);
    for (const s of starts.values()) used.add(s);
    const fixed = [...new Set([...this.#sources.storages(used), ...results, ...starts.values()])];
    const live = new Map(this.#graph.live.map((l) => [l.name, l.default]));
    const { slots, slotOf } = assignSlots(this.#steps, fixed, this.#graph.axes, live);
    const outputs = results.map((s, i): PlanOutput => {
      const dims = this.#deviceDims(this.#graph.outputs[i]!);
      return { slot: slotOf(s), starts: dims.map(({ dim, axis }) => ({ dim, slot: slotOf(itemOf(starts, axis)) })) };
    });
    const steps = this.#steps.map((step): PlanStep => ({ ...mapStep(step, slotOf), origin: step.origin, nodes: step.nodes }));
    return { graph: this.#graph, target: this.#target, tunings: this.#tunings, slots, steps, outputs, ...this.#sources.slots(slotOf, used) };
  }
}

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

function runSpec<K extends OpName>(op: K, context: Parameters<Spec<K>>[0]): Work {
  const spec: Spec<K> | null = specs[op];
  invariant(spec, `${op} has no kernel`);
  return spec(context);
}

function mapStep<A, B>(step: Step<A>, to: (buffer: A) => B): Step<B> {
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
