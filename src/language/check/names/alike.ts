// Matches the weights of blocks that differ only in their weights.
import { equal } from "../../../ground/numerics/rational.js";
import type { ConstValue } from "../context.js";
import type { Binding, Instance, WeightRecord } from "./bindings.js";
import { instanceOf } from "./instance.js";

export type AlikeWeights = ReadonlyMap<WeightRecord, readonly WeightRecord[]>;

/**
 * For each weight of the first instance, the corresponding weights of all instances, in order. Null if the instances
 * differ in anything else. Weights shared by all instances are left out.
 */
export function weightsOfAlike(instances: readonly Instance[]): AlikeWeights | null {
  const [first] = instances;
  if (first === undefined) return null;
  const weights = new Map<WeightRecord, WeightRecord[]>();
  for (const other of instances) {
    const pairs = new Pairs();
    if (!pairs.alike(first, other)) return null;
    for (const [weight, own] of pairs.weights) {
      const all = weights.get(weight);
      if (all) all.push(own);
      else weights.set(weight, [own]);
    }
  }
  // A weight shared by several instances does not belong to a single expert.
  if (instances.length > 1)
    for (const [weight, all] of weights) if (all.every((own) => own === weight)) weights.delete(weight);
  const complete = [...weights.values()].every((all) => all.length === instances.length);
  return complete ? weights : null;
}

class Pairs {
  readonly weights = new Map<WeightRecord, WeightRecord>();
  readonly #instances = new Map<Instance, Instance>();

  alike(a: Instance, b: Instance): boolean {
    const known = this.#instances.get(a);
    if (known) return known === b;
    this.#instances.set(a, b);
    return (
      a.decl === b.decl && a.file === b.file && this.#tables(a.params, b.params) && this.#tables(a.members, b.members)
    );
  }

  #tables(a: ReadonlyMap<string, Binding>, b: ReadonlyMap<string, Binding>): boolean {
    return a.size === b.size && [...a].every(([name, binding]) => this.#bindings(binding, b.get(name)));
  }

  #bindings(a: Binding, b: Binding | undefined): boolean {
    if (a.kind === "weight" && b?.kind === "weight") return this.#weightsAlike(a.weight, b.weight);
    if (a.kind === "value" && b?.kind === "value") return this.#values(a.value, b.value);
    return a.kind === b?.kind && (a.kind === "function" || a.kind === "block" || a.kind === "const");
  }

  #weightsAlike(a: WeightRecord, b: WeightRecord): boolean {
    this.weights.set(a, b);
    return a.decl === b.decl && a.dtype === b.dtype && a.shape.every((s, d) => s === b.shape[d]);
  }

  #values(a: ConstValue, b: ConstValue): boolean {
    if (a.kind === "instance" && b.kind === "instance")
      return this.alike(instanceOf(a.instance), instanceOf(b.instance));
    if (a.kind === "list" && b.kind === "list")
      return a.items.length === b.items.length && a.items.every((item, i) => this.#values(item, b.items[i]!));
    if (a.kind === "number" && b.kind === "number") return a.form === b.form && equal(a.value, b.value);
    if ((a.kind === "bool" && b.kind === "bool") || (a.kind === "string" && b.kind === "string"))
      return a.value === b.value;
    return a.kind === "none" && b.kind === "none";
  }
}
