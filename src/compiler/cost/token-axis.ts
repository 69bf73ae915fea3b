// The sequence axis whose tokens a model's costs are divided by.
import type { Graph } from "../ir/graph.js";
import { capacityOf } from "../../runtime/program/axes-of-generation.js";
import { atomsOf } from "../../ground/size/size.js";

/**
 * The input's sequence axis on which a token is counted: in programs of generation the axis that grows, else the axis
 * of the first result, else the first. Null if no input has a sequence.
 */
export function tokenAxisOf({ axes, outputs }: Graph): string | null {
  const given = axes.flatMap((axis) => (axis.role === "sequence" && axis.count.kind === "input" ? [axis.name] : []));
  const grows = given.find((name) => axes.some((axis) => axis.name === capacityOf(name)));
  const sizes = outputs[0]?.node.types[0]?.shape ?? [];
  const along = new Set(
    sizes.flatMap((size) => [...atomsOf(size)].flatMap((a) => (a.kind === "live" ? [] : [a.axis]))),
  );
  return grows ?? given.find((name) => along.has(name)) ?? given[0] ?? null;
}
