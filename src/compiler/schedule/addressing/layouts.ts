// The layouts of all values, and expressions over stored values.
import { invariant } from "../../../ground/base/invariant.js";
import { isOp, type Node, isView, isPointwise } from "../../ir/graph.js";
import type { Size } from "../../../ground/size/size.js";
import type { Consumers } from "../analysis/consumers.js";
import type { Affine } from "./access.js";
import { ExpressionBuilder, type Expression, type Inlining } from "./expression.js";
import type { Extents } from "../analysis/extents.js";
import { isRowMajor, rowMajor, viewed, type Layout, type Value } from "./layout.js";

/** The parts of a partition that determine layouts. */
export interface StoredNodes {
  readonly consumers: Pick<Consumers, "isCopied">;
  /** Nodes that a fused kernel computes. */
  readonly taken: ReadonlySet<Node>;
  /** Pointwise operators and structure that are stored. */
  readonly stored: ReadonlySet<Node>;
}

export class Layouts {
  readonly #extents: Extents;
  readonly #partition: StoredNodes;
  readonly #values = new Map<Node, Value[]>();
  readonly #layouts = new Map<Node, Layout>();

  constructor(extents: Extents, partition: StoredNodes) {
    this.#extents = extents;
    this.#partition = partition;
  }

  /** The memory of a node's elements, row-major. A constant, which expressions write out, gets filled memory. */
  valueOf(node: Node): Value {
    if (isOp(node, "constant")) return this.result(node, 0);
    const layout = this.of(node);
    invariant(
      layout && isRowMajor(this.#extents, layout, node.types[0]!.shape),
      `${node.op} is read row-major and does not lie so`,
    );
    return layout.value;
  }
  result(node: Node, index: number): Value {
    let results = this.#values.get(node);
    if (!results) this.#values.set(node, (results = node.types.map((_, i) => ({ node, result: i }))));
    const value = results[index];
    invariant(value, `${node.op} has no result ${index}`);
    return value;
  }
  /** The layout of a node, seen through structure; null if its readers inline the node. */
  readonly of = (node: Node): Layout | null => {
    const chain: Node[] = [];
    let at = node;
    let layout: Layout | null = null;
    for (;;) {
      layout = this.#layouts.get(at) ?? null;
      if (layout) break;
      if (isView(at) && !this.#partition.consumers.isCopied(at)) {
        chain.push(at);
        at = at.inputs[0]!;
        continue;
      }
      layout = this.#baseLayout(at);
      break;
    }
    for (const n of chain.toReversed()) {
      layout = layout && viewed(this.#extents, n, layout);
      if (layout) this.#layouts.set(n, layout);
    }
    return layout;
  };
  #baseLayout(node: Node): Layout | null {
    const [extents, partition] = [this.#extents, this.#partition];
    const computed =
      isOp(node, "constant") || partition.taken.has(node) || (isPointwise(node) && !partition.stored.has(node));
    if (computed) return null;
    const value = isOp(node, "pick") ? this.result(node.inputs[0], node.attrs.result) : this.result(node, 0);
    const layout = rowMajor(extents, value, node.types[0]!.shape);
    this.#layouts.set(node, layout);
    return layout;
  }
  /** Sets the layout of a node that a fused kernel stores. */
  set(node: Node, layout: Layout): void {
    this.#layouts.set(node, layout);
  }

  /** The expression of `nodes` over `shape`, computed in one kernel from stored values. */
  expression(
    nodes: readonly Node[],
    shape: readonly Size[],
    own: ReadonlySet<Node>,
    registers?: ReadonlyMap<Node, number>,
  ): Expression {
    const inlining: Inlining = {
      extents: this.#extents,
      layoutOf: (n) => (own.has(n) ? null : this.of(n)),
      registerOf: (n) => registers?.get(n) ?? null,
    };
    const builder = new ExpressionBuilder(inlining, shape);
    for (const node of nodes) builder.add(node);
    return builder.finish();
  }
  /** The expression with equal axes of different layers replaced by one, so that equal kernels are found. */
  same(expression: Expression): Expression {
    const { equal } = this.#extents;
    const sameAffine = ({ strides, offset }: Affine): Affine => ({
      strides: strides.map((s) => equal.size(s)),
      offset: equal.size(offset),
    });
    return {
      ...expression,
      shape: expression.shape.map((s) => equal.size(s)),
      leaves: expression.leaves.map((leaf) => {
        if (leaf.kind !== "memory") return leaf;
        const { affine, indexed } = leaf.access;
        return {
          ...leaf,
          access: {
            affine: sameAffine(affine),
            indexed: indexed && { ...indexed, at: sameAffine(indexed.at), times: equal.size(indexed.times) },
          },
        };
      }),
    };
  }
}
