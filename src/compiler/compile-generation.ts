// From text to a model that generates: the two programs that read a prompt and add tokens, compiled together.
import { once } from "../ground/base/once.js";
import { programFor, type SourceOptions } from "./compile.js";
import type { Model } from "../language/check/model/model.js";
import type { Diagnostic } from "../language/diagnostics/diagnostic.js";
import type { SourceFile } from "../language/diagnostics/span.js";
import type { Graph } from "./ir/graph.js";
import { plainAxis } from "./ir/typing.js";
import { pagesInput } from "./lower/cache-layouts.js";
import {
  ALL_LOGITS,
  COUNTS,
  SAMPLING_STATES,
  takenName,
  TOKEN_STATE,
  TOKENS,
  type GenerationGraphs,
  type GenerationOptions,
} from "./lower/generation.js";
import { SLOTS_INPUT } from "./lower/sequence-values.js";
import { numbered as distinct } from "../language/check/unroll/inspect.js";
import { PAGE, pagesOf, poolOf, SEQUENCES, SLOTS } from "../runtime/program/axes-of-generation.js";
import {
  GENERATION_FORMAT,
  GENERATION_VERSION,
  type Generation,
  type PagedGeneration,
} from "../runtime/program/generation.js";
import type { Program } from "../runtime/program/program.js";
import { portable, type Target } from "../runtime/program/target.js";
import { checkAs, graphsOf } from "./recipes.js";
import { checkTunings, expectFit } from "./schedule/tunings/file.js";
import type { Tunings } from "./schedule/tunings/index.js";
import type { Axis } from "../ground/size/axes.js";
import { chosenFrom, declaredShare } from "../ground/size/count-rules.js";
import { multiply, ONE, toNumber, type Rational } from "../ground/numerics/rational.js";

export { GenerationError } from "./lower/generation-error.js";

/** The phase is generate, the entry forward. */
export interface CompileGenerationOptions extends SourceOptions, GenerationOptions {}

export interface CompiledGeneration {
  /** Null where the source has errors. */
  readonly generation: Generation | null;
  /** The optimized graphs its programs were made from. */
  readonly graphs: GenerationGraphs | null;
  readonly model: Model | null;
  /** Errors and warnings, in order of place. */
  readonly diagnostics: readonly Diagnostic[];
  /** Every file read, and a pseudo-file for each parameter that was set. */
  readonly sources: readonly SourceFile[];
}

/** A model that generates, checked and optimized, before it is known what for. */
export interface GenerationModel extends Omit<CompiledGeneration, "generation"> {
  /** Its programs for a device; null where the source has errors. */
  readonly forTarget: ((target: Target, tunings?: Tunings) => Generation) | null;
}

/**
 * Compiles a `.mod` source to generate. Never throws for a fault of the source; throws GenerationError for a model that
 * is none of one token after another: its `forward` takes u32[B, T] and gives f32[B, T, vocabulary], and all its
 * choices are made from the token alone. The program `step` is compiled when it is first read.
 */
export function compileGeneration(source: string, options: CompileGenerationOptions = {}): CompiledGeneration {
  const tunings = options.tunings === undefined ? null : checkTunings(options.tunings);
  const target = options.target ?? tunings?.target ?? portable(options.precision);
  if (tunings) expectFit(tunings.tunings, target);
  const { forTarget, ...compiled } = generationModel(source, options);
  return { ...compiled, generation: forTarget && forTarget(target, tunings?.tunings) };
}

/**
 * As `compileGeneration`, for a target that is not known yet, or for several; `target` and `tunings` of the options
 * mean nothing.
 */
export function generationModel(source: string, options: CompileGenerationOptions = {}): GenerationModel {
  const file = { file: options.file ?? "model.mod", text: source };
  const { model, diagnostics, sources } = checkAs(file, { ...options, program: "step" });
  if (!model) return { forTarget: null, graphs: null, model: null, diagnostics, sources };
  const { generation, optimized, lowered } = graphsOf(model, { generation: options });
  const made = generation();
  const verify = { verify: options.verify ?? false };
  const step = once(() => optimized("step", verify));
  const withoutSlots = once(() =>
    graphsOf(model, { lowered: lowered(), generation: { ...options, slots: false } }).optimized("step", verify),
  );
  const graphs: GenerationGraphs = {
    ...made,
    prompt: optimized("prompt", verify),
    get step() {
      return step();
    },
  };
  const forTarget = (target: Target, tunings?: Tunings): Generation => {
    const program = (graph: Graph): Program =>
      programFor({ graph, model, sources }, target, tunings, options.precision);
    const draftOf = (name: DraftName) => (): Program => program(optimized(name, verify));
    return generationOf(made, model, program(graphs.prompt), {
      given: () => program(optimized("given", verify)),
      step: () => program(graphs.step),
      withoutSlots: () => program(withoutSlots()),
      draftOf,
    });
  };
  return { forTarget, graphs, model, diagnostics, sources };
}

type DraftName = "draft" | "verify-draft";

/** Each is called when the program is first read: the first token does not wait for it. */
interface LaterPrograms {
  readonly given: () => Program;
  readonly step: () => Program;
  readonly withoutSlots: () => Program;
  readonly draftOf: (name: DraftName) => () => Program;
}

function generationOf(
  made: GenerationGraphs,
  { routes, observes }: Pick<Model, "routes" | "observes">,
  prompt: Program,
  later: LaterPrograms,
): Generation {
  const step = once(later.step);
  const { axes } = made.prompt;
  const [root] = made.axes;
  const names = routeNames(made.axes, routes);
  const counted = new Set<string>();
  const layers = distinct(made.layers.map(({ path }) => path || "attention"));
  return {
    format: GENERATION_FORMAT,
    version: GENERATION_VERSION,
    prompt,
    get step() {
      return step();
    },
    ...(made.given && { given: later.given() }),
    input: made.input,
    ...(made.beside.length > 0 && { beside: made.beside }),
    vocabulary: made.vocabulary,
    context: axisNamed(axes, root!.axis).bound,
    batchAxis: axes.find((a) => a.role === "batch")!.name, // else there were no graphs
    tokenAxis: root!.axis,
    sequenceAxis: SEQUENCES,
    sampling: { settings: SAMPLING_STATES.settings, seeds: SAMPLING_STATES.seeds, bias: SAMPLING_STATES.bias },
    counts: COUNTS,
    axes: made.axes.map(({ axis, capacity, positions }, i) => ({
      axis,
      capacity,
      positions,
      path: names[i]!,
      expected: toNumber(expectedOf(axes, axis)),
    })),
    layers: made.layers.map(({ axis, keys, values, operands }, i) => {
      const uncounted = [keys, values, ...operands].filter((state) => !counted.has(state));
      for (const state of uncounted) counted.add(state);
      return { path: layers[i]!, axis, bytes: uncounted.reduce((n, state) => n + bytesOf(made.prompt, state), 0) };
    }),
    ...(made.recurrent.length > 0 && {
      states: made.recurrent.map((name) => ({ name, bytes: bytesOf(made.prompt, name) })),
    }),
    ...(made.loopCaches === "last" && { loopCaches: made.loopCaches }),
    ...(made.caches === "pages" && { pages: pagedOf(made, prompt, later) }),
    ...(made.choices.length > 0 && {
      choices: made.choices.map((choice) => {
        const { value } = observes.find(({ path }) => path === choice.path)!; // each comes from one
        return { ...choice, entries: Number(value.inputs[0]!.type.shape.at(-1)) };
      }),
    }),
  };
}

/** The pools and slots of a generation whose caches lie in pages. */
function pagedOf(
  { prompt: { states, inputs, outputs }, axes, draft }: GenerationGraphs,
  prompt: Program,
  { withoutSlots, draftOf }: LaterPrograms,
): PagedGeneration {
  const [step, verify] = [once(draftOf("draft")), once(draftOf("verify-draft"))];
  const hasSlots = inputs.some((i) => i.name === SLOTS_INPUT);
  const first = once(() => (hasSlots ? inFirstSlot(withoutSlots(), prompt) : null));
  return {
    get first() {
      return first();
    },
    draft: draft && {
      get step() {
        return step();
      },
      get verify() {
        return verify();
      },
      tokens: TOKENS,
    },
    page: PAGE,
    slots: hasSlots ? { axis: SLOTS, input: SLOTS_INPUT } : null,
    token: TOKEN_STATE,
    seen: SAMPLING_STATES.seen,
    allLogits: ALL_LOGITS,
    axes: axes.map(({ axis, counts }, i) => {
      const pool = poolOf(axis);
      const pooled = states.filter((s) => plainAxis(s.type.shape[0] ?? 1) === pool);
      const used = inputs.some((i) => i.name === pagesInput(axis));
      return {
        counts,
        pool: used ? pool : null,
        pages: used ? { axis: pagesOf(axis), input: pagesInput(axis) } : null,
        taken: outputs.some((o) => o.name === takenName(i)) ? takenName(i) : null,
        states: pooled.map(({ name, type: { shape } }) => ({
          name,
          bytes: shape.slice(1).reduce<number>((bytes, n) => bytes * Number(n), 4),
        })),
      };
    }),
  };
}

/**
 * A program without slots, with the states of a program that has them: its own states are their first rows, in which
 * the values of slot 0 are.
 */
const inFirstSlot = (program: Program, { axes, states }: Program): Program => ({
  ...program,
  axes: [...program.axes, ...axes.filter(({ name }) => name === SLOTS)],
  states: program.states.map((state) => ({ ...state, shape: states.find(({ name }) => name === state.name)!.shape })),
});

/** Names of the axes: empty for all tokens; for a route its path in the model, or else the path of its call. */
function routeNames([, ...chosen]: GenerationGraphs["axes"], routes: Model["routes"]): readonly string[] {
  const known = new Map(routes.map(({ axis, path }) => [axis, path]));
  return ["", ...distinct(chosen.map(({ axis, path }) => known.get(axis) ?? (path || "route")))];
}

// names come from these axes
const axisNamed = (axes: readonly Axis[], name: string): Axis => axes.find((a) => a.name === name)!;

/** The share of the model's tokens on an axis, through all the routes between. */
function expectedOf(axes: readonly Axis[], name: string): Rational {
  let share = ONE;
  for (let at: string | null = name; at !== null;) {
    const axis = axisNamed(axes, at);
    if (axis.role !== "sequence") break;
    share = multiply(share, declaredShare(axis.count) ?? ONE);
    at = chosenFrom(axis.count);
  }
  return share;
}

/** Bytes of a row of a state; kept in f32 whatever the model's dtype. */
function bytesOf(graph: Graph, state: string): number {
  const [, ...each] = graph.states.find((s) => s.name === state)!.type.shape;
  return each.reduce<number>((bytes, n) => bytes * Number(n), 4);
}
