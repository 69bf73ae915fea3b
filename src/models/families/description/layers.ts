// Fields of configurations about single layers: their windows.
import type { Fields } from "./fields.js";

/** One window for all layers; `layer_types` is redundant in these families and must agree. */
export function uniform(config: Fields, depth: number, window: number): readonly number[] {
  const [one] = (config.texts("layer_types") ?? []).filter(
    (type) => type !== (window === 0 ? "full_attention" : "sliding_attention"),
  );
  if (one !== undefined) config.refuse("layer_types", "all layers of this family are the same");
  return Array<number>(depth).fill(window);
}

/** Layers from `max_window_layers` on have a window. If `use_sliding_window` is not true, no layer has one. */
export function qwenWindows(config: Fields, depth: number): readonly number[] {
  const used = config.flag("use_sliding_window") ?? false;
  const window = used ? (config.has("sliding_window") ? config.whole("sliding_window") : 4096) : null;
  const first = config.whole("max_window_layers", 0) ?? 28;
  return (
    layerWindows(config, depth, window) ?? Array.from({ length: depth }, (_, i) => (i >= first ? (window ?? 0) : 0))
  );
}

/** Windows according to `layer_types`; null without it. */
export function layerWindows(config: Fields, depth: number, window: number | null): readonly number[] | null {
  return (
    layerTypes(config, depth, KINDS)?.map((type) => {
      if (type === "full_attention") return 0;
      return window ?? config.refuse("layer_types", "a layer with a window needs sliding_window");
    }) ?? null
  );
}

/** Lengths of chunks according to `layer_types`, or without it in the layers for which this is true. */
export function layerChunks(config: Fields, isChunked: readonly boolean[], length: number | null): readonly number[] {
  const types = layerTypes(config, isChunked.length, ["full_attention", "chunked_attention"]);
  return (types?.map((type) => type === "chunked_attention") ?? isChunked).map((own) => {
    if (!own) return 0;
    return length ?? config.refuse("layer_types", "a layer with chunks needs attention_chunk_size");
  });
}

/** Windows according to `layer_types`, or without it those of all layers but every n-th. */
export const windowsBut = (config: Fields, depth: number, window: number | null, n: number): readonly number[] =>
  layerWindows(config, depth, window) ??
  Array.from({ length: depth }, (_, i) => ((i + 1) % n === 0 ? 0 : (window ?? 0)));

const KINDS = ["full_attention", "sliding_attention"] as const;

function layerTypes<Kind extends string>(
  config: Fields,
  depth: number,
  kinds: readonly Kind[],
): readonly Kind[] | null {
  const types = config.texts("layer_types");
  if (types === null) return null;
  if (types.length !== depth)
    config.refuse("layer_types", `it has ${types.length} entries, num_hidden_layers is ${depth}`);
  return types.map(
    (type) =>
      kinds.find((kind) => kind === type) ??
      config.refuse("layer_types", `modc knows ${kinds.join(" and ")}, not ${type}`),
  );
}

export function noBias(config: Fields, name: string): false {
  if (config.flag(name) === true) config.refuse(name, "this family has no such weights");
  return false;
}
