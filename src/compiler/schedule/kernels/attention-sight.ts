// Attention masks: the range of keys visible to a query, and of queries that see a key, as functions of positions.
import type { OpAttrs } from "../../ir/vocabulary.js";
import type { KernelBuilder } from "./spec.js";

/**
 * `sees(i, j)`: whether a query at position i sees a key at j; `firstSeen(i)` and `lastSeen(i)`: the positions between
 * which those lie.
 */
export function declareSight(kernel: KernelBuilder, attrs: OpAttrs["attention"]): void {
  declareSees(kernel, attrs);
  const { causal, window } = attrs;
  kernel.function(`fn firstSeen(i: u32) -> u32 { return ${window > 0 ? BACK("i") : "0u"}; }`);
  kernel.function(`fn lastSeen(i: u32) -> u32 { return ${causal ? "i" : window > 0 ? AHEAD("i") : LAST}; }`);
}

/**
 * `sees(i, j)`, and `firstSeeing(j)` and `lastSeeing(j)`: the positions between which the queries lie that may see a
 * key at j.
 */
export function declareSeeing(kernel: KernelBuilder, attrs: OpAttrs["attention"]): void {
  declareSees(kernel, attrs);
  const { causal, window } = attrs;
  kernel.function(`fn firstSeeing(j: u32) -> u32 { return ${causal ? "j" : window > 0 ? BACK("j") : "0u"}; }`);
  kernel.function(`fn lastSeeing(j: u32) -> u32 { return ${window > 0 ? AHEAD("j") : LAST}; }`);
}

/** The largest position: below the largest u32. */
const LAST = "0xfffffffeu";
const BACK = (at: string): string => `${at} - min(${at}, window() - 1u)`;
const AHEAD = (at: string): string => `min(${at}, ${LAST} - window()) + window() - 1u`;

function declareSees(kernel: KernelBuilder, { causal, window }: OpAttrs["attention"]): void {
  const seen: string[] = [];
  if (causal) seen.push("j <= i");
  if (window > 0) {
    kernel.count("window", window);
    seen.push("max(i, j) - min(i, j) < window()");
  }
  kernel.function(`fn sees(i: u32, j: u32) -> bool { return ${seen.join(" && ") || "true"}; }`);
}
