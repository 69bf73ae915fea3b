// The values of weights in function bodies: one operation for each weight, or one for all experts' weights in a call
// for all experts.
import type { Span } from "../../diagnostics/span.js";
import type { ConstValue } from "../model/context.js";
import type { WeightRecord } from "../names/bindings.js";
import type { CallNode } from "./call-tree.js";
import type { LogicalAttrs, LogicalOp, LogicalType, Value } from "../model/model.js";

type Emit = <K extends LogicalOp>(
  op: K,
  inputs: readonly Value[],
  attrs: LogicalAttrs[K],
  type: LogicalType,
  span: Span,
) => Value<K>;

/** For each weight of the first expert, the corresponding weights of all experts in order. */
type ExpertWeights = ReadonlyMap<WeightRecord, readonly WeightRecord[]>;

export class WeightValues {
  readonly #emit: Emit;
  readonly #values = new Map<WeightRecord, Value>();
  #experts: ExpertWeights | null = null;
  #ofExperts = new Map<WeightRecord, Value>();
  /** Calls of instances in a call for all experts, in order. */
  readonly #calls: CallNode[] = [];

  constructor(emit: Emit) {
    this.#emit = emit;
  }

  of(weight: WeightRecord): Value {
    const all = this.#experts?.get(weight);
    if (!all) return this.#valueOf(weight);
    let value = this.#ofExperts.get(weight);
    if (value === undefined) {
      const { decl, dtype, shape } = weight;
      const inputs = all.map((w) => this.#valueOf(w));
      value = this.#emit("expert_weight", inputs, {}, { dtype, shape }, decl.span);
      this.#ofExperts.set(weight, value);
    }
    return value;
  }

  /** Records a call of an instance. */
  entered(node: CallNode): void {
    if (this.#experts) this.#calls.push(node);
  }

  /** See `FunctionBody`. */
  callForAll(
    experts: ExpertWeights,
    call: () => ConstValue,
    accepts: (result: ConstValue) => boolean,
  ): ConstValue | null {
    this.#experts = experts;
    this.#ofExperts = new Map();
    const result = call();
    this.#experts = null;
    const calls = this.#calls.splice(0);
    if (result.kind === "error" || accepts(result)) return result;
    for (const node of calls.reverse()) node.forget();
    return null;
  }

  #valueOf(weight: WeightRecord): Value {
    let value = this.#values.get(weight);
    if (value === undefined) {
      const { owner, decl, dtype, shape } = weight;
      const path = owner.path === "" ? decl.name.text : `${owner.path}.${decl.name.text}`;
      value = this.#emit(decl.kind, [], { path }, { dtype, shape }, decl.span);
      this.#values.set(weight, value);
    }
    return value;
  }
}
