// Arithmetic on nodes, so that gradients read as their formulas.
import { typeOf, type Node } from "../ir/graph.js";
import type { EmitGrad } from "./define.js";

/** Arithmetic on nodes and numbers; numbers take the dtype of `like`. */
export function algebra(emit: EmitGrad, like: Node) {
  const number = (value: number): Node => emit("constant", [], { value, dtype: typeOf(like).dtype, shape: [] });
  const node = (value: Node | number): Node => (typeof value === "number" ? number(value) : value);
  const binary =
    (op: "add" | "sub" | "mul" | "div" | "pow" | "min" | "max" | "eq" | "lt" | "le" | "gt" | "ge" | "and") =>
    (a: Node | number, b: Node | number): Node =>
      emit(op, [node(a), node(b)], {});
  const unary =
    (op: "neg" | "exp" | "log" | "sqrt" | "sin" | "cos" | "tanh" | "sigmoid" | "softplus" | "abs" | "not") =>
    (x: Node): Node =>
      emit(op, [x], {});
  const multiply = binary("mul");
  return {
    number,
    add: binary("add"),
    sub: binary("sub"),
    div: binary("div"),
    pow: binary("pow"),
    min: binary("min"),
    max: binary("max"),
    eq: binary("eq"),
    lt: binary("lt"),
    le: binary("le"),
    gt: binary("gt"),
    ge: binary("ge"),
    and: binary("and"),
    neg: unary("neg"),
    exp: unary("exp"),
    log: unary("log"),
    sqrt: unary("sqrt"),
    sin: unary("sin"),
    cos: unary("cos"),
    tanh: unary("tanh"),
    sigmoid: unary("sigmoid"),
    softplus: unary("softplus"),
    abs: unary("abs"),
    not: unary("not"),
    mul: (first: Node | number, ...rest: readonly (Node | number)[]): Node =>
      rest.reduce((product: Node, factor) => multiply(product, factor), node(first)),
    powi: (x: Node, exponent: number) => emit("powi", [x], { exponent }),
    where: (condition: Node, a: Node | number, b: Node | number) => emit("where", [condition, node(a), node(b)], {}),
  };
}

export type Algebra = ReturnType<typeof algebra>;
