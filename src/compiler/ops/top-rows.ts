// Chooses the best rows for many columns of scores at once, as a mask: expert-choice routing.
import { printType } from "../ir/typing.js";
import { equalSizes, rowsSize } from "../../ground/size/size.js";
import type { OpTable } from "./define.js";
import { ranked, readAll, ruleOf, startsOfTop } from "./routing.js";
import { expectDtype, expectType, FLOATS, mismatch, startsShape, startsType } from "./shapes.js";
import { at, tensor } from "./tensors.js";

/** Record of the operator. */
export const topRows: Pick<OpTable, "top_rows"> = {
  top_rows: {
    doc: "of each column the k best rows of each sequence",
    infer(inputs, { axis }, context) {
      const { parent } = ruleOf(context, axis, "top");
      const score = expectDtype(inputs, 0, ...FLOATS);
      const [, among, ...more] = score.shape;
      if (typeof among !== "number" || more.length > 0 || !equalSizes(score.shape[0]!, rowsSize(parent)))
        mismatch(`scores must be [rows(${parent}), E], found ${printType(score)}`);
      expectType(inputs, 1, "u32", startsShape(context));
      expectType(inputs, 2, "u32", startsShape(context));
      return [{ dtype: "bool", shape: score.shape }, startsType(context)];
    },
    // Nominal: one comparison for each score.
    cost: readAll(1),
    evaluate(inputs, { axis }, context) {
      const [{ data, shape }, starts] = [at(inputs, 0), at(inputs, 1).data];
      const counts = context.sizes.sequence(axis);
      const among = shape[1]!;
      const mask = tensor("bool", shape);
      for (let e = 0; e < among; e++) {
        const column = data.filter((_, i) => i % among === e);
        for (let b = 0; b + 1 < starts.length; b++)
          for (const row of ranked(column, starts[b]!, starts[b + 1]!).slice(0, counts.at(b)))
            mask.data[row * among + e] = 1;
      }
      return [mask, tensor("u32", [starts.length], Float64Array.from(counts.starts()))];
    },
    starts: startsOfTop,
    chooses: [0],
    rows: null,
    tokens: "all",
    columns: null,
    grad: null,
    lower: { kind: "kernel" },
  },
};
