// Values that are zero but for the rows of a route, as gradients of chosen rows are: what is linear in them is computed
// for those rows only.
import { isOp, mapInputs, typeOf, type Node, isScatter } from "../ir/graph.js";
import { equalShapes, packedAxis } from "../ir/typing.js";
import type { OpName } from "../ir/vocabulary.js";
import { ops } from "../ops/index.js";
import { attrsWith } from "../ops/rows.js";
import { rowInputs } from "../ops/traits.js";
import type { Size } from "../size/size.js";
import type { Emit, Rule } from "./rewrite.js";

/** The rows of a value that is zero elsewhere. */
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

/** The result at the rows of a route and zero elsewhere, or null where it is not so. */
function linear(root: Node, emit: Emit): Node | null {
  const { shape } = typeOf(root);
  for (const [i, input] of root.inputs.entries()) {
    const found = ops[root.op].linear?.(i) ? scatteredOf(input) : null;
    if (!found) continue;
    const axis = packedAxis(typeOf(input).shape[found.dim]!);
    for (const [dim, size] of shape.entries()) {
      if (packedAxis(size) !== axis) continue;
      const along = rowInputs(root, dim);
      if (along?.[i] !== found.dim || !othersAreZero(root, found)) continue;
      const count = typeOf(found.index).shape[0]!;
      const inputs = root.inputs.map((other, j) =>
        j === i ? found.rows : rowsOf(other, along[j]!, found.index, count, emit),
      );
      const rows = emit(root.op, inputs, attrsWith(root, dim, count));
      return emit("put", [emit("constant", [], { value: 0, ...typeOf(root) }), found.index, rows], { dim });
    }
  }
  return null;
}

/** What a `where` or `concat` holds beside is zero, or lies at the same rows. */
function othersAreZero(root: Node, { index, dim }: Scattered): boolean {
  if (!isOp(root, "where") && !isOp(root, "concat")) return true;
  const values = isOp(root, "where") ? root.inputs.slice(1) : root.inputs;
  return values.every((value) => {
    const found = scatteredOf(value);
    return isZeros(value) || (found !== null && found.index === index && found.dim === dim);
  });
}

/** The rows of a route of an input whose rows go with those of the result. */
function rowsOf(input: Node, dim: number | null, index: Node, count: Size, emit: Emit): Node {
  if (dim === null) return input;
  if (isOp(input, "constant")) return emit("constant", [], attrsWith(input, dim, count));
  const found = scatteredOf(input);
  return found && found.index === index && found.dim === dim ? found.rows : emit("take", [input, index], { dim });
}

/**
 * In the order they are tried. They drop sums with zeros and products with them: a row's −0 may become 0, and an
 * infinite factor of a zero does no harm.
 */
export const scatteredRules: readonly Rule[] = [
  { name: "linear-of-scattered", at: (Object.keys(ops) as OpName[]).filter((op) => ops[op].linear), rewrite: linear },
  {
    name: "take-of-scattered",
    at: ["take"],
    rewrite(root) {
      const found = scatteredOf(root.inputs[0]);
      return isOp(root, "take") && found && found.index === root.inputs[1] && found.dim === root.attrs.dim
        ? found.rows
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
      // Onto rows that are there already.
      const under = scatteredOf(x);
      if (under && under.index === index && under.dim === dim) {
        const zeros = emit("constant", [], { value: 0, ...typeOf(x) });
        return emit("put", [zeros, index, emit("add", [under.rows, y], {})], { dim });
      }
      // Rows of which only some are not zero.
      const some = scatteredOf(y);
      return some?.dim === dim
        ? emit("put", [x, emit("take", [index, some.index], { dim: 0 }), some.rows], { dim })
        : null;
    },
  },
  {
    name: "sub-of-scattered",
    at: ["sub"],
    rewrite(root, emit) {
      const [x, other] = root.inputs;
      const found = scatteredOf(other);
      const whole = [x, other].every((n) => equalShapes(typeOf(n).shape, typeOf(root).shape));
      return found && whole ? emit("put", [x, found.index, emit("neg", [found.rows], {})], { dim: found.dim }) : null;
    },
  },
  {
    name: "sum-of-scattered",
    at: ["sum"],
    rewrite(root, emit) {
      const found = scatteredOf(root.inputs[0]);
      return isOp(root, "sum") && found && root.attrs.axes.includes(found.dim)
        ? emit("sum", [found.rows], root.attrs)
        : null;
    },
  },
  {
    name: "contract-of-scattered",
    at: ["contract"],
    rewrite(root, emit) {
      const found = root.inputs.map(scatteredOf).find((s) => s?.dim === 0);
      if (!found) return null;
      const count = typeOf(found.index).shape[0]!;
      return emit(
        "contract",
        mapInputs(root, (input) => rowsOf(input, 0, found.index, count, emit)),
        {},
      );
    },
  },
  {
    name: "gather-grad-of-scattered",
    at: ["gather_grad"],
    rewrite(root, emit) {
      const [indices, dy] = root.inputs;
      const found = scatteredOf(dy);
      if (!isOp(root, "gather_grad") || !found || found.dim >= typeOf(indices).shape.length) return null;
      return emit("gather_grad", [emit("take", [indices, found.index], { dim: found.dim }), found.rows], root.attrs);
    },
  },
];
