// The names of routes in output: the path of the choosing call. If this path is not unique, the name to which the route
// is bound is appended.
import { joinPath } from "../names/bindings.js";
import { numbered } from "./inspect.js";
import type { Model } from "../model.js";
import type { FoundRoute } from "./found.js";

/**
 * The call's path if the call has one route; else with the bound name, `layers.0.moe.expert#3`; the bound name alone in
 * the model's own functions.
 */
export function nameRoutes(found: readonly FoundRoute[]): Model["routes"] {
  const routesPerCall = new Map<string, number>();
  for (const { node } of found) routesPerCall.set(node.path, (routesPerCall.get(node.path) ?? 0) + 1);
  const paths = numbered(
    found.map(({ node, name }) =>
      node.path !== "" && routesPerCall.get(node.path) === 1 ? node.path : joinPath(node.path, name),
    ),
  );
  return found.map(({ axis }, i) => ({ axis, path: paths[i]! }));
}
