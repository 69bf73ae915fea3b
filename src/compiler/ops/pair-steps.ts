// The steps of a pair expression: their types, values and derivatives, by the records of pointwise operators.
import { bug, invariant } from "../../ground/base/invariant.js";
import { isFloat, type DType } from "../../ground/base/dtype.js";
import type { Node } from "../ir/graph.js";
import type { Pair, PairStep } from "../ir/pair.js";
import type { TensorType } from "../ir/types.js";
import type { OpAttrs, OpName, PointwiseOp } from "../ir/vocabulary.js";
import type { EmitGrad, EvaluateContext, Tensor } from "./define.js";
import { pointwise } from "./pointwise.js";
import { mismatch } from "./shapes.js";

/** Steps that are no pointwise operators. */
export type PairLeaf = "operand" | "lookup" | "position_q" | "position_k" | "number" | "stop_gradient";

const LEAVES: ReadonlySet<string> = new Set<PairLeaf>([
  "operand",
  "lookup",
  "position_q",
  "position_k",
  "number",
  "stop_gradient",
]);
const isPointwise = (op: string): op is PointwiseOp => Object.hasOwn(pointwise, op);
const scalar = (dtype: DType): TensorType => ({ dtype, shape: [] });

/** Checks the types of all steps. `operands`: the dtypes of the operands. Throws TypeMismatch. */
export function checkSteps({ steps, operands: sides, mask, bias, weight }: Pair, operands: readonly DType[]): void {
  steps.forEach((step, i) => {
    const found = typeOfStep(steps, step, operands);
    if (found !== step.dtype) mismatch(`step ${i} of the pair is ${found}, not ${step.dtype}`);
    if (step.op === "operand" && sides[step.of!] === "table")
      mismatch(`step ${i} of the pair reads a table without an index`);
    if (step.op === "lookup" && sides[step.of!] !== "table")
      mismatch(`step ${i} of the pair looks up what is no table`);
  });
  if (mask !== null && steps[mask]?.dtype !== "bool") mismatch("the mask of the pair must be bool");
  if (bias !== null && steps[bias]?.dtype !== "f32") mismatch("the bias of the pair must be f32");
  if (weight !== null && (sides[weight] !== "key" || operands[weight] !== "f32"))
    mismatch("the weights of keys must be f32 on the rows of the keys");
}

function typeOfStep(
  steps: readonly PairStep[],
  { op, args, of, dtype, attrs }: PairStep,
  operands: readonly DType[],
): DType {
  const types = args.map((arg) => scalar(steps[arg]!.dtype));
  if (isPointwise(op)) return inferred(op, types, (attrs ?? {}) as OpAttrs[PointwiseOp]).dtype; // `infer` checks them
  if (!LEAVES.has(op)) return mismatch(`${op} is no operator of pairs`);
  if (op === "number") return dtype;
  if (op === "operand") return operands[of!]!;
  if (op === "lookup") {
    if (types.length !== 1 || types[0]!.dtype !== "u32") mismatch("an index of a table must be one u32");
    return operands[of!]!;
  }
  if (op === "stop_gradient") return types[0]?.dtype ?? mismatch("stop_gradient takes one number");
  return "u32";
}

function inferred<K extends PointwiseOp>(op: K, inputs: readonly TensorType[], attrs: OpAttrs[K]): TensorType {
  return pointwise[op].infer(inputs, attrs, NO_AXES)[0]!;
}
/** Pointwise operators on scalars ask for no axis. */
const NO_AXES = { axis: (name: string) => bug(`a pair asks for axis ${name}`), onHost: () => true, batch: 1 };

/** The results of all steps; `leaf` gives those of steps that read something. */
export function stepValues(
  steps: readonly PairStep[],
  context: EvaluateContext,
  leaf: (step: PairStep, args: readonly Tensor[]) => Tensor,
): readonly Tensor[] {
  const values: Tensor[] = [];
  for (const step of steps) {
    const args = step.args.map((arg) => values[arg]!);
    values.push(isPointwise(step.op) ? computed(step.op, args, step.attrs ?? {}, context) : leaf(step, args));
  }
  return values;
}

const computed = (op: PointwiseOp, args: readonly Tensor[], attrs: object, context: EvaluateContext): Tensor =>
  pointwise[op].evaluate(args, attrs as never, context)[0]!; // `checkSteps` has checked them

/** The WGSL of a pointwise step. */
export function stepWgsl(steps: readonly PairStep[], step: PairStep, args: readonly string[]): string {
  const { op } = step;
  invariant(isPointwise(op), `${op} is no pointwise operator`);
  const types = step.args.map((arg) => scalar(steps[arg]!.dtype));
  return wgslOf(op, args, step.attrs ?? {}, types);
}
const wgslOf = (op: PointwiseOp, args: readonly string[], attrs: object, types: readonly TensorType[]): string =>
  pointwise[op].lower.wgsl(args, attrs as never, types); // `checkSteps` has checked them

/** The derivative of the bias by an operand's element: a step, and for a table the step of the element's index. */
export interface PairSlope {
  readonly operand: number;
  readonly slope: number;
  readonly index: number | null;
}

/** The steps of a pair, with steps for derivatives behind them. */
export interface SmoothPair {
  readonly steps: readonly PairStep[];
  readonly slopes: readonly PairSlope[];
}

const known = new WeakMap<Pair, SmoothPair>();

/** The derivatives of the bias by all operands on which it depends smoothly. */
export function slopesOf(pair: Pair): SmoothPair {
  let smooth = known.get(pair);
  if (!smooth) known.set(pair, (smooth = differentiated(pair)));
  return smooth;
}

/** Operands with a gradient: those of slopes, and the weights of keys. */
export function smoothOperands(pair: Pair): ReadonlySet<number> {
  const found = slopesOf(pair).slopes.map((s) => s.operand);
  return new Set(pair.weight === null ? found : [...found, pair.weight]);
}

function differentiated(pair: Pair): SmoothPair {
  const { steps, bias } = pair;
  if (bias === null) return { steps, slopes: [] };
  const nodes: Node[] = [];
  const numberOf = new Map<Node, number>();
  steps.forEach((step, i) => {
    const node = nodeOf(step, nodes, i);
    nodes.push(node);
    numberOf.set(node, i);
  });
  const cotangents = new Map<number, Node>([[bias, one()]]);
  for (let i = bias; i >= 0; i--) {
    const dy = cotangents.get(i);
    const node = nodes[i]!;
    if (!dy || !isPointwise(node.op)) continue;
    const dxs = backward(node as Node<PointwiseOp>, dy);
    steps[i]!.args.forEach((arg, a) => {
      const dx = dxs[a];
      if (!dx || !isFloat(steps[arg]!.dtype)) return;
      const before = cotangents.get(arg);
      cotangents.set(arg, before ? emit("add", [before, dx], {}) : dx);
    });
  }
  const all = [...steps];
  const stepOf = (node: Node): number => {
    const found = numberOf.get(node);
    if (found !== undefined) return found;
    all.push(stepFrom(node, node.inputs.map(stepOf)));
    numberOf.set(node, all.length - 1);
    return all.length - 1;
  };
  const slopes = steps.flatMap((step, i): readonly PairSlope[] => {
    const dy = cotangents.get(i);
    if (!dy || (step.op !== "operand" && step.op !== "lookup")) return [];
    return [{ operand: step.of!, slope: stepOf(dy), index: step.op === "lookup" ? step.args[0]! : null }];
  });
  return { steps: all, slopes };
}

const backward = <K extends PointwiseOp>(node: Node<K>, dy: Node): readonly (Node | null)[] =>
  pointwise[node.op].grad?.(emit, node, [dy]) ?? [];

/** A node on scalars; nodes of leaves are told apart by their numbers. */
function nodeOf(step: PairStep, nodes: readonly Node[], number: number): Node {
  const types = [scalar(step.dtype)];
  const inputs = step.args.map((arg) => nodes[arg]!);
  if (isPointwise(step.op)) return { op: step.op, inputs, attrs: step.attrs ?? {}, types, origin: null };
  if (step.op === "number")
    return { op: "constant", inputs: [], attrs: { value: step.value!, ...types[0]! }, types, origin: null };
  // A source that is asked for nothing but its type.
  return { op: "state", inputs: [], attrs: { name: `${number}`, ...types[0]! }, types, origin: null };
}

function stepFrom(node: Node, args: readonly number[]): PairStep {
  const { dtype } = node.types[0]!;
  if (node.op === "constant") return { op: "number", args: [], dtype, value: (node as Node<"constant">).attrs.value };
  invariant(isPointwise(node.op), `the derivative of a pair has ${node.op}`);
  const attrs = node.attrs as Readonly<Record<string, string | number>>; // of a pointwise operator
  return { op: node.op, args, dtype, ...(Object.keys(attrs).length > 0 && { attrs }) };
}

const emit: EmitGrad = <K extends OpName>(op: K, inputs: Node<K>["inputs"], attrs: OpAttrs[K]): Node<K> => {
  const types =
    op === "constant"
      ? [scalar((attrs as OpAttrs["constant"]).dtype)]
      : [
          inferred(
            op as PointwiseOp,
            (inputs as readonly Node[]).map((n) => n.types[0]!),
            attrs,
          ),
        ];
  return { op, inputs, attrs, types, origin: null };
};

const one = (): Node => emit("constant", [], { value: 1, ...scalar("f32") });
