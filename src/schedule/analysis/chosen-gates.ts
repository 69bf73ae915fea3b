// Choices of entries, what they are made of and what is made of them: the softmax before a choice, and the gates behind
// it, are computed by the kernel that chooses.
import { readersOf } from "../../base/collections.js";
import { isOp, nodesOf, typeOf, type Graph, type Node } from "../../ir/graph.js";
import type { OpAttrs } from "../../ir/vocabulary.js";
import { mapGraph } from "../../passes/rewrite.js";

type Attrs = OpAttrs["choose_entries"];

/** A choice that is computed with its gates. */
interface Chosen {
  readonly attrs: Attrs;
  readonly top: Node<"top_entries">;
  /** What has the gates; null where nothing is made of the chosen scores. */
  readonly gates: Node | null;
}

/** More entries, or more chosen, than a workgroup holds are left to kernels of their own. */
const MOST_AMONG = 1024;
const MOST_CHOSEN = 64;

/** softmax, top_entries, take_entries and the gates made of these → choose_entries. */
export function chosenGates(graph: Graph): Graph {
  const found = choicesOf(graph);
  if (found.size === 0) return graph;
  const made = new Map<Chosen, Node<"choose_entries">>();
  return mapGraph(graph, (node, emitFrom, before) => {
    const chosen = found.get(before);
    if (!chosen) return node;
    const emit = emitFrom(node);
    // The choice itself comes first.
    let joint = made.get(chosen);
    if (!joint) {
      const [score] = node.inputs;
      const x = chosen.attrs.soft ? score.inputs[0] : score;
      made.set(chosen, (joint = emit("choose_entries", [x], chosen.attrs)));
    }
    return emit("pick", [joint], { result: before === chosen.top ? 0 : 1 });
  });
}

/** By the nodes that they replace. */
function choicesOf(graph: Graph): ReadonlyMap<Node, Chosen> {
  const nodes = nodesOf(graph);
  const found = new Map<Node, Chosen>();
  if (!nodes.some((n) => isOp(n, "top_entries"))) return found;
  const readers = readersOf(nodes);
  const kept = new Set<Node>([...graph.outputs.map((o) => o.node), ...graph.states.map((s) => s.next)]);
  /** All readers of a value; null where the caller reads it too. */
  const only = (node: Node): readonly Node[] | null => (kept.has(node) ? null : (readers.get(node) ?? []));
  for (const top of nodes) {
    if (!isOp(top, "top_entries") || !fits(top)) continue;
    const [score] = top.inputs;
    const taken = readers
      .get(score)!
      .find((n) => isOp(n, "take_entries") && n.inputs[0] === score && n.inputs[1] === top);
    const soft =
      isOp(score, "softmax") &&
      score.attrs.axis === typeOf(score).shape.length - 1 &&
      only(score)?.every((n) => n === top || n === taken) === true;
    const made = taken ? gatesOf(taken, only) : null;
    const attrs = { k: top.attrs.k, soft, gates: made?.gates ?? "scores", least: made?.least ?? 0 };
    const chosen = { attrs, top, gates: made?.node ?? taken ?? null };
    found.set(top, chosen);
    if (chosen.gates) found.set(chosen.gates, chosen);
  }
  return found;
}

function fits({ inputs: [score], attrs: { k } }: Node<"top_entries">): boolean {
  const { dtype, shape } = typeOf(score);
  return dtype === "f32" && Number(shape.at(-1)) <= MOST_AMONG && k <= MOST_CHOSEN;
}

type Gates = Pick<Attrs, "gates" | "least"> & { readonly node: Node };

/** What alone is made of the chosen scores: their softmax, or their shares in their sum. */
function gatesOf(taken: Node, only: (node: Node) => readonly Node[] | null): Gates | null {
  const own = only(taken);
  const last = typeOf(taken).shape.length - 1;
  const [first] = own ?? [];
  if (own?.length === 1 && first && isOp(first, "softmax") && first.attrs.axis === last)
    return { gates: "softmax", least: 0, node: first };
  const sum = own?.find((n) => isOp(n, "sum") && n.attrs.keep && n.attrs.axes.length === 1 && n.attrs.axes[0] === last);
  const [below, ...more] = (sum && only(sum)) ?? [];
  if (own?.length !== 2 || !sum || !below || more.length > 0) return null;
  const constant = isOp(below, "add") ? below.inputs.find((n) => isOp(n, "constant")) : undefined;
  const [share] = constant ? (only(below) ?? []) : [below];
  const divisor = constant ? below : sum;
  const isShare =
    share !== undefined &&
    isOp(share, "div") &&
    share.inputs[0] === taken &&
    share.inputs[1] === divisor &&
    only(divisor)?.length === 1 &&
    own.includes(share);
  if (!isShare) return null;
  return { gates: "shares", least: constant && isOp(constant, "constant") ? constant.attrs.value : 0, node: share };
}
