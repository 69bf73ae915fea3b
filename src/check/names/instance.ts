// Instances in values: which one a reference means, and the homes of those that have none yet.
import type { Instance } from "./bindings.js";
import type { ConstValue, InstanceRef, ListValue } from "../context.js";

/** Lists whose instances all have homes. */
const settled = new WeakSet<ListValue>();

/**
 * Gives every instance in a value that has no home yet this one; what has one is shared and keeps it. In order, and
 * each list once, however often it is shared.
 */
export function adopt(root: ConstValue, parent: Instance, member: string): void {
  const todo: { readonly value: ConstValue; readonly segment: string }[] = [{ value: root, segment: member }];
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    const { value, segment } = next;
    if (value.kind === "list" && !settled.has(value)) {
      settled.add(value);
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

/**
 * The instance behind a reference. Marked boundary: every reference the checker hands out is one of its own instances.
 */
export const instanceOf = (ref: InstanceRef): Instance => ref as Instance;
