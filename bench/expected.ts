// Expected results of a block, by the reference evaluator; cached on disk, as a large block takes long.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { printGraph } from "../src/compiler/ir/print.js";
import { evaluate } from "../src/compiler/reference/evaluate.js";
import type { Prepared } from "./cases.js";

const folder = fileURLToPath(new URL(".work/", import.meta.url));

/** The results of applying the block once, in 64 bits. */
export function evaluated({ graph, data }: Prepared): Float64Array {
  const { outputs } = evaluate(graph, { inputs: new Map(data.inputs), weights: new Map(data.weights) });
  return Float64Array.from(outputs.get("output")!.data);
}

/** The same, computed once. */
export function expected(prepared: Prepared): Float64Array {
  const { graph, data } = prepared;
  const hash = createHash("sha256").update(printGraph(graph));
  for (const [name, { shape, data: values }] of [...data.weights, ...data.inputs]) {
    hash.update(`${name} ${shape.join()}`);
    hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  const path = `${folder}${data.id}-${hash.digest("hex").slice(0, 16)}.f64`;
  if (existsSync(path)) return new Float64Array(new Uint8Array(readFileSync(path)).buffer);
  const values = evaluated(prepared);
  mkdirSync(folder, { recursive: true });
  writeFileSync(path, new Uint8Array(values.buffer));
  return values;
}

/** Tolerance: above the errors of f32 arithmetic on these blocks (1e-6 to 1e-5), far below any mistake. */
export const TOLERANCE = 1e-4;

/** Largest difference, divided by the largest expected magnitude; infinite where sizes differ or a value is NaN. */
export function difference(actual: ArrayLike<number>, wanted: Float64Array): number {
  if (actual.length !== wanted.length) return Infinity;
  let most = 0;
  let largest = 0;
  for (let i = 0; i < wanted.length; i++) {
    const d = Math.abs(actual[i]! - wanted[i]!);
    if (!(d <= most)) most = Number.isNaN(d) ? Infinity : d;
    largest = Math.max(largest, Math.abs(wanted[i]!));
  }
  return most / largest;
}
