// Measures what bench/hardware.md estimates from machine code, case by case, and tells both.
import { existsSync, readFileSync } from "node:fs";
import { load, type Device, type Inputs, type Session } from "../../src/runtime/index.js";
import type { Program } from "../../src/runtime/program/program.js";
import { parseAxes } from "../../src/runtime/steps/sizes.js";
import { resolveSizes } from "../../src/ground/size/axes.js";
import { sizeOfText } from "../../src/ground/size/parse-size.js";
import { textOf } from "../cases.js";
import { compileCase, extentsOf, HARDWARE_CASES, type HardwareCase } from "../hardware/cases.js";
import { spreadOf } from "../statistics.js";
import type { Line } from "./lines.js";
import { measureWriting } from "./writing.js";

const NAMES = [
  "product-1024",
  "product-1024+f16",
  "product-1x4096",
  "product-1x4096-f16",
  "product-1x4096-q8",
  "product-1x4096-q4",
  "attention-2048",
  "attention-2048+f16",
  "query-2048",
  "routing-2048",
  "dense-2048",
  "dense-2048+f16",
  "mod-2048",
  "mod-2048+f16",
  "step-q8",
] as const;
export const HYPOTHESES = NAMES.map((name) => HARDWARE_CASES.find((c) => c.name === name)!);

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

const ROUNDS = 5;
/** Milliseconds that a run of many applications should take at least, and how many at most. */
const LONG = 20;
const MOST = 200;

/** Tokens of a measured text. */
const WRITTEN = 48;

/** From −1 to 1, spread; quick to make, also sixteen million of them. */
const spreadValues = (n: number, scale = 1): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => scale * ((Math.imul(i + 1, 0x9e3779b1) >>> 0) / 2 ** 31 - 1));

/** Beside the bundle: what the lab wrote when the folder was made. */
function estimatesOf(name: string): Pick<Line, "estimates"> {
  const path = new URL("hardware.json", import.meta.url);
  if (!existsSync(path)) return {};
  const { cases } = JSON.parse(readFileSync(path, "utf8")) as { readonly cases: Record<string, Line["estimates"]> };
  const estimates = cases[name];
  return estimates ? { estimates } : {};
}

export async function measureHypothesis(device: Device, given: HardwareCase): Promise<Omit<Line, "name">> {
  const { name, model, set, precision } = given;
  if (given.program === "step") {
    const { tokenMs } = await measureWriting(device, {
      source: textOf(`bench/models/${model}.mod`),
      file: `${model}.mod`,
      set,
      weightsAs: precision.weights ?? "f32",
      weights: undefined,
      // The estimate is of a token at the context's end.
      prompt: Uint32Array.from({ length: Number(set["context"]) - WRITTEN }, (_, i) => 1 + (i % 250)),
      count: WRITTEN,
    });
    return { ms: tokenMs!, ...estimatesOf(name) };
  }
  const sessions: Session[] = [];
  const opened = async (repeat: number): Promise<() => Promise<number>> => {
    const program = compileCase({ ...given, set: { ...set, repeat } }, device.target);
    const session = await load(program, device, ({ shape }) =>
      spreadValues(product(shape), 1 / Math.sqrt(shape.at(-1) ?? 1)),
    );
    sessions.push(session);
    const inputs = inputsOf(program, given);
    const run = async (): Promise<number> => {
      const start = performance.now();
      await session.run(inputs);
      return performance.now() - start;
    };
    await run();
    return run;
  };
  try {
    const one = await opened(1);
    const repeat = Math.max(2, Math.min(MOST, Math.ceil(LONG / (await one()))));
    const many = await opened(repeat);
    const times: number[] = [];
    // Of a software device the figures mean nothing.
    for (let round = 0; round < (device.info.software ? 1 : ROUNDS); round++) {
      const single = await one();
      times.push(((await many()) - single) / (repeat - 1));
    }
    const ms = spreadOf(times).median;
    if (!(ms > 0)) throw new Error("its time is lost in the noise of waits");
    return { ms, ...estimatesOf(name) };
  } finally {
    for (const session of sessions) session.dispose();
  }
}

function inputsOf(program: Program, given: HardwareCase): Inputs {
  const sizes = resolveSizes(parseAxes(program), {
    extents: extentsOf(program, given),
    lengths: new Map(),
    live: new Map(),
  });
  const named = program.inputs.map(({ name, shape: texts }) => {
    const shape = texts.map((text) => sizes.number(sizeOfText(text)));
    return [name, { data: spreadValues(product(shape)), shape }] as const;
  });
  return Object.fromEntries(named);
}
