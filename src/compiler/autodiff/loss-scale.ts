// The scale of the loss in a step whose products round their operands to f16, which holds no gradient below 2^-24
// (Micikevicius et al. 2018, arXiv 1710.03740, section 3.2). The scale follows `torch.amp.GradScaler`, with a shorter
// interval of growth.
import type { Emit } from "../ir/build.js";
import { typeOf, type GraphOutput, type Node, type State } from "../ir/graph.js";
import { algebra } from "../ops/algebra.js";

/** The state f32[]: the scale of the next loss, a power of two. */
export const SCALE = "step.scale";
/** The state f32[]: steps that updated the weights since the scale last changed. */
export const GOOD_STEPS = "step.good";
/** The result f32[2] of a step: the scale after it, and 1 if it updated the weights, 0 if it did not. */
export const SCALING = "gradient.scale";

const FIRST_SCALE = 65536;
/** Steps that update the weights before the scale doubles. */
export const GROWS_AFTER = 1000;
/** The largest scale: squares of gradients remain in the range of f32. */
export const LARGEST_SCALE = 2 ** 32;

export interface LossScale {
  /** What the loss is multiplied by, f32[]. */
  readonly factor: Node;
  /** What gradients are multiplied by, f32[]. */
  readonly inverse: Node;
  /** The states after a micro-batch: they do not change. */
  readonly kept: readonly State[];
  /**
   * The states after a step that updates the weights (`fine`), or not: then the scale is halved. It doubles after
   * `GROWS_AFTER` steps that do. The output is `SCALING`.
   */
  readonly after: (fine: Node) => { readonly states: readonly State[]; readonly output: GraphOutput };
}

export function lossScale(emit: Emit): LossScale {
  const factor = emit.node("state", [], { name: SCALE, dtype: "f32", shape: [] });
  const good = emit.node("state", [], { name: GOOD_STEPS, dtype: "f32", shape: [] });
  const m = algebra(emit.node, factor);
  const state = (of: Node<"state">, init: State["init"], next: Node): State => ({
    name: of.attrs.name,
    type: typeOf(of),
    init,
    next,
  });
  const states = (scale: Node, steps: Node): readonly State[] => [
    state(factor, { kind: "filled", value: FIRST_SCALE }, scale),
    state(good, { kind: "zeros" }, steps),
  ];
  const counted = m.add(good, 1);
  const grows = m.ge(counted, GROWS_AFTER);
  return {
    factor,
    inverse: m.div(1, factor),
    kept: states(factor, good),
    after(fine) {
      const grown = m.where(grows, m.min(m.mul(factor, 2), LARGEST_SCALE), factor);
      const next = m.where(fine, grown, m.mul(factor, 0.5));
      const each = [next, m.where(fine, 1, 0)].map((x) => emit.node("reshape", [x], { shape: [1] }));
      const node = emit.node("concat", each, { axis: 0 });
      return {
        states: states(next, m.where(m.and(fine, m.not(grows)), counted, 0)),
        output: { name: SCALING, role: "result", node, shape: [2], packing: null },
      };
    },
  };
}
