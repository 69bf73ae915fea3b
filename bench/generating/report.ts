// The part of results.md about generation.
import { atMost, row, type Got, type Must } from "../musts.js";
import { quartersOf, ratioOf, spreadOf } from "../statistics.js";
import { spread, table } from "../tables.js";
import { TOLERANCE, type MeasuredGeneration } from "./measure.js";
import { WAYS, type Way } from "./protocol.js";

const TITLES: Readonly<Record<Way, string>> = {
  modc: "modc",
  "onnx-cache": "onnxruntime, WebGPU, cache as inputs",
  "onnx-whole": "onnxruntime, WebGPU, whole text each time",
};

const find = (measured: readonly MeasuredGeneration[], id: string): MeasuredGeneration | undefined => measured.find((m) => m.case.id === id);
const own = (m: MeasuredGeneration | undefined): readonly number[] | undefined => m?.times.get("modc");

/** Every figure, whether it was measured or not. */
export function generationMusts(measured: readonly MeasuredGeneration[]): readonly Must[] {
  return [
    row(
      "time per token of a routed model over the dense one's, d = 512, 12 layers, B = 1, over the ratio of weight bytes read",
      ["1.15, and idle dispatches", ""],
      overDense(measured),
    ),
    row("a skipped layer at batch 1 over its predictor and its idle dispatches", ["1", ""], skippedLayer(measured)),
  ];
}

function overDense(measured: readonly MeasuredGeneration[]): Got | null {
  const [dense, routed, skipped] = ["mod-dense", "mod", "mod-skipped"].map((id) => find(measured, `generate-${id}`));
  const [a, b] = [own(routed), own(dense)];
  if (!a || !b || !routed || !dense) return null;
  const bytes = routed.weightBytes / dense.weightBytes;
  const { median, low, high } = ratioOf(a, b);
  const share = (100 * mean(routed.shares)).toFixed(1);
  const times = `${median.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)}) of the time by ${bytes.toFixed(3)} of the bytes; ${share}% of the tokens`;
  if (!skipped?.step) return { got: `${(median / bytes).toFixed(2)}, idle dispatches and all: ${times}`, verdict: atMost(median / bytes, [1.15, 0]) };
  // What a layer's idle dispatches take where all tokens skip it, as often as they do here.
  const idle = (skipped.step.idle / skipped.shares.length) * routed.shares.reduce((sum, s) => sum + 1 - s, 0);
  const figure = (median - idle / spreadOf(b).median) / bytes;
  const got = `${figure.toFixed(2)} without idle dispatches, which take ${idle.toFixed(2)} ms a token, ${(median / bytes).toFixed(2)} with them: ${times}`;
  return { got, verdict: atMost(figure, [1.15, 0]) };
}

function skippedLayer(measured: readonly MeasuredGeneration[]): Got | null {
  const skipped = find(measured, "generate-mod-skipped");
  const step = skipped?.step;
  if (!step || skipped.beyond.length === 0) return null;
  const layers = skipped.shares.length;
  const { median, low, high } = quartersOf(skipped.beyond.map((t) => t / layers));
  const [choice, idle] = [step.choice / layers, step.idle / layers];
  const [chooses, idles] = [step.choiceDispatches / layers, step.idleDispatches / layers];
  const got = `${(median / (choice + idle)).toFixed(2)}: ${micro(median)} µs, half of ${skipped.beyond.length} pairs ${micro(low)} to ${micro(high)}, by ${micro(choice)} of ${chooses.toFixed(1)} dispatches for predictor and choice and ${micro(idle)} of ${idles.toFixed(1)} that are idle`;
  return { got, verdict: high <= 0 ? "lost in noise" : median <= choice + idle ? "met" : "missed" };
}

const micro = (ms: number): string => (1000 * ms).toFixed(0);
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

export function generationSections(measured: readonly MeasuredGeneration[]): readonly string[] {
  if (measured.length === 0) return [];
  const faults = measured.flatMap((m) => [...m.faults].map(([way, fault]) => `- ${TITLES[way]}, ${m.case.title}: ${fault}`));
  const ways = WAYS.filter((way) => measured.some((m) => m.case.ways.includes(way)));
  const per = (samples: ReadonlyMap<Way, readonly number[]>, way: Way): string => (samples.get(way)?.length ? spread(samples.get(way)!) : "");
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

const TEXT = `One sequence, B = 1. Models are bench/models/decoder.mod with d = 512, 8 heads and GELU networks of 2048, and examples/moby.mod. The likeliest tokens of each peer are held against the 64-bit reference of the whole text first: each must have the largest logit there, to ${TOLERANCE.toExponential()} of the largest magnitude. Then rounds in which all take turns; medians, with the smallest and the largest.

*Cache as inputs* is a decoder as it is exported: keys and values of past tokens are inputs and outputs of the graph, and what it gives is handed in again. *Whole text* reads all tokens again for each. Both choose the likeliest token on the host; modc draws on the device and hears of it some steps later.

The twelve layers draw their tokens, so that routes vary; biases of the predictors were set so that about one random token in eight is computed. *Bytes read* count each weight of a computed layer once. What predictors and choices take, and what the dispatches that return at once, is measured where they stand: in steps that have them three times over, which changes nothing of what is computed, beside steps that have them once. A skipped layer is the difference between the model all of whose routed layers are skipped and the one without them, generated one after the other so many times, over their number.`;
