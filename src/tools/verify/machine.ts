// Runs graphs on a device, compiled like a user's program, and on the reference interpreter, with the same inputs and
// weights.
import { emit } from "../../compiler/codegen/emit.js";
import type { Graph } from "../../compiler/ir/graph.js";
import type { Program, ProgramWeight } from "../../runtime/program/program.js";
import { evaluate, type Forced, type Evaluation } from "../../compiler/reference/evaluate.js";
import { load, type Device, type Session, type Words, initialValues } from "../../runtime/index.js";
import { schedule } from "../../compiler/schedule/schedule.js";
import type { Tunings } from "../../compiler/schedule/tunings/index.js";
import type { RunInputs, Values } from "./compare.js";

export type Weights = ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Words }>;

/** A device, and the options with which programs are compiled for it. */
export interface Machine {
  readonly device: Device;
  /** Default: the tunings of the device's class. */
  readonly tunings?: Tunings | undefined;
  /** Changes each program before it is loaded: tests use it to inject faults. */
  readonly amend?: ((program: Program) => Program) | undefined;
}

/** A program on a device. */
export interface Loaded {
  readonly program: Program;
  run(given: RunInputs): Promise<Values>;
  dispose(): void;
}

export function programOn(machine: Machine, graph: Graph): Program {
  const program = emit(schedule(graph, machine.device.target, machine.tunings));
  return machine.amend ? machine.amend(program) : program;
}

/** Compiles a graph and puts it on the device, every output observed. */
export async function loadGraph(machine: Machine, graph: Graph, weights: Weights): Promise<Loaded> {
  const program = programOn(machine, graph);
  const session: Session = await load(
    program,
    machine.device,
    (weight: ProgramWeight) => weights.get(weight.path)!.data,
    {},
  );
  return {
    program,
    async run({ inputs, lengths }) {
      const results = await session.run(
        new Map([...inputs].map(([name, { shape, data }]) => [name, { shape, data: Array.from(data) }])),
        lengths ? { observe: true, lengths } : { observe: true },
      );
      return new Map(program.outputs.map(({ name }) => [name, results[name]!]));
    },
    dispose: () => session.dispose(),
  };
}

/** Evaluates a graph on the reference interpreter, in f64. `forced`: choices that replace the interpreter's own. */
export function evaluateGraph(graph: Graph, given: RunInputs, weights: Weights, forced: Forced = {}): Evaluation {
  return evaluate(graph, {
    inputs: given.inputs,
    weights,
    ...(given.lengths ? { lengths: given.lengths } : {}),
    ...forced,
  });
}

// Random weights for testing a model without a checkpoint. With them, every part of the model affects the results.

/**
 * Initial values for training include zeros, which would hide faults. These weights are normally distributed: matrices
 * are scaled to keep the magnitude of activations, weights that training initializes with ones are around 1. Equal
 * seeds give equal weights.
 */
export const nonDegenerateWeights = (weights: readonly ProgramWeight[], seed: number): Weights =>
  new Map(
    weights.map((weight) => {
      const { path, shape, init } = weight;
      const inner = Math.min(...shape.slice(-2));
      const std = shape.length < 2 ? 0.2 : 1 / Math.sqrt(Math.max(1, inner));
      const data = initialValues({ ...weight, init: { kind: "normal", std } }, seed);
      return [path, { shape, data: init.kind === "ones" ? data.map((v) => 1 + v) : data }] as const;
    }),
  );
