// Mixtures of experts against what does as many operations: `node bench/start.mjs mixtures` writes mixtures.md.
//
// Floor: the products alone, of rows in whole tiles. A group of rows ends in the middle of a tile: half a tile for each
// expert, 6% of 128 rows each by tiles of 16, 12% of 64, and half of 16, which a staged layer has at T = 512. Weights
// are read once for each panel and expert instead of once a panel; choice, sorting and sum read and write a few rows
// for each token. Expected before measuring: 1.1 and 1.15 over dense, 1.4 and 1.1 of staged layers.
import { openDevice } from "../../src/runtime/index.js";
import { atMost, between, two } from "../musts.js";
import { replaceFile } from "../replace-file.js";
import { ratioOf, spreadOf } from "../statistics.js";
import { spread, table } from "../tables.js";
import { COMPARISONS, type Comparison } from "./comparisons.js";

const ROUNDS = 7;

/** Milliseconds of a call, of several; and those of the processor, which on a software device is the device too. */
async function timed(
  call: () => Promise<void>,
  times: number,
): Promise<{ readonly wall: number; readonly processor: number }> {
  const [begun, before] = [performance.now(), process.cpuUsage()];
  for (let i = 0; i < times; i++) await call();
  const { user, system } = process.cpuUsage(before);
  return { wall: (performance.now() - begun) / times, processor: (user + system) / 1000 / times };
}

async function row(of: Comparison, by: "wall" | "processor"): Promise<readonly string[]> {
  const times: { readonly own: number[]; readonly other: number[] } = { own: [], other: [] };
  for (let round = 0; round <= ROUNDS; round++) {
    // A turn of each takes about as long.
    const [own, other] = [await timed(of.run, Math.round(1 / of.share)), await timed(of.beside, 1)];
    if (round === 0) continue; // compiles kernels
    times.own.push(own[by]);
    times.other.push(other[by]);
  }
  const ratio = ratioOf(
    times.own.map((ms) => ms / of.share),
    times.other,
  );
  return [
    of.title,
    spread(times.own),
    spread(times.other),
    of.share.toFixed(3),
    between(ratio, two),
    two(spreadOf(times.own).low / spreadOf(times.other).low / of.share),
    `${of.limits[0]}`,
    atMost(ratio.median, of.limits),
  ];
}

const device = await openDevice({ spare: false });
const { software } = device.info;
const rows: (readonly string[])[] = [];
for (const prepared of COMPARISONS) {
  const comparison = await prepared(device);
  const found = await row(comparison, software ? "processor" : "wall");
  comparison.dispose();
  process.stderr.write(`mixtures: ${found[0]}: ${found[4]}, ${found[7]}\n`);
  rows.push(found);
}
device.destroy();
const text = `# Mixtures of experts beside what does as many operations

\`node bench/start.mjs mixtures\` on ${device.info.name}. Both run in turns, ${ROUNDS} behind a first that compiles,
the lighter as many times a turn as makes both as long, each applied 8 times to its own result; times are milliseconds
${software ? "of the processor, which plays the device" : "of the clock"}, medians with the smallest and the largest.
*Ratio* is the time of the first over that of the second and over *share*, the part of the second's work that the first
has to do: by operations for staged layers, by choices for experts that do nothing. *At best* divides the shortest
times.

${table(["", "ms", "ms of the other", "share", "ratio", "at best", "must", ""], rows)}
`;
process.stdout.write(text);
replaceFile("mixtures.md", text);
