// The project's performance goals in training beside the measurements.
import { atLeast, atMost, between, row, times, two, type Got, type Must } from "../musts.js";
import { ratioOf, spreadOf } from "../statistics.js";
import { TITLES } from "../tables.js";
import type { MeasuredTraining } from "./measure.js";
import type { TrainerName } from "./protocol.js";

/** Every figure, whether it was measured or not. */
export function trainingMusts(measured: readonly MeasuredTraining[]): readonly Must[] {
  const of = (id: string): MeasuredTraining | undefined => measured.find((m) => m.case.id === id);
  const [dense, mod] = [of("train-layer-dense"), of("train-layer-mod")];
  const [dense4, mod4] = [of("train-layer-dense-4"), of("train-layer-mod-4")];
  return [
    row(
      "training step of a dense decoder against the faster correct WebGPU peer",
      ["4 × faster", ""],
      againstPeers(of("train-dense")),
    ),
    row(
      "training step of the decoder with MoD layers against the faster correct WebGPU peer",
      ["4 × faster", ""],
      againstPeers(of("train-mod")),
    ),
    row(
      "training step of one MoD layer over one of a dense layer, divided by their FLOP ratio, B = 4, T = 1024",
      ["1.25", ""],
      overDense(dense4, mod4),
    ),
    row("the same, B = 1", ["1.25", ""], overDense(dense, mod)),
    row(
      "peak training memory of a routed layer over a dense one, beyond the residual stream, T = 1024",
      ["0.2", ""],
      memory(dense, mod),
    ),
  ];
}

/** The peer with the smallest median. */
export function fasterPeer({ times }: Pick<MeasuredTraining, "times">): TrainerName | null {
  const peers = [...times.keys()].filter((name) => name !== "modc");
  const median = (name: TrainerName): number => spreadOf(times.get(name)!).median;
  return peers.sort((a, b) => median(a) - median(b))[0] ?? null;
}

function againstPeers(model: MeasuredTraining | undefined): Got | null {
  const own = model?.times.get("modc");
  const peer = model ? fasterPeer(model) : null;
  if (!model || !own || !peer) return null;
  const ratio = ratioOf(model.times.get(peer)!, own);
  return { got: `${between(ratio, times)} of ${TITLES[peer]}`, verdict: atLeast(ratio.median, [4, Infinity]) };
}

function overDense(dense: MeasuredTraining | undefined, mod: MeasuredTraining | undefined): Got | null {
  const [a, b] = [mod?.times.get("modc"), dense?.times.get("modc")];
  if (!dense || !mod || !a || !b) return null;
  const flops = mod.flops / dense.flops;
  const time = ratioOf(a, b);
  const got = { median: time.median / flops, low: time.low / flops, high: time.high / flops };
  return { got: `${between(got, two)}; FLOP ratio ${flops.toFixed(4)}`, verdict: atMost(got.median, [1.25, 0]) };
}

/** Streams of activations that a step holds: x and its cotangent. */
const STREAMS = 2;

function memory(dense: MeasuredTraining | undefined, mod: MeasuredTraining | undefined): Got | null {
  if (!dense || !mod) return null;
  const beyond = ({ activationBytes, case: { B, T, dim } }: MeasuredTraining): number =>
    activationBytes - STREAMS * B * T * dim * 4;
  const ratio = beyond(mod) / beyond(dense);
  return { got: ratio.toFixed(3), verdict: atMost(ratio, [0.2, 0]) };
}
