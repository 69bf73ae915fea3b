// Computes operators that are linear in a scattered value only for its rows. Scattered values, such as gradients of
// gathered rows, are zero outside the rows of a route.
import { isOp, mapInputs, typeOf, type Node, isScatter } from "../ir/graph.js";
import { equalShapes, packedAxis } from "../ir/typing.js";
import type { OpName } from "../ir/vocabulary.js";
import { ops } from "../ops/index.js";
import { attrsWith } from "../ops/rows.js";
import { rowInputs } from "../ops/traits.js";
import type { Size } from "../../ground/size/size.js";
import type { Emit, Rule } from "./rewrite.js";

/** A scattered value: its rows, their index, and the packed dimension. */
interface Scattered {
  readonly index: Node;
  readonly rows: Node;
  readonly dim: number;
}

function scatteredOf(node: Node | undefined): Scattered | null {
  if (!node || !isScatter(node)) return null;
  const [base, index, rows] = node.inputs;
  return isZeros(base) ? { index, rows, dim: node.attrs.dim } : null;
}

const isZeros = (node: Node | undefined): boolean =>
  node !== undefined && isOp(node, "constant") && node.attrs.value === 0;

/**
 * Rewrites an operator that is linear in a scattered input to a scattered result; null if the result is not zero at the
 * other rows.
 */
function rewriteLinear(root: Node, emit: Emit): Node | null {
  const { shape } = typeOf(root);
  for (const [i, input] of root.inputs.entries()) {
    const scattered = ops[root.op].linear?.(i) ? scatteredOf(input) : null;
    if (!scattered) continue;
    const axis = packedAxis(typeOf(input).shape[scattered.dim]!);
    for (const [dim, size] of shape.entries()) {
      if (packedAxis(size) !== axis) continue;
      const along = rowInputs(root, dim);
      if (along?.[i] !== scattered.dim || !othersAreZero(root, scattered)) continue;
      const count = typeOf(scattered.index).shape[0]!;
      const inputs = root.inputs.map((other, j) =>
        j === i ? scattered.rows : routeRows(other, along[j]!, scattered.index, count, emit),
      );
      const rows = emit(root.op, inputs, attrsWith(root, dim, count));
      return emit("put", [emit("constant", [], { value: 0, ...typeOf(root) }), scattered.index, rows], { dim });
    }
  }
  return null;
}

/** Whether every other operand of a `where` or `concat` is zero or scattered to the same rows. */
function othersAreZero(root: Node, { index, dim }: Scattered): boolean {
  if (!isOp(root, "where") && !isOp(root, "concat")) return true;
  const values = isOp(root, "where") ? root.inputs.slice(1) : root.inputs;
  return values.every((value) => {
    const scattered = scatteredOf(value);
    return isZeros(value) || (scattered !== null && scattered.index === index && scattered.dim === dim);
  });
}

/** The route's rows of an input; the whole input if its rows do not correspond to the result's rows (`dim` null). */
function routeRows(input: Node, dim: number | null, index: Node, count: Size, emit: Emit): Node {
  if (dim === null) return input;
  if (isOp(input, "constant")) return emit("constant", [], attrsWith(input, dim, count));
  const scattered = scatteredOf(input);
  return scattered && scattered.index === index && scattered.dim === dim
    ? scattered.rows
    : emit("take", [input, index], { dim });
}

/**
 * The rules, in the order in which they are tried. They drop additions of zeros and products with zeros: −0 may become
 * 0, and 0 times infinity becomes 0.
 */
export const scatteredRules: readonly Rule[] = [
  {
    name: "linear-of-scattered",
    at: (Object.keys(ops) as OpName[]).filter((op) => ops[op].linear),
    rewrite: rewriteLinear,
  },
  {
    name: "take-of-scattered",
    at: ["take"],
    rewrite(root) {
      const scattered = scatteredOf(root.inputs[0]);
      return isOp(root, "take") && scattered && scattered.index === root.inputs[1] && scattered.dim === root.attrs.dim
        ? scattered.rows
        : null;
    },
  },
  {
    name: "put-of-scattered",
    at: ["put"],
    rewrite(root, emit) {
      if (!isOp(root, "put")) return null;
      const [x, index, y] = root.inputs;
      const { dim } = root.attrs;
      // x is scattered to the same rows: add to its rows.
      const scatteredX = scatteredOf(x);
      if (scatteredX && scatteredX.index === index && scatteredX.dim === dim) {
        const zeros = emit("constant", [], { value: 0, ...typeOf(x) });
        return emit("put", [zeros, index, emit("add", [scatteredX.rows, y], {})], { dim });
      }
      // y is itself scattered: compose the two indices.
      const scatteredY = scatteredOf(y);
      return scatteredY?.dim === dim
        ? emit("put", [x, emit("take", [index, scatteredY.index], { dim: 0 }), scatteredY.rows], { dim })
        : null;
    },
  },
  {
    name: "sub-of-scattered",
    at: ["sub"],
    rewrite(root, emit) {
      const [x, other] = root.inputs;
      const scattered = scatteredOf(other);
      const sameShapes = [x, other].every((n) => equalShapes(typeOf(n).shape, typeOf(root).shape));
      return scattered && sameShapes
        ? emit("put", [x, scattered.index, emit("neg", [scattered.rows], {})], { dim: scattered.dim })
        : null;
    },
  },
  {
    name: "sum-of-scattered",
    at: ["sum"],
    rewrite(root, emit) {
      const scattered = scatteredOf(root.inputs[0]);
      return isOp(root, "sum") && scattered && root.attrs.axes.includes(scattered.dim)
        ? emit("sum", [scattered.rows], root.attrs)
        : null;
    },
  },
  {
    name: "contract-of-scattered",
    at: ["contract"],
    rewrite(root, emit) {
      const scattered = root.inputs.map(scatteredOf).find((s) => s?.dim === 0);
      if (!scattered) return null;
      const count = typeOf(scattered.index).shape[0]!;
      return emit(
        "contract",
        mapInputs(root, (input) => routeRows(input, 0, scattered.index, count, emit)),
        {},
      );
    },
  },
  {
    name: "gather-grad-of-scattered",
    at: ["gather_grad"],
    rewrite(root, emit) {
      const [indices, dy] = root.inputs;
      const scattered = scatteredOf(dy);
      if (!isOp(root, "gather_grad") || !scattered || scattered.dim >= typeOf(indices).shape.length) return null;
      return emit(
        "gather_grad",
        [emit("take", [indices, scattered.index], { dim: scattered.dim }), scattered.rows],
        root.attrs,
      );
    },
  },
];
