// Specs of sampling the next token, and of marking the tokens seen.
import { SAMPLING_COLUMNS } from "../../../ground/numerics/sampling.js";
import type { Size } from "../../../ground/size/size.js";
import type { Step } from "../plan/plan.js";
import { standingIn } from "./cases.js";
import { input, KernelBuilder, result, typeAt, work, type Operand, type Spec } from "./spec.js";

/** Invocations that share a sequence, and bins of a histogram of 8 bits. */
const SAMPLE_LANES = 256;

const sample: Spec<"sample"> = ({ inputs, extents, tunings }) => {
  const [sequences, vocabulary] = typeAt(inputs, 0).shape;
  const words = typeAt(inputs, 5).shape[1]!;
  const { wide = false, sampling = null } = tunings.reductions;
  const kernel = new KernelBuilder(sampling === null ? "sample" : "sample_wide", extents)
    .holdsMany()
    .read("logits", "u32", input(0))
    .read("settings", "f32", input(1))
    .read("seeds", "u32", input(2));
  kernel.read("positions", "u32", input(3)).read("bias", "u32", input(4)).read("seen", "u32", input(5));
  kernel
    .write("tokens", "u32", result(0))
    .write("logProbabilities", "u32", result(1))
    .constant("LANES", sampling === null ? SAMPLE_LANES : lanesOf(vocabulary!, sampling));
  kernel.count("sequences", sequences!).count("vocabulary", vocabulary!).count("words", words);
  SAMPLING_COLUMNS.forEach((name, i) =>
    kernel.function(`fn ${name}(b: u32) -> f32 { return settings[b * ${SAMPLING_COLUMNS.length}u + ${i}u]; }`),
  );
  const greedy = new KernelBuilder(wide ? "sample_greedy_wide" : "sample_greedy", extents);
  greedy.read("logits", "u32", input(0)).write("tokens", "u32", result(0)).write("logProbabilities", "u32", result(1));
  if (!wide) greedy.constant("LANES", GREEDY_LANES);
  greedy.count("sequences", sequences!).count("vocabulary", vocabulary!);
  return work([
    standingIn(greedy.dispatch(sequences!), 1, { kind: "promised", promise: "greedy" }),
    kernel.dispatch(sequences!),
  ]);
};

/** Logits that a lane has in flight. */
const AT_ONCE = 8;

/** Lanes of a sequence's sampling on a GPU: more for a large vocabulary, if the device has them. */
const lanesOf = (vocabulary: Size, most: number): number =>
  typeof vocabulary === "number" && vocabulary > AT_ONCE * SAMPLE_LANES ? most : SAMPLE_LANES;

/** Invocations that share a sequence in greedy sampling. */
const GREEDY_LANES = 64;

/** Invocations that share a sequence: prompts are long, steps a token. */
const MARK_LANES = 64;

const mark: Spec<"mark"> = ({ inputs, extents, places, inPlace }) => {
  const seen = typeAt(inputs, 0);
  const [sequences, words] = seen.shape;
  const kernel = new KernelBuilder("mark", extents).read("tokens", "u32", input(places[1]!));
  if (inputs.length === 3)
    kernel.read("starts", "u32", input(places[2]!)).function("fn first(b: u32) -> u32 { return starts[b]; }");
  else kernel.function("fn first(b: u32) -> u32 { return b; }");
  kernel
    .write("seen", "atomic<u32>", result())
    .constant("LANES", MARK_LANES)
    .count("sequences", sequences!)
    .count("words", words!);
  const copy: readonly Step<Operand>[] = inPlace[0]
    ? []
    : [{ kind: "copy", from: input(places[0]!), to: result(), bytes: extents.bytes(seen) }];
  return work([...copy, kernel.dispatch(sequences!)]);
};

export const samplingSpecs = { sample, mark };
