// The part of results.md about the first minute.
import { atMost, type Got, type Limits, type Must, row, times } from "../musts.js";
import { ratioOf, spreadOf } from "../statistics.js";
import { spread, table } from "../tables.js";
import type { FirstTokens } from "./measure.js";

/** Both, whether they were measured or not. */
export function firstMusts(first: FirstTokens | null): readonly Must[] {
  const decoder = first?.decoder.times;
  return [
    row(
      "process start to first token, decoder of four layers, d = 512, shader cache off, over onnxruntime's " +
        "WebGPU with cache",
      ["0.7", "0.4"],
      over(decoder?.get("modc"), decoder?.get("onnx-cache"), [0.7, 0.4]),
    ),
    row(
      "process start to first token, `generate` on examples/moby.mod, shader cache off, over commit 0c4ad31 in " +
        "the same run (`--before`)",
      ["0.35", "0.2"],
      over(first?.moby.own, first?.moby.before, [0.35, 0.2]),
    ),
  ];
}

function over(own: readonly number[] | undefined, other: readonly number[] | undefined, limits: Limits): Got | null {
  if (!own?.length || !other?.length) return null;
  const ratio = spreadOf(own).median / spreadOf(other).median;
  const { low, high } = ratioOf(own, other);
  return {
    got: `${times(ratio)} (round by round ${low.toFixed(2)} to ${high.toFixed(2)})`,
    verdict: atMost(ratio, limits),
  };
}

export function firstTokensSection(first: FirstTokens | null): readonly string[] {
  if (first === null) return [];
  const { decoder, moby } = first;
  const of = (list: readonly number[] | undefined): string => (list?.length ? spread(list) : "");
  const rows = [
    ["decoder, 4 dense layers, d = 512: modc", of(decoder.times.get("modc"))],
    ["the same: onnxruntime, WebGPU, cache as inputs", of(decoder.times.get("onnx-cache"))],
    ["`modc generate` on examples/moby.mod", of(moby.own)],
    ["the same, of the checkout given by `--before`", of(moby.before)],
  ];
  const text =
    "Milliseconds from the start of a new process to its first token, with Mesa's shader cache off: libraries " +
    "are loaded, a device opened, kernels compiled and the prompt read in them. Medians, with the smallest and " +
    "the largest.";
  return [
    "## First token",
    text,
    table(["", "ms"], rows),
    ...[...decoder.faults].map(([way, fault]) => `- ${way}: ${fault}`),
  ];
}
