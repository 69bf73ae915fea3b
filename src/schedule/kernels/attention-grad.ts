// The spec of the gradient of attention: one kernel for queries, one for keys and values.
import type { TensorType } from "../../ir/types.js";
import type { Extents } from "../extents.js";
import type { Step } from "../plan.js";
import { bindRowsTable, rowsTable } from "./attention-operands.js";
import { declareSeeing, declareSight } from "./attention-sight.js";
import { input, KernelBuilder, result, roundedTo, scratch, typeAt, work, type Operand, type Spec, type SpecContext } from "./spec.js";

type Context = SpecContext<"attention_grad">;

export const attentionGrad: Spec<"attention_grad"> = (context) => {
  const { inputs, extents, attrs } = context;
  const [q, k] = [typeAt(inputs, 0), typeAt(inputs, 1)];
  const rows = rowsTable(inputs, extents, scratch(0));
  const stats = statsTable(inputs, extents, scratch(1));
  const queries = kernelFor(context, "attention_grad_q").write("dq", "f32", result(0));
  declareSight(queries, attrs);
  const keys = kernelFor(context, "attention_grad_kv").write("dk", "f32", result(1)).write("dv", "f32", result(2));
  declareSeeing(keys, attrs);
  const steps = [rows.step, stats, queries.over(extents.product(q.shape.slice(0, 2))), keys.over(extents.product(k.shape.slice(0, 2)))];
  return work(steps, [rows.bytes, extents.times(2, extents.bytes(typeAt(inputs, 7)))]);
};

/** What both read of each query beside its row, in one buffer: there is room for no more. */
function statsTable(inputs: readonly TensorType[], extents: Extents, to: Operand): Step<Operand> {
  const kernel = new KernelBuilder("pointwise", extents, "attention_stats").read("lse", "f32", input(7)).read("delta", "f32", input(8));
  const count = extents.product(typeAt(inputs, 7).shape);
  kernel.write("y", "f32", to).count("queries", count).function("fn count() -> u32 { return 2u * queries(); }");
  kernel.function("fn value(i: u32) -> f32 {\n  if (i < queries()) { return lse[i]; }\n  return delta[i - queries()];\n}");
  return kernel.over(extents.times(2, count));
}

function kernelFor({ inputs, extents, attrs }: Context, file: string): KernelBuilder {
  const [q, k, v] = [typeAt(inputs, 0), typeAt(inputs, 1), typeAt(inputs, 2)];
  const kernel = new KernelBuilder(file, extents).read("q", "f32", input(0)).read("k", "f32", input(1)).read("v", "f32", input(2)).read("dy", "f32", input(9));
  bindRowsTable(kernel, scratch(0));
  kernel.read("stats", "f32", scratch(1)).count("heads", q.shape[0]!).count("sharedHeads", k.shape[0]!).count("batch", extents.batch);
  kernel.count("width", q.shape[2]!).count("widthV", v.shape[2]!).value("scale", attrs.scale, "f32");
  return kernel
    .function("fn queryCount() -> u32 { return startQ(batch()); }")
    .function("fn keyCount() -> u32 { return startK(batch()); }")
    .function("fn lseOf(query: u32) -> f32 { return stats[query]; }")
    .function("fn deltaOf(query: u32) -> f32 { return stats[heads() * queryCount() + query]; }")
    .function(roundedTo(q.dtype, false));
}
