// Specs of optimizer steps: weights and moments are updated in place, or as copies where the old values are still
// needed.
import type { Step } from "../plan/plan.js";
import {
  input,
  KernelBuilder,
  readValues,
  result,
  typeAt,
  work,
  type Operand,
  type Spec,
  type KernelContext,
  type Work,
} from "./spec.js";

type Context = KernelContext<"adamw" | "sgd">;

/**
 * The step with the gradient, the settings and the results. Each result starts as the input of the same number: by
 * taking over its memory, else by a copy.
 */
function stepOf(
  context: Context,
  file: string,
  results: readonly string[],
  declare: (kernel: KernelBuilder) => void,
): Work {
  const { inputs, extents, prologue, places, inPlace, tunings } = context;
  const type = typeAt(inputs, 0);
  const count = extents.product(type.shape);
  const kernel = new KernelBuilder(file, extents);
  readValues(kernel, prologue, { name: "g", type: "f32", place: places[results.length]! });
  kernel
    .read("settings", "f32", input(places[results.length + 1]!))
    .function("fn setting(i: u32) -> f32 { return settings[i]; }");
  results.forEach((name, i) => kernel.write(name, "f32", result(i)));
  declare(kernel.count("count", count));
  const copies = results.flatMap((_, i): Step<Operand>[] =>
    inPlace[i] ? [] : [{ kind: "copy", from: input(places[i]!), to: result(i), bytes: extents.bytes(type) }],
  );
  return work([...copies, kernel.spread(count, tunings.elements)]);
}

const adamw: Spec<"adamw"> = (context) => {
  const { beta1, beta2, eps } = context.attrs;
  return stepOf(context, "adamw", ["w", "m", "v"], (kernel) =>
    kernel
      .value("towards1", 1 - beta1, "f32")
      .value("beta2", beta2, "f32")
      .value("towards2", 1 - beta2, "f32")
      .value("eps", eps, "f32"),
  );
};

const sgd: Spec<"sgd"> = (context) => {
  const { momentum, nesterov } = context.attrs;
  return stepOf(context, "sgd", ["w", "m"], (kernel) => {
    kernel.value("momentum", momentum, "f32");
    kernel.function(
      "fn direction(gradient: f32, moment: f32) -> f32 { return " +
        `${nesterov ? "fma(momentum(), moment, gradient)" : "moment"}; }`,
    );
  });
};

export const optimiserSpecs = { adamw, sgd };
