// Losses of single rows; `lower` expresses the mean with other operators.
import { equalShapes, printType } from "../ir/typing.js";
import type { TensorType } from "../ir/types.js";
import { addSizes, multiplySizes, printSize } from "../../ground/size/size.js";
import type { OpTable } from "./define.js";
import { sameDim } from "./rows.js";
import { bytesOf, elements, expectDtype, expectType, FLOATS, mismatch } from "./shapes.js";
import { at, roundStored, tensor } from "./tensors.js";

export const losses: Pick<OpTable, "cross_entropy" | "class_sums" | "class_grad"> = {
  cross_entropy: {
    doc: "−log softmax(logits) at the target; 0 where the target is negative; targets are held at the last class",
    infer(inputs) {
      return [{ dtype: "f32", shape: expectTargets(inputs) }];
    },
    // maximum, subtraction, exponential, sum
    cost: (inputs, _attrs, results) => ({
      flops: multiplySizes(4, elements(inputs[0]!)),
      bytes: addSizes(bytesOf(inputs), bytesOf(results)),
    }),
    evaluate(inputs) {
      const [logits, targets] = [at(inputs, 0), at(inputs, 1)];
      const classes = logits.shape.at(-1)!;
      const data = targets.data.map((target, row) => {
        if (target < 0) return 0;
        const x = logits.data.subarray(row * classes, (row + 1) * classes);
        const max = x.reduce((m, v) => Math.max(m, v), -Infinity);
        const sum = x.reduce((s, v) => s + Math.exp(v - max), 0);
        return Math.log(sum) - (x[Math.min(target, classes - 1)]! - max);
      });
      return [tensor("f32", targets.shape, data)];
    },
    rows: sameDim,
    tokens: "own",
    columns: "reduced",
    grad: (emit, { inputs: [logits, targets] }, [dy]) => [emit("cross_entropy_grad", [logits, targets, dy!], {}), null],
    lower: { kind: "kernel" },
  },
  class_sums: {
    doc:
      "what cross-entropy needs of the logits of some classes, and of those before: the largest, the sum of " +
      "exponentials, the target's logit",
    infer(inputs, { first, classes }) {
      const before = inputs.length === 3 ? 1 : 0;
      const shape = expectTargets(inputs.slice(before));
      expectClasses(inputs[before]!, first, classes);
      if (before === 1) expectType(inputs, 0, "f32", [...shape, 3]);
      return [{ dtype: "f32", shape: [...shape, 3] }];
    },
    cost: (inputs, _attrs, results) => ({
      flops: multiplySizes(4, elements(inputs.at(-2)!)),
      bytes: addSizes(bytesOf(inputs), bytesOf(results)),
    }),
    evaluate(inputs, { first, classes }) {
      const before = inputs.length === 3 ? at(inputs, 0) : null;
      const [logits, targets] = [at(inputs, inputs.length - 2), at(inputs, inputs.length - 1)];
      const classCount = logits.shape.at(-1)!;
      const out = tensor("f32", [...targets.shape, 3]);
      targets.data.forEach((target, row) => {
        const x = logits.data.subarray(row * classCount, (row + 1) * classCount);
        const [m, sum, logit] = before ? before.data.subarray(3 * row, 3 * row + 3) : [-Number.MAX_VALUE, 0, 0];
        const max = x.reduce((a, v) => Math.max(a, v), m!);
        const localTarget = (target < 0 ? classes - 1 : Math.min(target, classes - 1)) - first;
        const total = x.reduce((s, v) => s + Math.exp(v - max), sum! * Math.exp(m! - max));
        out.data.set([max, total, localTarget >= 0 && localTarget < classCount ? x[localTarget]! : logit!], 3 * row);
      });
      return [out];
    },
    rows: null,
    tokens: "own",
    columns: null,
    // the scheduler creates this operator after differentiation
    grad: null,
    lower: { kind: "kernel" },
  },
  class_grad: {
    doc:
      "the gradient of cross_entropy with respect to the logits of some classes, by the class_sums of all: zeros " +
      "where the target is negative",
    infer(inputs, { first, classes }) {
      const [logits, targets] = [inputs[0]!, inputs[2]!];
      const shape = expectTargets([logits, targets]);
      expectClasses(logits, first, classes);
      expectType(inputs, 1, "f32", [...shape, 3]);
      expectType(inputs, 3, "f32", shape);
      return [logits];
    },
    // subtraction, exponential, share, target, factor
    cost: (inputs, _attrs, results) => ({
      flops: multiplySizes(5, elements(inputs[0]!)),
      bytes: addSizes(bytesOf(inputs), bytesOf(results)),
    }),
    evaluate(inputs, { first, classes }) {
      const [logits, sums, targets, dloss] = [at(inputs, 0), at(inputs, 1), at(inputs, 2), at(inputs, 3)];
      const classCount = logits.shape.at(-1)!;
      const out = tensor(logits.dtype, logits.shape);
      targets.data.forEach((target, row) => {
        if (target < 0) return;
        const [m, sum] = sums.data.subarray(3 * row, 3 * row + 2);
        const localTarget = Math.min(target, classes - 1) - first;
        for (let c = 0, i = row * classCount; c < classCount; c++, i++)
          out.data[i] = (Math.exp(logits.data[i]! - m!) / sum! - (c === localTarget ? 1 : 0)) * dloss.data[row]!;
      });
      return [roundStored(out)];
    },
    rows: null,
    tokens: "own",
    columns: null,
    grad: null,
    lower: { kind: "kernel", inPlace: [0] },
  },
};

/** Checks that the logits' classes are in the range of all `classes`. */
function expectClasses(logits: TensorType, first: number, classes: number): void {
  const classCount = logits.shape.at(-1)!;
  if (typeof classCount !== "number" || classCount === 0 || first + classCount > classes)
    mismatch(`classes ${first} to ${first} + ${printSize(classCount)} are not among ${classes}`);
}

/** Checks logits and targets; returns the shape of the targets. */
function expectTargets(inputs: readonly TensorType[]): TensorType["shape"] {
  const logits = expectDtype(inputs, 0, ...FLOATS);
  const targets = expectDtype(inputs, 1, "u32", "i32");
  if (logits.shape.length === 0 || !equalShapes(logits.shape.slice(0, -1), targets.shape))
    mismatch(`each row of logits takes one target, found ${printType(logits)} and ${printType(targets)}`);
  return targets.shape;
}
