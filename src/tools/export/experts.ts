// Experts that are called all at once: blocks of a list that differ in their weights only are one module, whose weights
// have the expert as a first dimension.
import type { Value } from "../../language/check/model.js";
import { isOfExperts, isWithin, pathOfWeight } from "./outline.js";
import { refuse } from "./refused.js";
import type { Variant } from "./variants.js";

/** Experts as one module. */
export interface Stack {
  /** The first of them, which stands for all in the model. */
  readonly first: string;
  /** In the order of the first dimension of their weights. */
  readonly members: readonly string[];
  /** Where the module has them. */
  readonly place: string;
}

const within = (path: string, instance: string): boolean => path === instance || isWithin(path, instance);

export class Stacks {
  readonly #byFirst = new Map<string, Stack>();
  /** Blocks that are in a stack, or that nothing calls: the module has none of their own. */
  readonly #dropped = new Set<string>();
  /** Where blocks stand that are beside a stack in its list. */
  readonly #moved = new Map<string, string>();

  constructor(variants: readonly Variant[]) {
    for (const variant of variants) for (const value of expertWeights(variant)) this.#add(variant, value);
    for (const { members, first } of this.#byFirst.values())
      for (const member of members) if (member !== first) this.#dropped.add(member);
    const called = new Set(variants.flatMap(({ bodies }) => [...bodies.values()].map(({ instance }) => instance)));
    const { mixtures, weights } = variants[0]!.model;
    for (const { experts } of mixtures) {
      if (!experts.some(({ path }) => this.#byFirst.has(path))) continue;
      for (const { path } of experts) {
        if (this.#byFirst.has(path) || this.#dropped.has(path)) continue;
        if (called.has(path)) this.#moved.set(path, path.replace(/\.(\d+)$/, "_$1"));
        else if (weights.some((weight) => isWithin(weight.path, path))) refuse("an expert that nothing calls", path);
        else this.#dropped.add(path);
      }
    }
  }

  #add({ model }: Variant, value: Value): void {
    const paths = value.inputs.map((weight) => pathOfWeight(weight)!);
    const lists = model.mixtures.map(({ experts }) => experts.map(({ path }) => path));
    const list = lists.find((experts) => experts.some((path) => within(paths[0]!, path)));
    const first = list?.find((path) => within(paths[0]!, path));
    if (!list || first === undefined) return refuse("a weight that experts share", value.path);
    const inside = paths[0]!.slice(first.length);
    const members = paths.map((path) => path.slice(0, path.length - inside.length));
    if (paths.some((path, i) => !path.endsWith(inside) || !list.includes(members[i]!)))
      refuse("a weight that some experts share", value.path);
    const known = this.#byFirst.get(first);
    if (known && known.members.join() !== members.join()) refuse("experts of several lists", value.path);
    if (known) return;
    const holder = first.replace(/\.\d+$/, "");
    const isTaken = [...this.#byFirst.values()].some(({ place }) => place === holder);
    this.#byFirst.set(first, { first, members, place: isTaken ? first.replace(/\.(\d+)$/, "_$1") : holder });
  }

  /** The stack that a block or weight is within. */
  of(path: string): Stack | null {
    for (const stack of this.#byFirst.values()) if (stack.members.some((member) => within(path, member))) return stack;
    return null;
  }

  /** Whether the module has no block for this one. */
  isDropped(instance: string): boolean {
    return this.#dropped.has(instance);
  }

  /** Where the module has a block or weight. */
  placeOf(path: string): string {
    for (const { members, place } of this.#byFirst.values()) {
      const member = members.find((own) => within(path, own));
      if (member !== undefined) return place + path.slice(member.length);
    }
    for (const [instance, place] of this.#moved) if (within(path, instance)) return place + path.slice(instance.length);
    return path;
  }

  /** The same weight of all experts of its stack; of others it alone. */
  allOf(path: string): readonly string[] {
    const stack = this.of(path);
    if (!stack) return [path];
    const inside = path.slice(stack.members.find((member) => within(path, member))!.length);
    return stack.members.map((member) => member + inside);
  }
}

function expertWeights({ bodies }: Variant): readonly Value[] {
  const found = new Set<Value>();
  for (const { items } of bodies.values())
    for (const { value } of items)
      for (let input of value?.inputs ?? []) {
        if (!isOfExperts(input)) continue;
        while (input.op !== "expert_weight") input = input.inputs[0]!;
        found.add(input);
      }
  return [...found];
}
