// The variants of examples/variants, and sizes by which tests make them small.
import { readdirSync, readFileSync } from "node:fs";

const FOLDER = new URL("../../examples/variants/", import.meta.url);
/** The names of all variants, without .mod. */
export const NAMES = readdirSync(FOLDER).map((file) => file.replace(/\.mod$/, ""));
export const textOf = (name: string): string => readFileSync(new URL(`${name}.mod`, FOLDER), "utf8");

/** Encoders, and routes over an image: they look at all tokens. */
export const WHOLE: ReadonlySet<string> = new Set(["a-mod", "colt5", "p-mod-multimodal"]);
export const CAUSAL = NAMES.filter((name) => !WHOLE.has(name));

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
};
/** Sizes that tests can afford. */
export const setOf = (name: string): Readonly<Record<string, string>> =>
  SET[name] ?? { ...SMALL, vocab: "19", hidden: "48" };
