// Creates nodes: infers their types, and returns an existing node instead of an equal new one (hash consing).
import type { Axis } from "../../ground/size/axes.js";
import type { InputsOf, Node, Origin } from "./graph.js";
import { attrsKey } from "./key.js";
import { inferContext, inferTypes, TypeMismatch, type Typing } from "./typing.js";
import type { OpAttrs, OpName } from "./vocabulary.js";

export interface Emit {
  /**
   * A node of the operator. A call with equal operator, inputs and attributes returns the same node, with the origin of
   * the first call. Throws TypeMismatch.
   */
  readonly node: <K extends OpName>(op: K, inputs: InputsOf<K>, attrs: OpAttrs[K], origin?: Origin | null) => Node<K>;
  /** One result of a node: the node itself if it has a single result. */
  pick(node: Node, result: number, origin?: Origin | null): Node;
}

/** A builder of nodes over these axes, typed by the operator table. */
export function createEmit(typing: Typing, axes: readonly Axis[]): Emit {
  const context = inferContext(axes);
  const nodes = new Map<string, Node>();
  const ids = new Map<Node, number>();
  const idOf = (node: Node): number => {
    let id = ids.get(node);
    if (id === undefined) ids.set(node, (id = ids.size));
    return id;
  };
  const emit: Emit = {
    node<K extends OpName>(op: K, inputs: InputsOf<K>, attrs: OpAttrs[K], origin: Origin | null = null): Node<K> {
      const key = `${op}(${inputs.map(idOf).join(",")})${attrsKey(attrs)}`;
      const known = nodes.get(key);
      if (known) return known as Node<K>; // the key begins with the operator
      let node: Node<K>;
      try {
        const types = inferTypes(typing, op, inputs, attrs, context);
        node = { op, inputs, attrs, types, origin };
      } catch (error) {
        if (error instanceof TypeMismatch) throw new TypeMismatch(`${op}: ${error.message}`);
        throw error;
      }
      nodes.set(key, node);
      return node;
    },
    pick: (node, result, origin = null) =>
      node.types.length === 1 && result === 0 ? node : emit.node("pick", [node], { result }, origin),
  };
  return emit;
}
