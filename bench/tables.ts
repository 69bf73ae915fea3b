// Formats tables, times and names for results.md.
import type { PeerName } from "./protocol.js";
import { spreadOf } from "./statistics.js";

/** As tables call them. */
export const TITLES: Readonly<Record<PeerName, string>> = {
  modc: "modc",
  jax: "jax-js",
  onnxruntime: "onnxruntime, WebGPU",
  tfjs: "TensorFlow.js",
  "onnxruntime-cpu": "onnxruntime, CPU",
};

/** Of a time. */
export const milliseconds = (n: number): string => (n >= 100 ? n.toFixed(0) : n.toPrecision(3));

/** Median, smallest and largest of times. */
export function spread(times: readonly number[]): string {
  const { median, low, high } = spreadOf(times);
  return `${milliseconds(median)} (${milliseconds(low)}–${milliseconds(high)})`;
}

/** Rows of cells under a head, in Markdown. */
export const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
