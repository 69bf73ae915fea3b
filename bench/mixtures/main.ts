// Compares mixtures of experts with models that do as many operations: `node bench/start.mjs mixtures` writes
// mixtures.md.
//
// Floor: the products alone, of rows in whole tiles. A group of rows ends in the middle of a tile: half a tile for each
// expert, 6% of 128 rows each by tiles of 16, 12% of 64, and half of 16, which a staged layer has at T = 512. Weights
// are read once for each panel and expert instead of once a panel; choice, sorting and sum read and write a few rows
// for each token. Expected before measuring: 1.1 and 1.15 over dense, 1.4 and 1.1 of staged layers.
import { openDevice, type Device } from "../../src/runtime/index.js";
import { atMost, between, two } from "../musts.js";
import { replaceFile } from "../replace-file.js";
import { ratioOf, spreadOf } from "../statistics.js";
import { spread, table } from "../tables.js";
import { COMPARISONS, type Comparison } from "./comparisons.js";

const ROUNDS = 3;
/** Where memory lies in a process and its caches changes times by 7%, alike in all its rounds: so many loads. */
const LOADS = 4;

/**
 * Milliseconds per call over several calls, and the processor's milliseconds, which on a software device include the
 * device's.
 */
async function timed(
  call: () => Promise<void>,
  times: number,
): Promise<{ readonly wall: number; readonly processor: number }> {
  const [begun, before] = [performance.now(), process.cpuUsage()];
  for (let i = 0; i < times; i++) await call();
  const { user, system } = process.cpuUsage(before);
  return { wall: (performance.now() - begun) / times, processor: (user + system) / 1000 / times };
}

interface Times {
  readonly own: number[];
  readonly other: number[];
}

/** Times both in turns; a turn of each takes about as long. */
async function time(of: Comparison, by: "wall" | "processor", times: Times): Promise<void> {
  for (let round = 0; round <= ROUNDS; round++) {
    const [own, other] = [await timed(of.run, Math.round(1 / of.share)), await timed(of.beside, 1)];
    if (round === 0) continue; // compiles kernels
    times.own.push(own[by]);
    times.other.push(other[by]);
  }
}

async function row(
  prepared: (device: Device) => Promise<Comparison>,
  by: "wall" | "processor",
): Promise<readonly string[]> {
  const times: Times = { own: [], other: [] };
  let of: Comparison | null = null;
  for (let n = 0; n < LOADS; n++) {
    of = await prepared(device);
    await time(of, by, times);
    of.dispose();
  }
  const { title, share, limits } = of!;
  const ratio = ratioOf(
    times.own.map((ms) => ms / share),
    times.other,
  );
  return [
    title,
    spread(times.own),
    spread(times.other),
    share.toFixed(3),
    between(ratio, two),
    two(spreadOf(times.own).low / spreadOf(times.other).low / share),
    `${limits[0]}`,
    atMost(ratio.median, limits),
  ];
}

const device = await openDevice({ spare: false });
const { software } = device.info;
const rows: (readonly string[])[] = [];
for (const prepared of COMPARISONS) {
  const found = await row(prepared, software ? "processor" : "wall");
  process.stderr.write(`mixtures: ${found[0]}: ${found[4]}, ${found[7]}\n`);
  rows.push(found);
}
device.destroy();
const text = `# Mixtures of experts beside what does as many operations

\`node bench/start.mjs mixtures\` on ${device.info.name}. Both run in turns, ${ROUNDS} behind a first that compiles,
of each of ${LOADS} loads, the lighter as many times a turn as makes both as long, each applied 8 times to its own
result; times are milliseconds ${software ? "of the processor, which plays the device" : "of the clock"}, medians with
the smallest and the largest.
*Ratio* is the time of the first over that of the second and over *share*, the part of the second's work that the first
has to do: by operations for staged layers, by choices for experts that do nothing. *At best* divides the shortest
times.

${table(["", "ms", "ms of the other", "share", "ratio", "at best", "must", ""], rows)}
`;
process.stdout.write(text);
replaceFile("mixtures.md", text);
