// `received` of scores that read pairs of tokens. With mᵢ the mass of query i, key j receives Σᵢ exp(sᵢⱼ − mᵢ): the
// exponential of the mass of key j over the queries, whose bias is the keys' bias less mᵢ.
import type { Span } from "../../diagnostics/span.js";
import type { Size } from "../../../ground/size/size.js";
import type { Emitter } from "../model/context.js";
import type { LogicalAttrs, PointwiseName, Value } from "../model/model.js";
import { axisName, typeOf } from "../model/types.js";
import type { PairArgs } from "./pairs.js";

/** q f32[B, (H,) T, d], k f32[B, (G,) S, d] → f32[B, (H,) S]. `pairs` has no weights. */
export function receivedOfPairs(
  emitter: Emitter,
  q: Value,
  k: Value,
  options: Pick<LogicalAttrs["mass"], "causal" | "window" | "scale">,
  { inputs, attrs }: PairArgs,
  span: Span,
): Value {
  const make = new Maker(emitter, span);
  const headed = q.type.shape.length === 4;
  const [keys, rows] = [headed ? make.repeated(k, q.type.shape[1]!) : k, q.type.shape.slice(0, -1)];
  const [queryCount, keyCount] = [rows.at(-1)!, k.type.shape.at(-2)!];
  const masses = emitter.emit("mass", [q, keys, ...inputs], { ...options, ...attrs }, typeOf("f32", rows), span);

  // Pairs of keys and queries: [B, (H,) S, T].
  const turned = inputs.map((x) => make.turned(x, headed));
  const given = attrs.bias ? turned.at(-1)! : null;
  const less = make.pointwise("neg", [make.reshaped(masses, [...rows.slice(0, -1), 1, queryCount])]);
  const bias = given ? make.pointwise("add", [given, less]) : less;
  const masks = [
    ...(attrs.mask ? [turned[0]!] : []),
    ...(options.causal ? [make.laterQueries(q, k, queryCount, keyCount, headed)] : []),
  ];
  const mask = masks.length === 0 ? [] : [masks.reduce((x, y) => make.pointwise("and", [x, y]))];
  const over = { ...options, causal: false, cap: attrs.cap, weight: false, mask: mask.length > 0, bias: true };
  const type = typeOf("f32", [...rows.slice(0, -1), keyCount]);
  const shares = emitter.emit("mass", [keys, q, ...mask, bias], over, type, span);
  return emitter.emit("stop_gradient", [make.pointwise("exp", [shares])], {}, type, span);
}

/** Emits values of pairs of tokens. */
class Maker {
  readonly #emitter: Emitter;
  readonly #span: Span;

  constructor(emitter: Emitter, span: Span) {
    this.#emitter = emitter;
    this.#span = span;
  }

  /** The shapes of the inputs broadcast, dimension by dimension. */
  pointwise(fn: PointwiseName, inputs: readonly Value[]): Value {
    const [first] = inputs;
    const shape = first!.type.shape.map((_, d) => inputs.map((x) => x.type.shape[d]!).find((size) => size !== 1) ?? 1);
    return this.#emitter.emit("pointwise", inputs, { fn }, typeOf(first!.type.dtype, shape), this.#span);
  }

  reshaped(x: Value, shape: readonly Size[]): Value {
    return this.#emitter.emit("reshape", [x], {}, typeOf(x.type.dtype, shape), this.#span);
  }

  /** [B, G, S, d] with each head as often as `heads` has it. */
  repeated(k: Value, heads: Size): Value {
    const [batch, groups, keys, width] = k.type.shape;
    if (groups === heads) return k;
    const apart = this.reshaped(k, [batch!, groups!, 1, keys!, width!]);
    const each = Number(heads) / Number(groups);
    const type = typeOf(k.type.dtype, [batch!, groups!, each, keys!, width!]);
    const copies = this.#emitter.emit("concat", new Array<Value>(each).fill(apart), { axis: 2 }, type, this.#span);
    return this.reshaped(copies, [batch!, heads, keys!, width!]);
  }

  /** [B, (H,) T, S] as [B, (H,) S, T], with heads if the queries have them. */
  turned(x: Value, headed: boolean): Value {
    const { shape, dtype } = x.type;
    const order = shape.length === 3 ? [0, 2, 1] : [0, 1, 3, 2];
    const type = typeOf(
      dtype,
      order.map((d) => shape[d]!),
    );
    const turned = this.#emitter.emit("permute", [x], { order }, type, this.#span);
    const [batch, ...rest] = type.shape;
    if (headed === (shape.length === 4)) return turned;
    return this.reshaped(turned, headed ? [batch!, 1, ...rest] : [batch!, ...rest.slice(1)]);
  }

  /** Whether a query is not before a key: bool[B, (1,) S, T]. */
  laterQueries(q: Value, k: Value, queries: Size, keys: Size, headed: boolean): Value {
    const heads: readonly Size[] = headed ? [1] : [];
    const [batch] = q.type.shape;
    const positions = (x: Value, size: Size, shape: readonly Size[]): Value => {
      const attrs = { axis: axisName(size)! };
      const found = this.#emitter.emit("position", [x], attrs, typeOf("u32", [batch!, size]), this.#span);
      return this.reshaped(found, [batch!, ...heads, ...shape]);
    };
    const [ofQueries, ofKeys] = [positions(q, queries, [1, queries]), positions(k, keys, [keys, 1])];
    const type = typeOf("bool", [batch!, ...heads, keys, queries]);
    return this.#emitter.emit("pointwise", [ofQueries, ofKeys], { fn: "ge" }, type, this.#span);
  }
}
