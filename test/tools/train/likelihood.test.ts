// Models have bits per byte and perplexity only if the objective's loss is one cross-entropy of tokens.
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { trainingModel } from "../../../src/tools/train/model.js";

const example = (name: string): string =>
  readFileSync(new URL(`../../../examples/${name}.mod`, import.meta.url), "utf8");
const isLikelihood = (text: string): boolean =>
  trainingModel({ source: { file: "m.mod", text }, read: () => null }, { set: {} }).model.run.likelihood;

/** A model of 256 tokens whose objective has these losses. */
const withLosses = (...losses: readonly string[]): string => `model Small() {
  weight table: f32[256, 256]
  objective(tokens: u32[B, T], targets: i32[B, T]) {
    ${losses.join("\n    ")}
  }
}`;

it.each([
  ["moby", true], // the losses of predictors do not count
  ["lora", true],
  ["objectives/masked", true],
  ["objectives/distill", false],
  ["objectives/grpo", false],
  ["objectives/dpo", false],
  ["objectives/classify", false],
  ["variants/early-exit", false],
])("%s: %s", (name, due) => expect(isLikelihood(example(name))).toBe(due));

it.each([
  [["loss next = cross_entropy(table[tokens], targets)"], true],
  [["loss next = 0.5 * cross_entropy(table[tokens], targets)"], false],
  [["loss next = cross_entropy(table[tokens], targets)", "loss small = mean(table ^ 2)"], false],
  [["loss next = -mean(log_probability(table[tokens], targets))"], false],
] as const)("%o: %s", (losses, due) => expect(isLikelihood(withLosses(...losses))).toBe(due));
