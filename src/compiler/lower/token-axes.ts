// Finds the token axes of a graph.
import { typeOf, type Graph, type Node } from "../ir/graph.js";
import { packedAxis } from "../ir/typing.js";
import type { SequenceAxis } from "../../ground/size/axes.js";
import { declaredShare } from "../../ground/size/count-rules.js";
import { grownAxes } from "./given.js";
import { GenerationError } from "./generation-error.js";

/** The axis of the rows of a tensor [heads, rows, …]. */
export function axisOf(heads: Node): string {
  const axis = packedAxis(typeOf(heads).shape[1]!);
  if (axis === null) throw new GenerationError("the rows of an attention lie along no axis");
  return axis;
}

/** The sequence axis of the tokens; axes that derive from it must be routes. */
export function rootOf(graph: Graph, tokens: string): SequenceAxis {
  if (!graph.axes.some((a) => a.role === "batch")) throw new GenerationError("the model has no batch of sequences");
  const root = graph.axes.find((a): a is SequenceAxis => a.role === "sequence" && a.name === tokens);
  if (root?.count.kind !== "input") throw new GenerationError("the model's inputs have no axis of tokens");
  const grown = grownAxes(graph.axes, tokens);
  for (const axis of graph.axes)
    if (
      axis.role === "sequence" &&
      axis !== root &&
      grown.has(axis.name) &&
      declaredShare(axis.count) === null &&
      graph.starts.has(axis.name)
    )
      throw new GenerationError(
        `the axis ${axis.name} is made by ${axis.count.kind}, which looks at the whole sequence`,
      );
  return root;
}
