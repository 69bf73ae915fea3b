// Metadata of each step: the operators it computes, their source locations, and its cost by the operators' records.
import { invariant } from "../../ground/base/invariant.js";
import { isOp, nodesOf, type Node, type Origin } from "../ir/graph.js";
import type { TensorType } from "../ir/types.js";
import type { OpName } from "../ir/vocabulary.js";
import type { Touched } from "../ops/define.js";
import { ops } from "../ops/index.js";
import { memberShares, membersOf } from "../ops/members.js";
import { bytesOf } from "../ops/shapes.js";
import { costOf } from "../ops/traits.js";
import { encodings } from "../../runtime/program/encodings/index.js";
import type { ProgramOperator, ProgramOrigin, ProgramWork } from "../../runtime/program/program.js";
import type { Plan, PlanStep } from "../schedule/plan/plan.js";
import { rational } from "../../ground/numerics/rational.js";
import {
  addSizes,
  applySize,
  equalSizes,
  multiplySizes,
  normal,
  printSize,
  sizeOf,
  type Size,
} from "../../ground/size/size.js";
import type { SourceFile, Span } from "../../language/diagnostics/span.js";

export interface Works {
  readonly works: readonly ProgramWork[];
  readonly origins: readonly ProgramOrigin[];
  /** Index into `works` for each step. */
  readonly ofStep: readonly number[];
}

/** Consecutive steps that compute the same nodes share one work entry. Linear in the nodes of the plan. */
export function worksOf(plan: Plan, lines: LineTable): Works {
  const units = groupSteps(plan.steps);
  const locations = new Locations(lines);
  const all = nodesOf(plan.graph);
  const order = new Map(all.map((node, i) => [node, i]));
  const traffic = new Traffic(plan, units);
  const costs = new Map<object, WorkCost>();
  const works = units.map((unit): ProgramWork => {
    const [primary] = unit.nodes;
    invariant(primary, "a step computes nothing");
    const [first] = unit.steps;
    if (first!.kind !== "dispatch" && !unit.computes)
      return { ops: [{ op: first!.kind, origin: locations.of(primary.origin) }], main: 0, ...copyCost(unit) };
    const nodes = unit.nodes.toSorted((a, b) => (order.get(a) ?? 0) - (order.get(b) ?? 0));
    const operators = nodes.map((n): ProgramOperator => ({ op: n.op, origin: locations.of(n.origin) }));
    // Equal steps share their array of uniforms and have the same cost, so that repeated layers are counted once.
    const key = unit.steps.flatMap((s) => (s.kind === "dispatch" ? [s.uniforms] : []))[0]!;
    // Shares may differ between two kinds of experts even if the sizes are equal, so the cost is not reused.
    const ofExperts = nodes.some((node) => membersOf(node) !== null);
    let cost = ofExperts ? costOfGroup(unit, traffic) : costs.get(key);
    if (!cost) costs.set(key, (cost = costOfGroup(unit, traffic)));
    return { ops: operators, main: nodes.indexOf(primary), ...cost };
  });
  return { works, origins: locations.all, ofStep: units.flatMap((unit, i) => unit.steps.map(() => i)) };
}

interface StepGroup {
  readonly nodes: readonly Node[];
  readonly steps: readonly PlanStep[];
  /** Whether one of the steps is a dispatch. */
  readonly computes: boolean;
}

function groupSteps(steps: readonly PlanStep[]): readonly StepGroup[] {
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

/** Source locations, deduplicated by path, file and line. */
class Locations {
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

/** A value in memory: a result of a computed node or of a source node. */
interface StoredValue {
  readonly root: Node;
  readonly result: number;
}

/** Counts the bytes that groups of steps read from memory and write to it. */
class Traffic {
  /** The nodes that some kernel computes. */
  readonly #computed = new Set<Node>();
  /** For each node that a kernel computes, the results that are read from memory. */
  readonly #stored = new Map<Node, Set<number>>();

  readonly #encodings: Plan["encodings"];

  constructor({ graph, encodings: encoded }: Plan, units: readonly StepGroup[]) {
    this.#encodings = encoded;
    for (const unit of units) if (unit.computes) for (const node of unit.nodes) this.#computed.add(node);
    const markStored = (node: Node): void => {
      for (const { root, result } of this.#storedValuesOf(node))
        this.#stored.set(root, (this.#stored.get(root) ?? new Set()).add(result));
    };
    for (const unit of units) {
      const members = new Set(unit.nodes);
      for (const node of unit.nodes) for (const input of node.inputs) if (!members.has(input)) markStored(input);
    }
    for (const { node } of graph.outputs) markStored(node);
    for (const { next } of graph.states) markStored(next);
    for (const node of graph.starts.values()) markStored(node);
  }

  /** The stored values that a node views, or from which it is packed when weights are loaded. */
  *#storedValuesOf(node: Node): Generator<StoredValue & { readonly type: TensorType }> {
    const pending: { node: Node; result: number; type: TensorType }[] = [{ node, result: 0, type: node.types[0]! }];
    for (let at = pending.pop(); at; at = pending.pop()) {
      if (this.#computed.has(at.node) || at.node.inputs.length === 0) {
        yield { root: at.node, result: at.result, type: at.type };
        continue;
      }
      const result = isOp(at.node, "pick") ? at.node.attrs.result : at.result;
      // A view may show only a part of its input. A value that is broadcast or concatenated is read whole.
      const whole = at.node.op === "broadcast" || at.node.inputs.length > 1;
      for (const input of at.node.inputs)
        pending.push({ node: input, result, type: whole ? input.types[0]! : at.type });
    }
  }

  /**
   * Bytes of the inputs that other steps or the host provide, each counted once, and of the results that are stored.
   */
  bytes(unit: StepGroup): Size {
    const members = new Set(unit.nodes);
    const reads = new Map<string, { readonly whole: Size; readonly parts: Map<string, Size> }>();
    const ids = new Map<Node, number>();
    for (const node of unit.nodes)
      node.inputs.forEach((input, i) => {
        if (members.has(input)) return;
        const touches = touched(node);
        const rows = i === 0 ? (touches?.read ?? null) : null;
        const share = touches?.share?.input === i ? touches.share.of : null;
        for (const { root, result, type } of this.#storedValuesOf(input)) {
          if (members.has(root) || root.op === "constant") continue;
          if (!ids.has(root)) ids.set(root, ids.size);
          const key = `${ids.get(root)!} ${result}`;
          let read = reads.get(key);
          if (!read)
            reads.set(
              key,
              (read = { whole: this.#inMemory(root, result, bytesOf([root.types[result]!])), parts: new Map() }),
            );
          const seen = rows ?? (share === null ? bytesOf([type]) : multiplySizes(share, bytesOf([type])));
          const part = this.#inMemory(root, result, seen);
          // Two different views of one value read different parts; two reads with the same number of rows count once.
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
  /** Converts a byte count with four bytes per value to bytes in the result's encoding. */
  #inMemory(node: Node, result: number, bytes: Size): Size {
    const { block } = encodings[(result === 0 && this.#encodings.get(node)) || "word"];
    return multiplySizes(sizeOf(rational(block.bytes, 4 * block.values)), bytes);
  }
}

/** A number that distinguishes different views of a value. */
function viewKey(node: Node, ids: Map<Node, number>): number {
  if (!ids.has(node)) ids.set(node, ids.size);
  return ids.get(node)!;
}

/** The parts of its inputs and result that a node touches; null: everything. */
const touched = <K extends OpName>(node: Node<K>): Touched | null => ops[node.op].touches?.(node) ?? null;

type WorkCost = Pick<ProgramWork, "flops" | "denseFlops" | "bytes">;

function costOfGroup(unit: StepGroup, traffic: Traffic): WorkCost {
  let [flops, dense]: [Size, Size] = [0, 0];
  for (const node of unit.nodes) {
    const { existing, members, computing } = memberShares(node);
    const existingFlops = shareOf(existing, costOf(node).flops);
    flops = addSizes(flops, shareOf(sizeOf(members), existingFlops));
    dense = addSizes(dense, shareOf(sizeOf(computing), existingFlops));
  }
  const copies = unit.steps.filter((s) => s.kind !== "dispatch");
  let bytes = traffic.bytes(unit);
  for (const step of copies) bytes = addSizes(bytes, bytesMoved(step));
  return {
    flops: sizeText(flops),
    ...(equalSizes(flops, dense) ? {} : { denseFlops: sizeText(dense) }),
    bytes: sizeText(bytes),
  };
}

/** Rounded up to whole operations. */
const shareOf = (share: Size, flops: Size): Size =>
  equalSizes(share, 1) ? flops : applySize("ceil", [normal(multiplySizes(share, flops))]);

/** The cost of a group without a dispatch: the bytes of its copies and clears. */
function copyCost(unit: StepGroup): WorkCost {
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

export class LineTable {
  readonly #starts = new Map<string, readonly number[]>();

  constructor(sources: readonly SourceFile[]) {
    for (const { file, text } of sources) {
      const starts = [0];
      for (let i = text.indexOf("\n"); i !== -1; i = text.indexOf("\n", i + 1)) starts.push(i + 1);
      this.#starts.set(file, starts);
    }
  }

  /** The line on which the span starts, counted from 1; 0 if the file's text is unknown. */
  lineOf({ file, start }: Span): number {
    const starts = this.#starts.get(file);
    if (!starts) return 0;
    let low = 0;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (starts[middle]! <= start) low = middle;
      else high = middle;
    }
    return low + 1;
  }
}
