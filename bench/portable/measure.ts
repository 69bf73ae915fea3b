// Measures one part of a portable folder's report, in a separate process, without peers: prints a line of JSON for each
// result, so that a fault or a timeout keeps earlier results.
import { once } from "../../src/ground/base/once.js";
import type { Precision } from "../../src/runtime/program/target.js";
import { load, openDevice, type Device } from "../../src/runtime/index.js";
import { cases, compileBlock, prepare, product, textOf, type Case } from "../cases.js";
import { difference, evaluated, TOLERANCE } from "../expected.js";
import { generateCases, prepareGeneration } from "../generating/cases.js";
import { PeakMeter } from "../peak.js";
import { spreadOf } from "../statistics.js";
import { HYPOTHESES, measureHypothesis } from "./hypotheses.js";
import { isPart, type Line, type Part } from "./lines.js";
import { measureWriting } from "./writing.js";

const ROUNDS = 5;
/** Applications for each wait, of which the wait is then a small part: at most so many, at least two. */
const MOST_REPEATED = 20;
/** Milliseconds from which on fewer do. */
const LONG_WAIT = 400;
/** Of results that were stored in f16 on the way. */
const TOLERANCE_F16 = 2e-2;

const tell = (line: Line): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

/** Tells why something has no result, and goes on. */
async function attempted(name: string, body: () => Promise<Omit<Line, "name">>): Promise<void> {
  try {
    tell({ name, ...(await body()) });
  } catch (error) {
    tell({ name, fault: (error instanceof Error ? error.message : String(error)).split("\n")[0]! });
  }
}

async function measurePeak(): Promise<void> {
  await attempted("multiply-adds in f32, in registers", async () => {
    const meter = await PeakMeter.open();
    for (let round = 0; round < ROUNDS; round++) await meter.measure();
    meter.close();
    return { gflops: meter.best };
  });
}

/** Milliseconds of one application: the difference between many in one wait and one. */
async function measureBlock(
  device: Device,
  c: Case,
  precision: Precision,
  wanted: () => Float64Array,
): Promise<Omit<Line, "name">> {
  const prepared = prepare(c, device.target, precision);
  const weights = new Map(prepared.data.weights);
  const inputs = Object.fromEntries(prepared.data.inputs);
  const opened = async (repeat: number): Promise<() => Promise<Float32Array>> => {
    const { program } = compileBlock(prepared.data, repeat, device.target, precision);
    const session = await load(program, device, (w) => weights.get(w.path)!.data, { max: { B: 1, T: c.T } });
    return async () => (await session.run(inputs, { outputs: ["output"] }))["output"]!.data as Float32Array; // f32
  };
  const one = await opened(1);
  const actual = await one();
  const start = performance.now();
  await one();
  const repeat = Math.max(2, Math.min(MOST_REPEATED, Math.ceil(LONG_WAIT / (performance.now() - start))));
  const many = await opened(repeat);
  await many();
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    await one();
    const middle = performance.now();
    await many();
    times.push((performance.now() - middle - (middle - start)) / (repeat - 1));
  }
  const { median: ms } = spreadOf(times);
  const off = c.flops > MOST_CHECKED ? null : difference(actual, wanted());
  const tolerance = precision.activations === "f16" ? TOLERANCE_F16 : TOLERANCE;
  return { ms, gflops: c.flops / ms / 1e6, ...(off !== null && { off, right: off <= tolerance }) };
}

/** The reference computes larger ones for a minute. */
const MOST_CHECKED = 4e9;

async function measureBlocks(chosen: readonly Case[]): Promise<void> {
  const device = await openDevice({ spare: false });
  const f16 = device.info.features.includes("shader-f16");
  for (const c of chosen) {
    const wanted = once(() => evaluated(prepare(c, device.target)));
    await attempted(`${c.title}, f32`, () => measureBlock(device, c, {}, wanted));
    if (f16) await attempted(`${c.title}, f16`, () => measureBlock(device, c, { activations: "f16" }, wanted));
  }
}

/** A device that shares the processor would take minutes. */
const large = (device: Device): readonly Case[] => (device.info.software ? [] : [product(1024, 4096)]);

async function measureProducts(): Promise<void> {
  const device = await openDevice();
  const more = large(device);
  device.destroy();
  await measureBlocks([...cases.filter(({ kind }) => kind === "product"), ...more]);
}

async function measureGeneration(): Promise<void> {
  const device = await openDevice({ spare: false });
  for (const c of generateCases.filter(({ group }) => group.startsWith("generate-quantized")))
    await attempted(c.title, async () => {
      const { data } = await prepareGeneration(c);
      const weights = new Map(data.weights);
      const { source, set, weightsAs, prompt, count } = data;
      const read = (w: { readonly path: string }): Float32Array | Uint32Array => weights.get(w.path)!.data;
      return measureWriting(device, { source, file: `${c.id}.mod`, set, weightsAs, weights: read, prompt, count });
    });
}

/** The decoder of SmolLM2-135M, with weights from a seed. */
async function measureLlama(): Promise<void> {
  const device = await openDevice({ spare: false });
  if (device.info.software) return tell({ name: "a Llama of 135M parameters", fault: "left out on a software device" });
  const source = textOf("examples/llama.mod");
  const prompt = Uint32Array.from({ length: 512 }, (_, i) => (i * 7919) % 49_152);
  for (const weightsAs of ["f32", "f16", "q8", "q4"] as const)
    await attempted(`a Llama of 135M parameters, 512 tokens of prompt, weights in ${weightsAs}`, () =>
      measureWriting(device, {
        source,
        file: "llama.mod",
        set: { context: "1024" },
        weightsAs,
        weights: undefined,
        prompt,
        count: 64,
      }),
    );
}

/** What bench/hardware.md has estimates for, on cards that were not there. */
async function measureHypotheses(): Promise<void> {
  const device = await openDevice({ spare: false });
  for (const given of HYPOTHESES) await attempted(given.name, () => measureHypothesis(device, given));
}

const PARTS: { readonly [P in Part]: () => Promise<void> } = {
  peak: measurePeak,
  hypotheses: measureHypotheses,
  products: measureProducts,
  blocks: () => measureBlocks(cases.filter(({ id }) => ["dense-512", "mod-512"].includes(id))),
  generation: measureGeneration,
  llama: measureLlama,
};

const part = process.argv[2] ?? "";
if (!isPart(part)) throw new Error(`there is no part ${JSON.stringify(part)}`);
await PARTS[part]();
process.exit(0);
