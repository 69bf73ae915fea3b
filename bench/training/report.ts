// The part of results.md about training.
import { ratioOf, spreadOf } from "../statistics.js";
import { milliseconds, spread, table, TITLES } from "../tables.js";
import { CHECKED_STEPS, STEP_TOLERANCE, WEIGHT_TOLERANCE } from "./expected.js";
import type { MeasuredTraining } from "./measure.js";
import { fasterPeer } from "./musts.js";
import { TRAINERS, type TrainerName } from "./protocol.js";

export function trainingSections(measured: readonly MeasuredTraining[]): readonly string[] {
  if (measured.length === 0) return [];
  const faults = measured.flatMap((m) =>
    [...m.faults].map(([name, fault]) => `- ${TITLES[name]}, ${m.case.title}: ${fault}`),
  );
  return [
    "## Training",
    text(measured),
    timesTable(measured),
    modcTable(measured),
    agreement(measured),
    ...(faults.length === 0 ? [] : [faults.join("\n")]),
  ];
}

function text(measured: readonly MeasuredTraining[]): string {
  const steps = [...new Set(measured.map((m) => m.steps))].join(" or ");
  const exact = STEP_TOLERANCE.toExponential();
  const lines = [
    "A step is forward, backward, clipping by the norm of all gradients together, and AdamW; models are " +
      "bench/models/decoder.mod (d = 256, 4 heads, 4 layers, B = 4, T = 256, tied embedding) and layer.mod (d = " +
      "512, 8 heads, hidden 2048). Predictors and their losses are trained too.",
    `Weights and batches are the same for all. Each peer goes ${CHECKED_STEPS} steps first, held against the ` +
      `64-bit reference: losses and the clipped gradients of the first step to ${exact} (of a weight's largest), ` +
      `and the weights after all of them, as a mean over each, to ${WEIGHT_TOLERANCE} of a step of AdamW, which ` +
      "divides by the size of a gradient however small it is.",
    `Then rounds of ${steps} steps, one wait each. jax-js compiles the whole step, choosing tokens by a sort; ` +
      "TensorFlow.js runs its tape, with gradients of our own for the gather and the scatter of routed rows. " +
      "*First step* is from the source or the calls to the first loss, in a process that had built nothing, shader " +
      "caches as they were.",
    "*Activations* are what another batch of that size adds to `memoryOf` of the step: what is kept for the " +
      "backward pass and what it needs beside, without gradients of weights, which do not grow with the batch. Of " +
      "a layer's the figure above leaves out two streams, x and its cotangent.",
  ];
  return lines.join("\n\n");
}

function timesTable(measured: readonly MeasuredTraining[]): string {
  const cell = (m: MeasuredTraining, name: TrainerName): string => {
    const times = m.times.get(name);
    if (times) return spread(times);
    const fault = m.faults.get(name);
    return fault === undefined ? "" : fault.startsWith("wrong") ? "wrong" : "fails";
  };
  const rows = measured.map((m) => [m.case.title, ...TRAINERS.map((name) => cell(m, name)), ratio(m)]);
  return table(["milliseconds a step", ...TRAINERS.map((name) => TITLES[name]), "ratio"], rows);
}

function ratio(m: MeasuredTraining): string {
  const own = m.times.get("modc");
  const peer = fasterPeer(m);
  if (!own || !peer) return "";
  const { median, low, high } = ratioOf(m.times.get(peer)!, own);
  return `**${median.toFixed(2)}** (${low.toFixed(2)}–${high.toFixed(2)}) of ${TITLES[peer]}`;
}

function modcTable(measured: readonly MeasuredTraining[]): string {
  const rows = measured.map((m) => {
    const own = m.times.get("modc");
    return [
      m.case.title,
      (m.flops / 1e9).toPrecision(3),
      own ? (m.flops / spreadOf(own).median / 1e6).toFixed(1) : "",
      (m.activationBytes / 1024).toFixed(0),
      ...TRAINERS.map((name) => (m.firsts.has(name) ? milliseconds(m.firsts.get(name)!) : "")),
    ];
  });
  const first = TRAINERS.map((name) => `first step, ${TITLES[name]}, ms`);
  return table(["model", "GFLOP a step, executed", "GFLOP/s of modc", "activations of modc, KiB", ...first], rows);
}

function agreement(measured: readonly MeasuredTraining[]): string {
  const rows = measured.map((m) => [
    m.case.title,
    ...TRAINERS.map((name) => {
      const off = m.differences.get(name);
      return off ? [off.loss, off.gradient, off.weight].map((value) => value.toExponential(1)).join(", ") : "";
    }),
  ]);
  return table(["off by: loss, gradient, weights in steps", ...TRAINERS.map((name) => TITLES[name])], rows);
}
