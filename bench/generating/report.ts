// The part of results.md about generation.
import { atMost, row, type Got, type Must } from "../musts.js";
import { medianWithin, ratioOf, type Spread, spreadOf } from "../statistics.js";
import { spread, table } from "../tables.js";
import { TOLERANCE, type MeasuredGeneration } from "./measure.js";
import { type Skipped, SKIPPED_TOKENS, WAYS, type Way } from "./protocol.js";

const TITLES: Readonly<Record<Way, string>> = {
  modc: "modc",
  "onnx-cache": "onnxruntime, WebGPU, cache as inputs",
  "onnx-whole": "onnxruntime, WebGPU, whole text each time",
};

const find = (measured: readonly MeasuredGeneration[], id: string): MeasuredGeneration | undefined =>
  measured.find((m) => m.case.id === id);
const own = (m: MeasuredGeneration | undefined): readonly number[] | undefined => m?.times.get("modc");

/** Every figure, whether it was measured or not. */
export function generationMusts(measured: readonly MeasuredGeneration[]): readonly Must[] {
  return [
    row(
      "time per token of a routed model over the dense one's, d = 512, 12 layers, B = 1, over the ratio of " +
        "weight bytes read",
      ["1.15, and idle dispatches", ""],
      overDense(measured),
    ),
    row("a skipped layer at batch 1 over its predictor and its idle dispatches", ["1", ""], skippedLayer(measured)),
    ...(["q8", "q4"] as const).flatMap((type) =>
      (["", "-mod"] as const).map((routed) =>
        row(
          `time per token of the ${routed === "" ? "" : "routed "}four-layer decoder with weights in ${type}, over f32`,
          type === "q8" ? ["0.45", ""] : ["0.35", ""],
          overF32(measured, type, routed),
        ),
      ),
    ),
  ];
}

function overDense(measured: readonly MeasuredGeneration[]): Got | null {
  const [dense, routed, skipped] = ["mod-dense", "mod", "mod-skipped"].map((id) => find(measured, `generate-${id}`));
  const [a, b] = [own(routed), own(dense)];
  if (!a || !b || !routed || !dense) return null;
  const bytes = routed.weightBytes / dense.weightBytes;
  const { median, low, high } = ratioOf(a, b);
  const share = (100 * mean(routed.shares)).toFixed(1);
  const times =
    `${median.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)}) of the time by ${bytes.toFixed(3)} of the ` +
    `bytes; ${share}% of the tokens`;
  if (!skipped?.skipped)
    return {
      got: `${(median / bytes).toFixed(2)}, idle dispatches and all: ${times}`,
      verdict: atMost(median / bytes, [1.15, 0]),
    };
  // The time of a layer's idle dispatches if all tokens skip it, times the skips per token in this run.
  const idle =
    costsOf(skipped.skipped, skipped.shares.length).idle.median * routed.shares.reduce((sum, s) => sum + 1 - s, 0);
  const figure = (median - idle / spreadOf(b).median) / bytes;
  const got =
    `${figure.toFixed(2)} without idle dispatches, which take ${idle.toFixed(2)} ms a token, ` +
    `${(median / bytes).toFixed(2)} with them: ${times}`;
  return { got, verdict: atMost(figure, [1.15, 0]) };
}

function overF32(measured: readonly MeasuredGeneration[], type: "q8" | "q4", routed: "" | "-mod"): Got | null {
  const [whole, quantized] = ["f32", type].map((t) => find(measured, `generate-quantized-${t}${routed}`));
  const [a, b] = [own(quantized), own(whole)];
  if (!a || !b || !whole || !quantized) return null;
  const { median, low, high } = ratioOf(a, b);
  const bytes = (quantized.weightBytes / whole.weightBytes).toFixed(2);
  return {
    got: `${median.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)}) of the time by ${bytes} of the bytes`,
    verdict: atMost(median, [type === "q8" ? 0.45 : 0.35, 0]),
  };
}

function skippedLayer(measured: readonly MeasuredGeneration[]): Got | null {
  const model = find(measured, "generate-mod-skipped");
  if (!model?.skipped) return null;
  const { skipped, shares } = model;
  const { layer, own, choice, idle, left } = costsOf(skipped, shares.length);
  const [chooses, idles] = [skipped.choiceDispatches, skipped.idleDispatches].map((n) =>
    (n / shares.length).toFixed(1),
  );
  const parts =
    `${micro(choice.median)} of ${chooses} dispatches for predictor and choice and ${micro(idle.median)} of ` +
    `${idles} that are idle`;
  const range = `(95%: ${micro(left.low)} to ${micro(left.high)})`;
  const rest = `what is left of it without those: ${micro(left.median)} ${range}`;
  const got =
    `${(layer.median / own.median).toFixed(2)}: ${micro(layer.median)} µs (95%: ${micro(layer.low)} to ` +
    `${micro(layer.high)}), by ${parts}; ${rest}`;
  return { got, verdict: left.low > 0 ? "missed" : left.high - left.low > own.median ? "lost in noise" : "met" };
}

/**
 * Milliseconds per token and layer, from differences round by round: a skipped layer, its dispatches, the dispatches
 * that choose, the idle dispatches, and the rest without any dispatch.
 */
function costsOf(
  { full, busy, bare, without }: Skipped,
  layers: number,
): Readonly<Record<"layer" | "own" | "choice" | "idle" | "left", Spread>> {
  const cost = (more: readonly number[], less: readonly number[]): Spread =>
    medianWithin(more.map((t, i) => (t - less[i]!) / layers));
  return {
    layer: cost(full, without),
    own: cost(full, bare),
    choice: cost(busy, bare),
    idle: cost(full, busy),
    left: cost(bare, without),
  };
}

const micro = (ms: number): string => (1000 * ms).toFixed(0);
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

export function generationSections(measured: readonly MeasuredGeneration[]): readonly string[] {
  if (measured.length === 0) return [];
  const faults = measured.flatMap((m) =>
    [...m.faults].map(([way, fault]) => `- ${TITLES[way]}, ${m.case.title}: ${fault}`),
  );
  const ways = WAYS.filter((way) => measured.some((m) => m.case.ways.includes(way)));
  const per = (samples: ReadonlyMap<Way, readonly number[]>, way: Way): string =>
    samples.get(way)?.length ? spread(samples.get(way)!) : "";
  const speed = (m: MeasuredGeneration, way: Way): string => {
    const times = m.times.get(way);
    return times?.length ? (1000 / spreadOf(times).median).toFixed(1) : m.faults.has(way) ? "fails or wrong" : "";
  };
  const rows = measured.map((m) => [
    m.case.title,
    `${m.prompt} + ${m.count}`,
    ...ways.map((way) => speed(m, way)),
    ...ways.map((way) => per(m.times, way)),
    ...ways.map((way) => per(m.firsts, way)),
    (m.weightBytes / 2 ** 20).toFixed(1),
    m.shares.length === 0 ? "" : m.shares.map((s) => `${(100 * s).toFixed(0)}%`).join(", "),
  ]);
  const head = [
    "model",
    "tokens read + added",
    ...ways.map((way) => `tokens/s, ${TITLES[way]}`),
    ...ways.map((way) => `ms a token, ${TITLES[way]}`),
    ...ways.map((way) => `ms to the first, ${TITLES[way]}`),
    "MiB of weights read a token",
    "tokens of each routed layer",
  ];
  return ["## Generation", TEXT, table(head, rows), ...(faults.length === 0 ? [] : [faults.join("\n")])];
}

const TEXT = `One sequence, B = 1. Models are bench/models/decoder.mod with d = 512, 8 heads and GELU networks of 2048,
and examples/moby.mod. The likeliest tokens of each peer are held against the 64-bit reference of the whole text first:
each must have the largest logit there, to ${TOLERANCE.toExponential()} of the largest magnitude. Then rounds in which
all take turns; medians, with the smallest and the largest.

*Cache as inputs* is a decoder as it is exported: keys and values of past tokens are inputs and outputs of the graph,
and what it gives is handed in again. *Whole text* reads all tokens again for each. Both choose the likeliest token on
the host; modc draws on the device and hears of it some steps later.

The twelve layers draw their tokens, so that routes vary; biases of the predictors were set so that about one random
token in eight is computed. *Bytes read* count each weight of a computed layer once. What a layer costs that is skipped
is measured in rounds in which four models generate the same ${SKIPPED_TOKENS} tokens, a turn each: the one all of whose
routed layers are skipped, the same without the dispatches that return at once, without predictors and choices too
(which changes no token, for there is nothing to compute), and the model that has no such layers. Given are medians of
differences within rounds, over the number of layers, and between which values that median lies in 95 of 100 cases.`;
