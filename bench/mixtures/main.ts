// Mixtures of experts against a dense gated network that does as many operations: `node bench/start.mjs mixtures`.
//
// Floor: the products alone, of rows in whole tiles. A group of rows ends in the middle of a tile: half a tile for each
// expert, 6% of 128 rows each by tiles of 16, and 12% of 64. Weights are read once for each panel and expert instead of
// once a panel; choice, sorting and sum read and write a few rows for each token. Expected before measuring: 1.1 and
// 1.15; wanted: 1.25 at most.
//
// Both run in turns. Times are of the processor, which plays the device: other work on the machine moves them less.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { compile } from "../../src/compile.js";
import { load, openDevice, type Device } from "../../src/runtime/index.js";
import { random } from "../random.js";

const ROUNDS = 15;
const DIM = 512;

interface Pair {
  readonly title: string;
  readonly tokens: number;
  readonly k: number;
  readonly hidden: number;
  readonly experts: number;
}

const PAIRS: readonly Pair[] = [
  { title: "2 of 8 experts, hidden 1024, T = 512", tokens: 512, k: 2, hidden: 1024, experts: 8 },
  { title: "4 of 64 experts, hidden 512, T = 1024", tokens: 1024, k: 4, hidden: 512, experts: 64 },
];

/** A function that runs a model of the bench once, and returns the milliseconds of the processor that it took. */
async function prepared(
  device: Device,
  model: string,
  set: Readonly<Record<string, string>>,
  tokens: number,
): Promise<() => Promise<number>> {
  const text = readFileSync(join(import.meta.dirname, "..", "models", `${model}.mod`), "utf8");
  const { program } = compile(text, { set, target: device.target });
  if (!program) throw new Error(`${model}.mod has faults`);
  const draws = random(7);
  const normal = (count: number, scale: number): Float32Array =>
    Float32Array.from({ length: count }, () => draws.normal() * scale);
  const values = ({ shape }: { readonly shape: readonly number[] }): Float32Array =>
    normal(
      shape.reduce((n, s) => n * s, 1),
      0.03,
    );
  const session = await load(program, device, values, { max: { B: 1, T: tokens } });
  const inputs = { x: { shape: [1, tokens, DIM], data: normal(tokens * DIM, 1) } };
  return async () => {
    const before = process.cpuUsage();
    await session.run(inputs, { outputs: ["output"] });
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  };
}

const sorted = (times: readonly number[]): readonly number[] => times.toSorted((a, b) => a - b);

const device = await openDevice({ spare: false });
for (const { title, tokens, k, hidden, experts } of PAIRS) {
  const set = { hidden: `${hidden}` };
  const mixture = await prepared(device, "mixture", { ...set, experts: `${experts}`, k: `${k}` }, tokens);
  const dense = await prepared(device, "gated", set, tokens * k);
  const times: { readonly mixture: number[]; readonly dense: number[] } = { mixture: [], dense: [] };
  for (let round = 0; round <= ROUNDS; round++) {
    const [own, other] = [await mixture(), await dense()];
    // The first round compiles kernels.
    if (round > 0) times.mixture.push(own);
    if (round > 0) times.dense.push(other);
  }
  const [own, other] = [sorted(times.mixture), sorted(times.dense)];
  const middle = Math.floor(ROUNDS / 2);
  const shown = (ms: number): string => `${ms.toFixed(0)} ms`;
  process.stdout.write(
    `${title}: ${shown(own[middle]!)} against ${shown(other[middle]!)} of a dense network of ${k * tokens} rows, ` +
      `${(own[middle]! / other[middle]!).toFixed(2)} in the middle, ${(own[0]! / other[0]!).toFixed(2)} at best\n`,
  );
}
device.destroy();
