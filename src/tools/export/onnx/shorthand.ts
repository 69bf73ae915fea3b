// Shorthands for frequent ONNX nodes.
import { END, ELEMENTS, type Element, type GraphBuilder, type Name } from "./graph.js";

/** The lowest f32. Scores of -inf are raised to this value, so that only NaN ranks lower. */
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

  /** Reshapes to i64[n] dimensions: 0 keeps a dimension, -1 infers it. */
  reshape(x: Name, ...dims: readonly number[]): Name {
    return this.graph.node("Reshape", [x, this.graph.ints(...dims)]);
  }

  /** Reshapes to a shape i64[n], in which 0 is an empty dimension. */
  reshapeTo(x: Name, dims: Name): Name {
    return this.graph.node("Reshape", [x, dims], { allowzero: 1 });
  }

  concat(parts: readonly Name[], axis: number): Name {
    return parts.length === 1 ? parts[0]! : this.graph.node("Concat", parts, { axis });
  }

  /** Elements start … stop - 1 along a dimension; start and stop are i64[1]. */
  slice(x: Name, start: Name, stop: Name | null, dim: number): Name {
    return this.graph.node("Slice", [x, start, stop ?? this.graph.ints(END), this.graph.ints(dim)]);
  }

  reduce(fn: "Sum" | "Mean" | "Max" | "Min", x: Name, dims: readonly number[], keep: boolean): Name {
    return this.graph.node(`Reduce${fn}`, [x, this.graph.ints(...dims)], { keepdims: Number(keep) });
  }

  /** i64[1]: the extent of a dimension. */
  dim(x: Name, dim: number): Name {
    return this.graph.node("Shape", [x], { start: dim, end: dim + 1 });
  }

  /** i64[n]: 0 … n - 1, for n in i64[1]. */
  range(n: Name): Name {
    return this.graph.node("Range", [this.graph.int(0), this.squeeze(n, 0), this.graph.int(1)]);
  }

  /** Gathers rows x[b, index[b, j], …] for index i64[B, K]: [B, K, …]. */
  rows(x: Name, index: Name): Name {
    return this.graph.node("GatherND", [x, this.unsqueeze(index, 2)], { batch_dims: 1 });
  }

  /** The coordinates [B, K, 2] of these rows, for i64[B, K]. */
  places(index: Name): Name {
    const { graph } = this;
    const sequence = this.unsqueeze(this.range(this.dim(index, 0)), 1); // [B, 1]
    const each = graph.node("Expand", [sequence, graph.node("Shape", [index])]);
    return this.concat([this.unsqueeze(each, 2), this.unsqueeze(index, 2)], 2);
  }

  /** Adds y[B, K, …] to the indexed rows of x, which must be distinct. */
  addRows(x: Name, index: Name, y: Name): Name {
    return this.graph.node("ScatterND", [x, this.places(index), y], { reduction: "add" });
  }

  /** Extends a boolean [B, K] to a rank, with tokens along `dim`. */
  unsqueezedTo(truth: Name, dim: number, rank: number): Name {
    const ones = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== 0 && i !== dim);
    return ones.length === 0 ? truth : this.unsqueeze(truth, ...ones);
  }

  /** The ranking scores of tokens or entries: NaN becomes -inf, and -inf is raised to the lowest number. */
  ranked(score: Name): Name {
    const { graph } = this;
    const finite = this.max(score, graph.float(LOWEST));
    return this.where(graph.node("IsNaN", [score]), graph.float(-Infinity), finite);
  }
}
