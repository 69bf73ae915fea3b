// The tokens and the logits of a graph that computes a language model.
import { tokensAmong } from "../../language/check/model/text-inputs.js";
import { printShape } from "../ir/typing.js";
import { equalSizes } from "../../ground/size/size.js";
import { typeOf, type Graph, type GraphInput, type GraphOutput } from "../ir/graph.js";
import { GenerationError } from "./generation-error.js";

/** The name of the result with the logits, if there are several. */
export const LOGITS = "logits";

/** The input of tokens, the logits, and further inputs. */
interface LanguageModel {
  readonly input: GraphInput;
  readonly result: GraphOutput;
  readonly vocabulary: number;
}

/**
 * The single input, u32[B, T] or i32[B, T], and the logits, f32[B, T, vocabulary], of the graph of `forward`. Throws
 * GenerationError for any other graph; `what` names the model in its message: "a model that generates".
 */
export function languageModel(graph: Graph, what: string): LanguageModel {
  const [input, more] = graph.inputs;
  if (!input || more)
    throw new GenerationError(
      `${what} has one input, its tokens, but this one has ${graph.inputs.map((i) => i.name).join(", ") || "none"}`,
    );
  return withLogits(graph, input, what);
}

/** The same of a graph that may have further inputs: the tokens are along the axis of the logits. */
export function decoderOf(graph: Graph, what: string): LanguageModel {
  const result = logitsOf(graph, what);
  const along = graph.inputs.filter(({ packing }) => packing !== null && packing.axis === result.packing?.axis);
  const name = tokensAmong(
    along.map(({ name: input, shape, node }) => ({ name: input, dtype: node.attrs.dtype, rank: shape.length })),
  );
  const tokens = along.find((input) => input.name === name) ?? graph.inputs[0];
  if (!tokens) throw new GenerationError(`${what} has an input of tokens, but this one has none`);
  return withLogits(graph, tokens, what);
}

function withLogits(graph: Graph, input: GraphInput, what: string): LanguageModel {
  const { dtype } = input.node.attrs;
  if ((dtype !== "u32" && dtype !== "i32") || input.shape.length !== 2 || input.packing?.tokenDim !== 1)
    throw new GenerationError(
      `${what} has an input u32[B, T], its tokens; the input ${input.name} of this one is ` +
        `${dtype}${printShape(input.shape)}`,
      "`modc run --input` computes a model of any inputs, `modc eval` its loss",
    );
  const result = logitsOf(graph, what);
  const vocabulary = result.shape.at(-1);
  const along =
    result.packing?.axis === input.packing.axis &&
    result.packing.tokenDim === 1 &&
    equalSizes(result.shape[0]!, input.shape[0]!);
  if (result.shape.length !== 3 || typeof vocabulary !== "number" || !along || typeOf(result.node).dtype !== "f32")
    throw new GenerationError(
      `the result ${result.name} of ${what} is f32[B, T, vocabulary], logits of the token that comes next`,
    );
  return { input, result, vocabulary };
}

function logitsOf(graph: Graph, what: string): GraphOutput {
  const results = graph.outputs.filter((o) => o.role === "result");
  const result = results.find((o) => o.name === LOGITS) ?? (results.length === 1 ? results[0] : undefined);
  if (!result)
    throw new GenerationError(
      `${what} returns logits: rename a result to logits; it has ${results.map((o) => o.name).join(", ")}`,
    );
  return result;
}
