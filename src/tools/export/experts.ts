// Stacks experts for batched execution. Blocks of a list that differ only in weights become one module, whose weights
// have the expert as first dimension.
import type { Value } from "../../language/check/model/model.js";
import { isOfExperts, isWithin, pathOfWeight } from "./outline.js";
import { refuse } from "./refused.js";
import type { Variant } from "./variants.js";

/** Several experts as one module. */
export interface Stack {
  /** The path of the first expert, which represents the whole stack in the model. */
  readonly first: string;
  /** Expert paths in the order of the weights' first dimension. */
  readonly members: readonly string[];
  /** The path of the stacked module. */
  readonly place: string;
}

const within = (path: string, instance: string): boolean => path === instance || isWithin(path, instance);

export class Stacks {
  readonly #byFirst = new Map<string, Stack>();
  /** Blocks without a module: members of a stack except the first, and experts without weights that nothing calls. */
  readonly #dropped = new Set<string>();
  /** New paths of experts that share a list with a stack but are not part of the stack. */
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

  /** The stack that contains a block or weight. */
  of(path: string): Stack | null {
    for (const stack of this.#byFirst.values()) if (stack.members.some((member) => within(path, member))) return stack;
    return null;
  }

  /** Whether the exported module has no block for this instance. */
  isDropped(instance: string): boolean {
    return this.#dropped.has(instance);
  }

  /** The path of a block or weight in the exported module. */
  placeOf(path: string): string {
    for (const { members, place } of this.#byFirst.values()) {
      const member = members.find((own) => within(path, own));
      if (member !== undefined) return place + path.slice(member.length);
    }
    for (const [instance, place] of this.#moved) if (within(path, instance)) return place + path.slice(instance.length);
    return path;
  }

  /** Paths of the same weight in all experts of the stack. If the path is in no stack, the result is the path alone. */
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
