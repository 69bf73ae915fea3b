// What bounds the kernels that `modc tune` found best, as text.
import type { DeviceBest } from "../../../runtime/index.js";
import type { Bound } from "../../tune/bound.js";
import type { TunedSize } from "../../tune/tune.js";
import { columns } from "../terminal/terminal.js";
import { withPrefix, wrap } from "../terminal/units.js";

/** `memory 81%`: the share of the time that it takes at the device's best. */
export function boundText(bound: Bound | null): string {
  if (bound === null) return "";
  const { by, shares } = bound;
  const share = by === "other" ? null : shares[by];
  return share === null ? by : `${by} ${(100 * share).toFixed(0)}%`;
}

const OTHER =
  "other: neither arithmetic, memory nor dispatches take half of the time at this rate. The kernel waits, " +
  "issues other instructions, or is limited by workgroup memory; its time does not show which (docs/cli.md).";

/** Noise may take a share a little above 1; a larger share means that the rate is not the device's best. */
const BEYOND_NOISE = 1.1;

const OVER =
  "over 100%: the kernel is faster than the measured rate, so the rate is not the device's peak. Software " +
  "devices measure slow reads.";

const isOver = ({ by, shares }: Bound): boolean => by !== "other" && (shares[by] ?? 0) > BEYOND_NOISE;

/** The device's measured rates, and notes if no rate bounds some kernel, or if a kernel is faster than its rate. */
export function deviceText({ flops, reads, dispatchSeconds }: DeviceBest, lines: readonly TunedSize[]): string {
  const read = reads.map(({ bytes, seconds }) => `${withPrefix(bytes / seconds)}B/s of ${bytes / 2 ** 20} MiB`);
  const rates = [
    "peak rates of this device, measured now:",
    `${withPrefix(flops)}FLOP/s,`,
    `reads ${read.join(", ")},`,
    `${(1e6 * dispatchSeconds).toFixed(1)} µs for a dispatch`,
  ];
  const notes = [
    ...(lines.some(({ bound }) => bound?.by === "other") ? [OTHER] : []),
    ...(lines.some(({ bound }) => bound && isOver(bound)) ? [OVER] : []),
  ];
  return [
    ...wrap(
      "",
      rates.flatMap((part) => part.split(" ")),
      " ",
      columns(),
    ),
    ...notes.flatMap((note) => wrap("", note.split(" "), " ", columns())),
  ].join("\n");
}
