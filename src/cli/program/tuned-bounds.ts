// What bounds the kernels that `modc tune` found best, as text.
import type { DeviceBest } from "../../runtime/index.js";
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
  "other: neither arithmetic, memory nor dispatches take half of the time at this rate. Such a kernel waits, " +
  "issues other instructions, or is held up by workgroup memory; its time does not tell which (docs/cli.md).";

/** The device's measured rates, and a note if no rate bounds some kernel. */
export function deviceText({ flops, reads, dispatchSeconds }: DeviceBest, lines: readonly TunedSize[]): string {
  const read = reads.map(({ bytes, seconds }) => `${withPrefix(bytes / seconds)}B/s of ${bytes / 2 ** 20} MiB`);
  const rates = [
    "this device at best, measured now:",
    `${withPrefix(flops)}FLOP/s,`,
    `reads ${read.join(", ")},`,
    `${(1e6 * dispatchSeconds).toFixed(1)} µs for a dispatch`,
  ];
  const told = lines.some(({ bound }) => bound?.by === "other") ? wrap("", OTHER.split(" "), " ", columns()) : [];
  return [
    ...wrap(
      "",
      rates.flatMap((part) => part.split(" ")),
      " ",
      columns(),
    ),
    ...told,
  ].join("\n");
}
