// What only modc has: layers computed for each token, and operations and memory beside a dense model's.
import type { EngineModel, PromptRead, RequestUse } from "../../../generation/engine/index.js";
import type { ShownToken } from "./choice.js";

export interface RoutedToken {
  readonly id: number;
  readonly text: string;
  /** Layers that computed what the token was chosen from, the token before it; null where that is not known. */
  readonly layers: number | null;
  /** Whether the token before it took each route. */
  readonly routes: readonly boolean[] | null;
}

export interface RoutedPrompt {
  readonly tokens: number;
  readonly cached: number;
  /** Layers that computed each token of the prompt, and whether it took each route. */
  readonly layers: readonly number[] | null;
  readonly routes: readonly (readonly boolean[])[] | null;
}

export interface RoutedUse {
  /** All tokens first. */
  readonly routes: readonly { readonly path: string; readonly layers: number; readonly tokens: number }[];
  readonly operations: { readonly own: number; readonly dense: number };
  readonly cache_bytes: { readonly own: number; readonly dense: number };
}

const layersOf = ({ routes }: EngineModel, taken: readonly boolean[]): number =>
  taken.reduce((n, took, i) => n + (took ? routes[i]!.layers : 0), 0);

/** `read`: what the last token of the prompt took, from which the first token is chosen. */
export function routedToken(
  model: EngineModel,
  { event: { index, token, depth, routes }, text }: ShownToken,
  read: PromptRead | null,
): RoutedToken {
  const taken = routes ?? (index === 0 ? (read?.routes?.at(-1) ?? null) : null);
  return { id: token, text, layers: depth ?? (taken && layersOf(model, taken)), routes: taken };
}

export const routedPrompt = (model: EngineModel, { tokens, cached, routes }: PromptRead): RoutedPrompt => ({
  tokens,
  cached,
  layers: routes && routes.map((taken) => layersOf(model, taken)),
  routes,
});

export const routedUse = ({ routes }: EngineModel, use: RequestUse): RoutedUse => ({
  routes: routes.map(({ path, layers }, i) => ({ path, layers, tokens: use.routes[i] ?? 0 })),
  operations: use.flops,
  cache_bytes: use.cache,
});
