// Smaller, byte-level sizes for examples that are too large for a page.

export const SMALL: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  llama: { vocab: "256", dim: "64", heads: "4", kv_heads: "2", hidden: "128", depth: "4", context: "256" },
  mor: {
    vocab: "256",
    dim: "64",
    heads: "4",
    kv_heads: "2",
    hidden: "128",
    layers: "2",
    recursions: "3",
    context: "256",
  },
  "p-mod": { dim: "64", heads: "4", hidden: "128", context: "256" },
  "smollm-mod": { vocab: "256", dim: "64", heads: "4", kv_heads: "2", hidden: "128", depth: "6", context: "256" },
};

/** Sizes with which an example with an objective trains on a text in a minute on any device. */
export const TINY: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  moby: { dim: "32", heads: "2", depth: "4" },
  llama: { vocab: "256", dim: "32", heads: "2", kv_heads: "1", hidden: "64", depth: "2", context: "256" },
  moe: { dim: "32", heads: "2", depth: "2", hidden: "48" },
  mode: { dim: "32", heads: "2", depth: "2", hidden: "64" },
  hybrid: { dim: "32", hidden: "64", depth: "4", state_dim: "8" },
  pictures: { dim: "32", depth: "2", size: "16" },
  translate: { dim: "32", heads: "2", depth: "2" },
};
