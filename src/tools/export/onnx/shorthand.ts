// Nodes that emitters write often, by what they do.
import { END, ELEMENTS, type Element, type GraphBuilder, type Name } from "./graph.js";

/** The lowest f32: below every score but NaN, above which -inf is lifted. */
export const LOWEST = -3.4028234663852886e38;

export class Shorthand {
  constructor(readonly graph: GraphBuilder) {}

  add = (a: Name, b: Name): Name => this.graph.node("Add", [a, b]);
  sub = (a: Name, b: Name): Name => this.graph.node("Sub", [a, b]);
  mul = (a: Name, b: Name): Name => this.graph.node("Mul", [a, b]);
  div = (a: Name, b: Name): Name => this.graph.node("Div", [a, b]);
  min = (a: Name, b: Name): Name => this.graph.node("Min", [a, b]);
  max = (a: Name, b: Name): Name => this.graph.node("Max", [a, b]);
  and = (a: Name, b: Name): Name => this.graph.node("And", [a, b]);
  not = (a: Name): Name => this.graph.node("Not", [a]);
  less = (a: Name, b: Name): Name => this.graph.node("Less", [a, b]);
  equal = (a: Name, b: Name): Name => this.graph.node("Equal", [a, b]);
  where = (condition: Name, a: Name, b: Name): Name => this.graph.node("Where", [condition, a, b]);
  matmul = (a: Name, b: Name): Name => this.graph.node("MatMul", [a, b]);

  cast(x: Name, to: Element): Name {
    return this.graph.node("Cast", [x], { to: ELEMENTS[to] });
  }

  unsqueeze(x: Name, ...dims: readonly number[]): Name {
    return this.graph.node("Unsqueeze", [x, this.graph.ints(...dims)]);
  }

  squeeze(x: Name, ...dims: readonly number[]): Name {
    return this.graph.node("Squeeze", [x, this.graph.ints(...dims)]);
  }

  transpose(x: Name, perm: readonly number[]): Name {
    return perm.every((d, i) => d === i) ? x : this.graph.node("Transpose", [x], { perm });
  }

  /** To i64[n] dimensions: 0 for one as it is, -1 for what is left. */
  reshape(x: Name, ...dims: readonly number[]): Name {
    return this.graph.node("Reshape", [x, this.graph.ints(...dims)]);
  }

  /** To a shape i64[n], in which 0 is a dimension without elements. */
  reshapeTo(x: Name, dims: Name): Name {
    return this.graph.node("Reshape", [x, dims], { allowzero: 1 });
  }

  concat(parts: readonly Name[], axis: number): Name {
    return parts.length === 1 ? parts[0]! : this.graph.node("Concat", parts, { axis });
  }

  /** start … stop - 1 along a dimension; both i64[1]. */
  slice(x: Name, start: Name, stop: Name | null, dim: number): Name {
    return this.graph.node("Slice", [x, start, stop ?? this.graph.ints(END), this.graph.ints(dim)]);
  }

  reduce(fn: "Sum" | "Mean" | "Max" | "Min", x: Name, dims: readonly number[], keep: boolean): Name {
    return this.graph.node(`Reduce${fn}`, [x, this.graph.ints(...dims)], { keepdims: Number(keep) });
  }

  /** i64[1]: how long a dimension is. */
  dim(x: Name, dim: number): Name {
    return this.graph.node("Shape", [x], { start: dim, end: dim + 1 });
  }

  /** i64[n]: 0 … n - 1, for n in i64[1]. */
  range(n: Name): Name {
    return this.graph.node("Range", [this.graph.int(0), this.squeeze(n, 0), this.graph.int(1)]);
  }

  /** Rows x[b, index[b, j], …] of i64[B, K]: [B, K, …]. */
  rows(x: Name, index: Name): Name {
    return this.graph.node("GatherND", [x, this.unsqueeze(index, 2)], { batch_dims: 1 });
  }

  /** The places [B, K, 2] of those rows, for i64[B, K]. */
  places(index: Name): Name {
    const { graph } = this;
    const sequence = this.unsqueeze(this.range(this.dim(index, 0)), 1); // [B, 1]
    const each = graph.node("Expand", [sequence, graph.node("Shape", [index])]);
    return this.concat([this.unsqueeze(each, 2), this.unsqueeze(index, 2)], 2);
  }

  /** x with y[B, K, …] added to the rows of an index, which are distinct. */
  addRows(x: Name, index: Name, y: Name): Name {
    return this.graph.node("ScatterND", [x, this.places(index), y], { reduction: "add" });
  }

  /** A truth value [B, K] beside values of that rank, with tokens along `dim`. */
  beside(truth: Name, dim: number, rank: number): Name {
    const ones = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== 0 && i !== dim);
    return ones.length === 0 ? truth : this.unsqueeze(truth, ...ones);
  }

  /** The scores by which tokens or entries are ranked: NaN below -inf, which is lifted to the lowest number. */
  ranked(score: Name): Name {
    const { graph } = this;
    const finite = this.max(score, graph.float(LOWEST));
    return this.where(graph.node("IsNaN", [score]), graph.float(-Infinity), finite);
  }
}
