// The loss that a step differentiates: in a micro-batch each loss is multiplied by the share of the micro-batch in the
// step, so that gradients of micro-batches of different sizes add up to the gradient of all.
import type { Emit } from "../ir/build.js";
import type { Graph, Node } from "../ir/graph.js";
import { algebra } from "../ops/algebra.js";

/**
 * The input f32[2] of each micro-batch: its share in the means of the step, of the objective's own losses and of all
 * other losses. Each adds up to 1 over the micro-batches of a step.
 */
export const SHARES = "step.shares";

export interface Seeding {
  /** Paths of the objective's own losses in a micro-batch; null: all are its own. `whole`: the batch is the step. */
  readonly own: ReadonlySet<string> | null | "whole";
  /** What the loss is multiplied by, f32[]; null: nothing. */
  readonly scale: Node | null;
}

/** The loss to differentiate, f32[], and the inputs that it reads. `loss`: the sum of all losses of the graph. */
export function seedLoss(
  emit: Emit,
  { outputs }: Pick<Graph, "outputs">,
  loss: Node,
  { own, scale }: Seeding,
): { readonly loss: Node; readonly inputs: readonly Node<"input">[] } {
  const m = algebra(emit.node, loss);
  const scaled = (x: Node): Node => (scale ? m.mul(x, scale) : x);
  if (own === "whole") return { loss: scaled(loss), inputs: [] };
  const shares = emit.node("input", [], { name: SHARES, dtype: "f32", shape: [2] });
  const share = (i: number): Node =>
    emit.node("reshape", [emit.node("slice", [shares], { axis: 0, start: i, stop: i + 1 })], { shape: [] });
  const losses = outputs.flatMap(({ role, name, node }) =>
    role === "loss" && name.startsWith(PART)
      ? [{ node, group: own?.has(name.slice(PART.length)) === false ? 1 : 0 }]
      : [],
  );
  const parts = [0, 1].flatMap((group) => {
    const nodes = losses.flatMap((l) => (l.group === group ? [l.node] : []));
    return nodes.length === 0
      ? []
      : [
          m.mul(
            nodes.reduce((sum, x) => m.add(sum, x)),
            share(group),
          ),
        ];
  });
  return { loss: scaled(parts.length === 0 ? loss : parts.reduce((sum, x) => m.add(sum, x))), inputs: [shares] };
}

const PART = "loss.";
