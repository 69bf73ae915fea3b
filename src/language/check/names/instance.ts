// Instances in values: resolving references, and assigning owners.
import type { Instance } from "./bindings.js";
import type { ConstValue, InstanceRef, ListValue } from "../model/context.js";

/** Lists whose instances all have an owner. */
const fullyOwned = new WeakSet<ListValue>();

/**
 * Makes `parent` the owner of every instance in a value without an owner; an instance with an owner is shared and keeps
 * it. Visits items in order, and each shared list once.
 */
export function assignOwner(root: ConstValue, parent: Instance, member: string): void {
  const todo: { readonly value: ConstValue; readonly segment: string }[] = [{ value: root, segment: member }];
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    const { value, segment } = next;
    if (value.kind === "list" && !fullyOwned.has(value)) {
      fullyOwned.add(value);
      for (let i = value.items.length - 1; i >= 0; i--)
        todo.push({ value: value.items[i]!, segment: `${segment}.${i}` });
    } else if (value.kind === "instance") {
      const instance = instanceOf(value.instance);
      if (instance.home !== null || instance === parent) continue;
      instance.home = { parent, segment };
      parent.owned.push(instance);
    }
  }
}

/** The instance of a reference. Cast: the checker only creates references that are instances. */
export const instanceOf = (ref: InstanceRef): Instance => ref as Instance;
