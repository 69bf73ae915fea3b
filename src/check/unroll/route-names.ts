// What routes are called wherever they are printed: by the call that chooses, and where that does not tell them apart,
// by the name they are bound to.
import { joinPath } from "../names/bindings.js";
import { numbered } from "./inspect.js";
import type { Model } from "../model.js";
import type { FoundRoute } from "./found.js";

/**
 * The call's path where it makes one route; else with the name, `layers.0.moe.expert#3`; in the model's own functions
 * the name alone.
 */
export function nameRoutes(found: readonly FoundRoute[]): Model["routes"] {
  const made = new Map<string, number>();
  for (const { node } of found) made.set(node.path, (made.get(node.path) ?? 0) + 1);
  const paths = numbered(
    found.map(({ node, name }) =>
      node.path !== "" && made.get(node.path) === 1 ? node.path : joinPath(node.path, name),
    ),
  );
  return found.map(({ axis }, i) => ({ axis, path: paths[i]! }));
}
