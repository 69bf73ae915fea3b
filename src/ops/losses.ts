// Losses of single rows; means are written out by `lower`.
import { equalShapes, printType } from "../ir/typing.js";
import { addSizes, multiplySizes } from "../size/size.js";
import type { OpTable } from "./define.js";
import { arity, bytesOf, elements, expectDtype, FLOATS, mismatch } from "./shapes.js";
import { at, tensor } from "./tensors.js";

/** Records of losses. */
export const losses: Pick<OpTable, "cross_entropy"> = {
  cross_entropy: {
    doc: "−log softmax(logits) at the target; 0 where the target is negative; targets are held at the last class",
    infer(inputs) {
      arity(inputs, 2);
      const logits = expectDtype(inputs, 0, ...FLOATS);
      const targets = expectDtype(inputs, 1, "u32", "i32");
      if (logits.shape.length === 0 || !equalShapes(logits.shape.slice(0, -1), targets.shape))
        mismatch(`each row of logits takes one target, found ${printType(logits)} and ${printType(targets)}`);
      return [{ dtype: "f32", shape: targets.shape }];
    },
    // maximum, subtraction, exponential, sum
    cost: (inputs, _attrs, results) => ({ flops: multiplySizes(4, elements(inputs[0]!)), bytes: addSizes(bytesOf(inputs), bytesOf(results)) }),
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
    grad: (emit, { inputs: [logits, targets] }, [dy]) => [emit("cross_entropy_grad", [logits!, targets!, dy!], {}), null],
    lower: { kind: "kernel" },
  },
};
