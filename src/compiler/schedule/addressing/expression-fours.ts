// Whether an expression over rows and columns can be read four columns at once.
import { divideSizes, isWhole, type Size } from "../../../ground/size/size.js";
import type { KernelBuilder } from "../kernels/spec.js";
import type { ElementCodec } from "../codecs/codec.js";
import type { Expression, Leaf } from "./expression.js";
import { reachOf, type Inputs } from "./expression-text.js";

/**
 * Whether four columns from a multiple of 4 on can be read at once: what depends on the column is f32, lies side by
 * side from multiples of 4 on, and is read by nothing else but in fours (`apart`: inputs that are) or under a result's
 * name. A register may be of four columns too.
 */
export function splitsInFours(
  kernel: KernelBuilder,
  { leaves, operations, results }: Expression,
  { of, codecs }: Inputs,
  apart: ReadonlySet<number>,
): boolean {
  const reach = leaves.map(reachOf);
  const across = (n: number): boolean => reach[n] === "both" || reach[n] === "column";
  const reached: boolean[] = [];
  for (const { operands } of operations) reached.push(operands.some((p) => (p < 0 ? across(-1 - p) : reached[p]!)));
  const inQuarters = (size: Size): boolean => {
    const quarter = divideSizes(size, 4);
    return quarter !== null && isWhole(quarter);
  };
  const sideBySide = (leaf: Leaf): boolean => {
    if (leaf.kind === "register") return leaf.dtype === "f32";
    if (leaf.kind !== "memory") return false;
    const { value, dtype, parts, access } = leaf;
    const { strides, offset } = access.affine;
    const input = of(value);
    const codec = codecs[input]!;
    return (
      dtype === "f32" &&
      parts === 1 &&
      strides.at(-1) === 1 &&
      [...strides.slice(0, -1), offset, access.indexed?.times ?? 0].every(inQuarters) &&
      codec.element(dtype) !== "u32" &&
      !apart.has(input) &&
      (!kernel.isNamed(input) || isFour(kernel, input, codec))
    );
  };
  return (
    results.some((p) => (p < 0 ? across(-1 - p) : reached[p]!)) &&
    results.every((p) => (p < 0 ? across(-1 - p) : reached[p]!)) &&
    leaves.every((leaf, n) => !across(n) || sideBySide(leaf)) &&
    operations.every(({ node }, n) => !reached[n] || node.types[0]!.dtype === "f32")
  );
}

/** Whether an input is bound in fours already. */
const isFour = (kernel: KernelBuilder, input: number, codec: ElementCodec): boolean =>
  kernel.elementOf(input) === codec.four && codec.four !== codec.element("f32");
