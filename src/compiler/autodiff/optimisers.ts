// The update of a weight by each optimiser, as nodes of a training step.
import { LARGEST } from "../../ground/base/dtype.js";
import type { Emit } from "../ir/build.js";
import { typeOf, type Node, type State } from "../ir/graph.js";
import { algebra, type Algebra } from "../ops/algebra.js";
import type { DeclaredWeight } from "./gradients.js";
import type { WeightRole } from "./roles.js";

interface AdamW {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
}

export type Optimizer =
  /** AdamW (Loshchilov and Hutter 2019), as in PyTorch: decoupled weight decay, bias correction. */
  | ({ readonly kind: "adamw" } & AdamW)
  /** SGD, as in PyTorch: momentum without dampening, weight decay added to the gradient. */
  | { readonly kind: "sgd"; readonly momentum: number; readonly nesterov: boolean }
  /**
   * Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) with Nesterov momentum for the matrices that
   * `isOrthogonalized` selects, AdamW for all other weights.
   */
  | ({ readonly kind: "muon"; readonly momentum: number } & AdamW)
  /** Lion (Chen et al. 2023, arXiv 2302.06675, algorithm 2). */
  | { readonly kind: "lion"; readonly beta1: number; readonly beta2: number }
  /** Adafactor (Shazeer and Stern 2018, arXiv 1804.04235), as `torch.optim.Adafactor` with its defaults. */
  | { readonly kind: "adafactor" };

/**
 * A state of an optimiser: `m` the mean gradient or momentum, `v` the mean square; `r` and `c` the mean squares of rows
 * and columns.
 */
type Moment = "m" | "v" | "r" | "c";

export const momentState = (kind: Moment, path: string): string => `optimizer.${kind}.${path}`;

/**
 * The two numbers that an optimiser derives from the step t, counted from 1, besides the learning rate. AdamW: 1 −
 * beta1^t and 1 − beta2^t; Adafactor: t^−0.8 and 1 / √t.
 */
export function correctionsOf(optimizer: Optimizer, step: number): readonly [number, number] {
  switch (optimizer.kind) {
    case "adamw":
    case "muon":
      return [1 - optimizer.beta1 ** step, 1 - optimizer.beta2 ** step];
    case "adafactor":
      return [step ** -0.8, 1 / Math.sqrt(step)];
    case "sgd":
    case "lion":
      return [1, 1];
    default:
      return optimizer satisfies never;
  }
}

/**
 * Whether Muon updates a weight: a matrix, or a stack of matrices of experts, that is no table, head, router or
 * predictor. A matrix of one row or column is a vector.
 */
export const isOrthogonalized = (
  { path, shape }: Pick<DeclaredWeight, "path" | "shape">,
  roles: ReadonlyMap<string, WeightRole>,
): boolean =>
  (shape.length === 2 || shape.length === 3) && shape.slice(-2).every((size) => size > 1) && !roles.has(path);

/** What a weight is updated from. All but the weight and its gradient are f32[1], or f32[2] for the corrections. */
export interface Update {
  readonly declared: DeclaredWeight;
  readonly node: Node<"state">;
  readonly gradient: Node;
  readonly rate: Node;
  readonly decay: Node;
  readonly corrections: Node;
  /** What the gradient is multiplied by; NaN: nothing changes. */
  readonly factor: Node;
  /** Whether Muon orthogonalizes the update. */
  readonly orthogonalized: boolean;
}

type Updated = readonly [weight: State, ...moments: State[]];

/** The next states of one weight: its own, then its moments. */
export function updated(emit: Emit, update: Update, optimizer: Optimizer): Updated {
  switch (optimizer.kind) {
    case "adamw":
      return adamw(emit, update, optimizer);
    case "sgd":
      return sgd(emit, update, optimizer);
    case "muon":
      return update.orthogonalized ? muon(emit, update, optimizer) : adamw(emit, update, optimizer);
    case "lion":
      return lion(emit, update, optimizer);
    case "adafactor":
      return adafactor(emit, update);
    default:
      return optimizer satisfies never;
  }
}

function adamw(emit: Emit, update: Update, { beta1, beta2, eps }: AdamW): Updated {
  const { declared, node, gradient, rate, decay, corrections, factor } = update;
  const settings = emit.node("concat", [rate, decay, corrections, factor], { axis: 0 });
  const moments = [momentOf(emit, "m", declared), momentOf(emit, "v", declared)] as const;
  const step = emit.node("adamw", [node, ...moments, gradient, settings], { beta1, beta2, eps });
  return [
    weightState(update, emit.pick(step, 0)),
    ...moments.map((moment, i) => stateOf(moment, emit.pick(step, i + 1))),
  ];
}

function sgd(emit: Emit, update: Update, { momentum, nesterov }: Extract<Optimizer, { kind: "sgd" }>): Updated {
  const { declared, node, gradient, rate, decay, factor } = update;
  const settings = emit.node("concat", [rate, decay, factor], { axis: 0 });
  const moment = momentOf(emit, "m", declared);
  const step = emit.node("sgd", [node, moment, gradient, settings], { momentum, nesterov });
  return [weightState(update, emit.pick(step, 0)), stateOf(moment, emit.pick(step, 1))];
}

/** The coefficients of Newton-Schulz, and the number of its steps. */
const NEWTON_SCHULZ = { a: 3.4445, b: -4.775, c: 2.0315, steps: 5, eps: 1e-7 };

/**
 * The momentum m ← momentum · m + (1 − momentum) · g; the update is orthogonalized (1 − momentum) · g + momentum · m
 * times √max(1, rows / columns), in f32. Weight decay is decoupled.
 */
function muon(emit: Emit, update: Update, { momentum }: Extract<Optimizer, { kind: "muon" }>): Updated {
  const { m, g, rate, decay, kept } = scalars(emit, update);
  const { declared, node } = update;
  const moment = momentOf(emit, "m", declared);
  const towards = (a: Node, b: Node, share: number): Node => m.add(m.mul(a, 1 - share), m.mul(b, share));
  const next = towards(moment, g, 1 - momentum);
  const [rows, columns] = declared.shape.slice(-2) as [number, number];
  const direction = m.mul(
    orthogonalized(emit, m, towards(g, next, momentum), declared.shape),
    Math.sqrt(Math.max(1, rows / columns)),
  );
  return [
    weightState(update, kept(m.sub(m.mul(node, m.sub(1, m.mul(rate, decay))), m.mul(rate, direction)), node)),
    stateOf(moment, kept(next, moment)),
  ];
}

/** Each matrix of x with its singular values moved to about 1, by a polynomial of degree 5 applied five times. */
function orthogonalized(emit: Emit, m: Algebra, x: Node, shape: readonly number[]): Node {
  const { a, b, c, steps, eps } = NEWTON_SCHULZ;
  const [rows, columns] = shape.slice(-2) as [number, number];
  const order = [...shape.keys()];
  const flipped = [...order.slice(0, -2), ...order.slice(-2).reverse()];
  const turned = (of: Node): Node => (rows > columns ? emit.node("permute", [of], { order: flipped }) : of);
  const squares = emit.node("sum", [m.powi(x, 2)], { axes: order.slice(-2), keep: true });
  let wide = turned(m.div(x, m.add(m.sqrt(squares), eps)));
  for (let i = 0; i < steps; i++) {
    const gram = emit.node("matmul", [wide, wide], { transposed: true });
    const both = m.add(m.mul(gram, b), m.mul(emit.node("matmul", [gram, gram], { transposed: false }), c));
    wide = m.add(m.mul(wide, a), emit.node("matmul", [both, wide], { transposed: false }));
  }
  return turned(wide);
}

function lion(emit: Emit, update: Update, { beta1, beta2 }: Extract<Optimizer, { kind: "lion" }>): Updated {
  const { m, g, rate, decay, kept } = scalars(emit, update);
  const { declared, node } = update;
  const moment = momentOf(emit, "m", declared);
  const mixed = m.add(m.mul(moment, beta1), m.mul(g, 1 - beta1));
  const sign = m.where(m.gt(mixed, 0), 1, m.where(m.lt(mixed, 0), -1, 0));
  const next = m.add(m.mul(moment, beta2), m.mul(g, 1 - beta2));
  return [
    weightState(update, kept(m.sub(node, m.mul(rate, m.add(sign, m.mul(node, decay)))), node)),
    stateOf(moment, kept(next, moment)),
  ];
}

/** The smallest numbers that Adafactor divides by: of mean squares of rows, and of the size of a weight. */
const ADAFACTOR = { eps1: 2 ** -23, eps2: 1e-3 };

function adafactor(emit: Emit, update: Update): Updated {
  const { m, g, rate, decay, kept, correction } = scalars(emit, update);
  const { declared, node } = update;
  const { shape } = declared;
  const { eps1, eps2 } = ADAFACTOR;
  const axes = [...shape.keys()];
  const mean = (x: Node, over: readonly number[]): Node => {
    const count = over.reduce((n, axis) => n * Number(typeOf(x).shape[axis]), 1);
    return m.mul(emit.node("sum", [x], { axes: over, keep: true }), 1 / count);
  };
  /** √mean of squares, f32[]. */
  const size = (x: Node): Node =>
    m.sqrt(emit.node("reshape", [axes.length === 0 ? m.powi(x, 2) : mean(m.powi(x, 2), axes)], { shape: [] }));
  const squares = m.powi(g, 2);
  const share = correction(0);
  const averaged = (moment: Node, value: Node): Node => m.add(moment, m.mul(m.sub(value, moment), share));
  const states: State[] = [];
  let variance: Node;
  if (shape.length > 1) {
    const [row, column] = axes.slice(-2) as [number, number];
    const without = (axis: number): readonly number[] => shape.map((n, i) => (i === axis ? 1 : n));
    const [r, c] = [
      momentOf(emit, "r", { ...declared, shape: without(column) }),
      momentOf(emit, "c", { ...declared, shape: without(row) }),
    ];
    const [rows, columns] = [averaged(r, mean(squares, [column])), averaged(c, mean(squares, [row]))];
    variance = m.div(m.mul(rows, columns), m.max(mean(rows, [row]), eps1));
    states.push(stateOf(r, kept(rows, r)), stateOf(c, kept(columns, c)));
  } else {
    const v = momentOf(emit, "v", declared);
    variance = averaged(v, squares);
    states.push(stateOf(v, kept(variance, v)));
  }
  const direction = m.div(g, m.sqrt(m.max(variance, eps1 ** 2)));
  const step = m.mul(m.max(size(node), eps2), m.min(rate, correction(1)));
  const moved = m.mul(direction, m.div(step, m.max(size(direction), 1)));
  return [weightState(update, kept(m.sub(m.mul(node, m.sub(1, m.mul(rate, decay))), moved), node)), ...states];
}

/** An update's settings as f32[], its gradient times the factor, and the choice to change nothing. */
function scalars(emit: Emit, update: Update) {
  const { node, gradient } = update;
  const m = algebra(emit.node, node);
  const scalar = (x: Node): Node => emit.node("reshape", [x], { shape: [] });
  const factor = scalar(update.factor);
  const fine = m.le(m.abs(factor), LARGEST.f32);
  return {
    m,
    g: m.mul(gradient, factor),
    rate: scalar(update.rate),
    decay: scalar(update.decay),
    correction: (i: 0 | 1): Node =>
      scalar(emit.node("slice", [update.corrections], { axis: 0, start: i, stop: i + 1 })),
    kept: (next: Node, before: Node): Node => m.where(fine, next, before),
  };
}

const momentOf = (emit: Emit, kind: Moment, { path, shape }: Pick<DeclaredWeight, "path" | "shape">): Node<"state"> =>
  emit.node("state", [], { name: momentState(kind, path), dtype: "f32", shape });

const stateOf = (before: Node<"state">, next: Node): State => ({
  name: before.attrs.name,
  type: typeOf(before),
  init: { kind: "zeros" },
  next,
});

const weightState = ({ declared: { path }, node }: Update, next: Node): State => ({
  name: node.attrs.name,
  type: typeOf(node),
  init: { kind: "weight", path },
  next,
});
