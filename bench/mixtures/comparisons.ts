// What mixtures of experts are held against, and how much of it should be left.
import { readFileSync } from "node:fs";
import { compile } from "../../src/compiler/compile.js";
import { formatDiagnostics } from "../../src/language/diagnostics/format.js";
import type { Program } from "../../src/runtime/program/program.js";
import { load, type Device } from "../../src/runtime/index.js";
import type { Limits } from "../musts.js";
import { random } from "../random.js";
import { structureOf } from "../structure.js";

const DIM = 512;
const HIDDEN = 1024;
/** Applications in a program, each to the result before: with eight, a run's cost apart from kernels counts little. */
const REPEAT = 8;
/** What a router's bias takes off the logit of an expert that nothing should choose. */
const FAR = 1000;

/** Two programs that run in turns, and what the time of the first over that of the second should be. */
export interface Comparison {
  readonly title: string;
  /** Of the ratio of times over `share`. */
  readonly limits: Limits;
  /** What the ratio of times would be if only the experts' and the layers' operations took time. */
  readonly share: number;
  readonly run: () => Promise<void>;
  readonly beside: () => Promise<void>;
  readonly dispose: () => void;
}

interface Prepared {
  readonly program: Program;
  readonly run: () => Promise<void>;
  /** The experts of each token in all applications; empty where nothing chooses. */
  readonly chosen: () => Promise<readonly number[]>;
  readonly dispose: () => void;
}

type Given = Readonly<Record<string, number | boolean>>;

/** Loads a model of the bench, its weights at random but for biases, which `bias` gives by place. */
async function prepare(
  device: Device,
  model: string,
  given: Given,
  T: number,
  bias: (place: number) => number = () => 0,
): Promise<Prepared> {
  const text = readFileSync(new URL(`../models/${model}.mod`, import.meta.url), "utf8");
  const set = Object.fromEntries(
    Object.entries({ ...given, repeat: REPEAT }).map(([name, value]) => [name, String(value)]),
  );
  const { program, diagnostics, sources } = compile(text, { file: `${model}.mod`, set, target: device.target });
  if (!program) throw new Error(formatDiagnostics(diagnostics, { sources }));
  const draws = random(7);
  const values = ({ path, shape }: { readonly path: string; readonly shape: readonly number[] }): Float32Array => {
    const length = shape.reduce((n, s) => n * s, 1);
    return Float32Array.from({ length }, (_, i) => (path.endsWith(".bias") ? bias(i) : draws.normal() * 0.03));
  };
  const session = await load(program, device, values, { max: { B: 1, T } });
  const x = { shape: [1, T, DIM], data: Float32Array.from({ length: T * DIM }, () => draws.normal()) };
  const choices = program.outputs.map((o) => o.name).filter((name) => /^moe(#\d+)?\.chosen\.index$/.test(name));
  return {
    program,
    run: async () => void (await session.run({ x }, { outputs: ["output"] })),
    chosen: async () => {
      const results = await session.run({ x }, { outputs: choices });
      return choices.flatMap((name) => Array.from(results[name]!.data as Uint32Array)); // indices are u32
    },
    dispose: () => session.dispose(),
  };
}

function comparison(
  title: string,
  limits: Limits,
  share: number,
  [own, other]: readonly [Prepared, Prepared],
): Comparison {
  const dispose = (): void => {
    own.dispose();
    other.dispose();
  };
  return { title, limits, share, run: own.run, beside: other.run, dispose };
}

/** A mixture over a dense network that does as many operations: of k times the rows. */
async function overDense(
  device: Device,
  sizes: { readonly T: number; readonly k: number; readonly hidden: number; readonly experts: number },
  limits: Limits,
): Promise<Comparison> {
  const { T, k, hidden, experts } = sizes;
  return comparison(
    `${k} of ${experts} experts, hidden ${hidden}, T = ${T}, over a dense network of ${k * T} rows`,
    limits,
    1,
    [await prepare(device, "mixture", { hidden, experts, k }, T), await prepare(device, "gated", { hidden }, T * k)],
  );
}

/** A layer with a mixture for the tokens that a router lets through, over the same for all, by their operations. */
async function staged(device: Device, T: number): Promise<Comparison> {
  const own = await prepare(device, "staged", { routed: true }, T);
  const other = await prepare(device, "staged", { routed: false }, T);
  const share = structureOf(own.program, T).flops / structureOf(other.program, T).flops;
  const title = `staged MoDE, 12.5% of the tokens, over a layer with the mixture for all, T = ${T}`;
  return comparison(title, [1.2, 1.1], share, [own, other]);
}

/** A mixture in which many choices fall on experts that do nothing, over a mixture without such choices. */
async function idle(device: Device, T: number): Promise<Comparison> {
  const experts = 8;
  const set = { hidden: HIDDEN, experts, idle: 8, k: 2 };
  const own = await prepare(device, "idle", set, T);
  const other = await prepare(device, "idle", set, T, (place) => (place < experts ? 0 : -FAR));
  const countIdle = async (of: Prepared): Promise<number> => (await of.chosen()).filter((e) => e >= experts).length;
  if ((await countIdle(other)) > 0) throw new Error("a choice fell on an expert that does nothing");
  const share = 1 - (await countIdle(own)) / (2 * T * REPEAT);
  const percent = `${(100 * (1 - share)).toFixed(1)}%`;
  const title = `${percent} of the choices on experts that do nothing, over none, T = ${T}`;
  return comparison(title, [1.1, 1.05], share, [own, other]);
}

/** In the order of the table; each is loaded when it is measured. */
export const COMPARISONS: readonly ((device: Device) => Promise<Comparison>)[] = [
  (device) => overDense(device, { T: 512, k: 2, hidden: HIDDEN, experts: 8 }, [1.25, 1.1]),
  (device) => overDense(device, { T: 1024, k: 4, hidden: 512, experts: 64 }, [1.25, 1.1]),
  (device) => staged(device, 512),
  (device) => staged(device, 2048),
  (device) => idle(device, 1024),
];
