// The variants of examples/variants, and sizes by which tests make them small.
import { readdirSync, readFileSync } from "node:fs";

const FOLDER = new URL("../../examples/variants/", import.meta.url);
/** The names of all variants, without .mod. */
export const NAMES = readdirSync(FOLDER).map((file) => file.replace(/\.mod$/, ""));
/** Some of them again, with a setting. */
export const VARIED = ["hybrid with mamba2", "packed with t5"];
/** Their attention lies on routes alone; tests of steps with caches compare the keys of all tokens too. */
export const WITHOUT_STEPS: ReadonlySet<string> = new Set(["chunks"]);
export const textOf = (name: string): string => readFileSync(new URL(`${name.split(" ")[0]!}.mod`, FOLDER), "utf8");

/** Encoders, and routes over an image: they look at all tokens. */
export const WHOLE: ReadonlySet<string> = new Set(["a-mod", "colt5", "p-mod-multimodal"]);
/** Those that choose no tokens at all in phase infer. */
export const UNROUTED: ReadonlySet<string> = new Set(["layer-skip", "depth-keys"]);
export const CAUSAL = [...NAMES, ...VARIED].filter((name) => !WHOLE.has(name));

/** Two layers, with routing in one or in both. */
const SMALL = { dim: "32", heads: "2", depth: "2" };
const SET: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "a-mod": { ...SMALL, classes: "7" },
  "flexi-depth": { ...SMALL, vocab: "19", hidden: "48", depth: "3" },
  "d-llm": { ...SMALL, vocab: "19", hidden: "48", depth: "3" },
  colt5: { ...SMALL, heads: "4", vocab: "19", hidden: "48", depth: "1" },
  "mor-token-choice": { dim: "32", heads: "2", vocab: "19", hidden: "48", layers: "1" },
  modification: { ...SMALL, vocab: "19" },
  threshold: { ...SMALL, vocab: "19" },
  "layer-skip": { ...SMALL, vocab: "19" },
  "p-mod-multimodal": SMALL,
  hybrid: { ...SMALL, vocab: "19", hidden: "48", depth: "4" },
  "hybrid with mamba2": { ...SMALL, vocab: "19", hidden: "48", state_dim: "8", mixer: '"mamba2"' },
  "packed with t5": { ...SMALL, vocab: "19", hidden: "48", separator: "2", kind: '"t5"', buckets: "6", far: "20" },
  packed: { ...SMALL, vocab: "19", hidden: "48", separator: "2" },
  gap: { ...SMALL, vocab: "19" },
  "whole-text": { ...SMALL, vocab: "19", hidden: "48", depth: "3", window: "4" },
  chunks: { ...SMALL, vocab: "19", hidden: "48", state_dim: "8" },
};
/** Sizes that tests can afford. */
export const setOf = (name: string): Readonly<Record<string, string>> =>
  SET[name] ?? { ...SMALL, vocab: "19", hidden: "48" };
