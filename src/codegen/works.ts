// What each step of a plan computes: its operators, their places in the source, and its cost from the operators'
// records.
import { invariant } from "../base/invariant.js";
import { isOp, nodesOf, type Node, type Origin } from "../ir/graph.js";
import type { TensorType } from "../ir/types.js";
import type { OpName } from "../ir/vocabulary.js";
import type { Touched } from "../ops/define.js";
import { ops } from "../ops/index.js";
import { bytesOf } from "../ops/shapes.js";
import { costOf } from "../ops/traits.js";
import { encodings } from "../program/encodings/index.js";
import type { ProgramOperator, ProgramOrigin, ProgramWork } from "../program/program.js";
import type { Plan, PlanStep } from "../schedule/plan.js";
import { rational } from "../size/rational.js";
import { addSizes, multiplySizes, printSize, sizeOf, type Size } from "../size/size.js";
import type { LineTable } from "./lines.js";

export interface Works {
  readonly works: readonly ProgramWork[];
  readonly origins: readonly ProgramOrigin[];
  /** The work of each step. */
  readonly ofStep: readonly number[];
}

/** Steps that compute the same nodes, one after the other, are one work. Linear in the nodes of the plan. */
export function worksOf(plan: Plan, lines: LineTable): Works {
  const units = unitsOf(plan.steps);
  const places = new Places(lines);
  const order = new Map(nodesOf(plan.graph).map((node, i) => [node, i]));
  const traffic = new Traffic(plan, units);
  const costs = new Map<object, Pick<ProgramWork, "flops" | "bytes">>();
  const works = units.map((unit): ProgramWork => {
    const [named] = unit.nodes;
    invariant(named, "a step computes nothing");
    const [first] = unit.steps;
    if (first!.kind !== "dispatch" && !unit.computes)
      return { ops: [{ op: first!.kind, origin: places.of(named.origin) }], main: 0, ...moved(unit) };
    const nodes = unit.nodes.toSorted((a, b) => (order.get(a) ?? 0) - (order.get(b) ?? 0));
    const operators = nodes.map((n): ProgramOperator => ({ op: n.op, origin: places.of(n.origin) }));
    // Equal steps share their uniforms, and cost the same: layers are counted once.
    const key = unit.steps.flatMap((s) => (s.kind === "dispatch" ? [s.uniforms] : []))[0]!;
    let cost = costs.get(key);
    if (!cost) costs.set(key, (cost = unitCost(unit, traffic)));
    return { ops: operators, main: nodes.indexOf(named), ...cost };
  });
  return { works, origins: places.all, ofStep: units.flatMap((unit, i) => unit.steps.map(() => i)) };
}

interface Unit {
  readonly nodes: readonly Node[];
  readonly steps: readonly PlanStep[];
  /** Whether a kernel is among its steps. */
  readonly computes: boolean;
}

function unitsOf(steps: readonly PlanStep[]): readonly Unit[] {
  const groups: PlanStep[][] = [];
  for (const step of steps) {
    const last = groups.at(-1);
    const before = last?.[0]!.nodes;
    if (
      before &&
      (before === step.nodes || (before.length === step.nodes.length && before.every((n, i) => n === step.nodes[i])))
    )
      last.push(step);
    else groups.push([step]);
  }
  return groups.map((group) => ({
    nodes: group[0]!.nodes,
    steps: group,
    computes: group.some((s) => s.kind === "dispatch"),
  }));
}

/** Places by what they say. */
class Places {
  readonly all: ProgramOrigin[] = [];
  readonly #lines: LineTable;
  readonly #byOrigin = new Map<Origin, number>();
  readonly #byText = new Map<string, number>();

  constructor(lines: LineTable) {
    this.#lines = lines;
  }

  of(origin: Origin | null): number | null {
    if (origin === null) return null;
    let index = this.#byOrigin.get(origin);
    if (index === undefined) this.#byOrigin.set(origin, (index = this.#add(origin)));
    return index;
  }
  #add({ path, span }: Origin): number {
    const line = this.#lines.lineOf(span);
    const text = `${path}\n${span.file}\n${line}`;
    let index = this.#byText.get(text);
    if (index === undefined) {
      this.#byText.set(text, (index = this.all.length));
      this.all.push({ path, file: span.file, line });
    }
    return index;
  }
}

/** A value in memory: a result of a node that is computed, or a source. */
interface Place {
  readonly root: Node;
  readonly result: number;
}

/** Which values units read from memory and leave there. */
class Traffic {
  /** The nodes that some kernel computes. */
  readonly #computed = new Set<Node>();
  /** Results that are read from memory, of nodes that are computed. */
  readonly #stored = new Map<Node, Set<number>>();

  readonly #encodings: Plan["encodings"];

  constructor({ graph, encodings: encoded }: Plan, units: readonly Unit[]) {
    this.#encodings = encoded;
    for (const unit of units) if (unit.computes) for (const node of unit.nodes) this.#computed.add(node);
    const keep = (node: Node): void => {
      for (const { root, result } of this.#placesOf(node))
        this.#stored.set(root, (this.#stored.get(root) ?? new Set()).add(result));
    };
    for (const unit of units) {
      const own = new Set(unit.nodes);
      for (const node of unit.nodes) for (const input of node.inputs) if (!own.has(input)) keep(input);
    }
    for (const { node } of graph.outputs) keep(node);
    for (const { next } of graph.states) keep(next);
    for (const node of graph.starts.values()) keep(node);
  }

  /** What lies behind views, and behind what is packed when weights are loaded. */
  *#placesOf(node: Node): Generator<Place & { readonly type: TensorType }> {
    const pending: { node: Node; result: number; type: TensorType }[] = [{ node, result: 0, type: node.types[0]! }];
    for (let at = pending.pop(); at; at = pending.pop()) {
      if (this.#computed.has(at.node) || at.node.inputs.length === 0) {
        yield { root: at.node, result: at.result, type: at.type };
        continue;
      }
      const result = isOp(at.node, "pick") ? at.node.attrs.result : at.result;
      // A view may show a part of what it is a view of; a value that is repeated or put beside others is read as it is.
      const whole = at.node.op === "broadcast" || at.node.inputs.length > 1;
      for (const input of at.node.inputs)
        pending.push({ node: input, result, type: whole ? input.types[0]! : at.type });
    }
  }

  /** Bytes of what comes from outside, each once, and of what stays in memory. */
  bytes(unit: Unit): Size {
    const own = new Set(unit.nodes);
    const reads = new Map<string, { readonly whole: Size; readonly parts: Map<string, Size> }>();
    const ids = new Map<Node, number>();
    for (const node of unit.nodes)
      node.inputs.forEach((input, i) => {
        if (own.has(input)) return;
        const rows = i === 0 ? (touched(node)?.read ?? null) : null;
        for (const { root, result, type } of this.#placesOf(input)) {
          if (own.has(root) || root.op === "constant") continue;
          if (!ids.has(root)) ids.set(root, ids.size);
          const key = `${ids.get(root)!} ${result}`;
          let read = reads.get(key);
          if (!read)
            reads.set(
              key,
              (read = { whole: this.#inMemory(root, result, bytesOf([root.types[result]!])), parts: new Map() }),
            );
          const part = this.#inMemory(root, result, rows ?? bytesOf([type]));
          // Two different views of one value show different parts of it; looks at the same rows are one.
          read.parts.set(rows === null ? `${printSize(part)} ${viewKey(input, ids)}` : `rows ${printSize(part)}`, part);
        }
      });
    let sum: Size = 0;
    for (const { whole, parts } of reads.values()) {
      const all = [...parts.values()];
      sum = all.some((p) => printSize(p) === printSize(whole)) ? addSizes(sum, whole) : all.reduce(addSizes, sum);
    }
    for (const node of unit.nodes)
      for (const result of this.#stored.get(node) ?? [])
        sum = addSizes(sum, this.#inMemory(node, result, touched(node)?.written ?? bytesOf([node.types[result]!])));
    return sum;
  }
  /** Of so many bytes at four a value, those of a result as it is stored. */
  #inMemory(node: Node, result: number, bytes: Size): Size {
    const { block } = encodings[(result === 0 && this.#encodings.get(node)) || "word"];
    return multiplySizes(sizeOf(rational(block.bytes, 4 * block.values)), bytes);
  }
}

/** Tells slices of one value apart. */
function viewKey(node: Node, ids: Map<Node, number>): number {
  if (!ids.has(node)) ids.set(node, ids.size);
  return ids.get(node)!;
}

/** How much of input 0 and of its result a node touches; null: all. */
const touched = <K extends OpName>(node: Node<K>): Touched | null => ops[node.op].touches?.(node) ?? null;

function unitCost(unit: Unit, traffic: Traffic): Pick<ProgramWork, "flops" | "bytes"> {
  let flops: Size = 0;
  for (const node of unit.nodes) flops = addSizes(flops, costOf(node).flops);
  const copies = unit.steps.filter((s) => s.kind !== "dispatch");
  let bytes = traffic.bytes(unit);
  for (const step of copies) bytes = addSizes(bytes, bytesMoved(step));
  return { flops: sizeText(flops), bytes: sizeText(bytes) };
}

/** Copies and clears alone. */
function moved(unit: Unit): Pick<ProgramWork, "flops" | "bytes"> {
  return { flops: 0, bytes: sizeText(unit.steps.map(bytesMoved).reduce(addSizes, 0)) };
}

function bytesMoved(step: PlanStep): Size {
  switch (step.kind) {
    case "dispatch":
      return 0;
    case "copy":
      return multiplySizes(2, step.bytes);
    case "clear":
      return step.bytes;
    default:
      return step satisfies never;
  }
}

const sizeText = (size: Size): number | string => (typeof size === "number" ? size : printSize(size));
