// `/v1/embeddings`: a vector for each text, where the model has such a result.
import { oneOf, whole } from "../../program/reader.js";
import type { Call } from "../call.js";
import { invalid } from "../errors.js";
import { leastOf, type Served } from "../options.js";
import { expectModel } from "../plan.js";
import { promptsField, tokensOf, type WirePrompt } from "../prompts.js";
import { body, readBody } from "../schema.js";

interface EmbeddingFields {
  readonly model: string;
  readonly encoding_format: "float" | "base64";
  readonly dimensions: number;
  readonly user: string;
}

const schema = body<{ readonly input: readonly WirePrompt[] }, EmbeddingFields>(
  { input: promptsField },
  {
    model: (r) => r.string(),
    encoding_format: oneOf(["float", "base64"]),
    dimensions: whole(1),
    user: (r) => r.string(),
  },
);

export async function embeddings(served: Served, call: Call, json: unknown): Promise<Response> {
  const { input, model, encoding_format: format = "float", dimensions } = readBody(json, schema);
  const { embedder, engine, limits, name } = served;
  expectModel(served, model);
  if (embedder === null) throw invalid("the model has no pooled result: it gives no embeddings", null, "no_embeddings");
  if (dimensions !== undefined && dimensions !== embedder.dimensions)
    throw invalid(`the model's embeddings have ${embedder.dimensions} dimensions, no other number`, "dimensions");
  if (input.length > limits.choices)
    throw invalid(`a request may have ${limits.choices} texts, this one has ${input.length}`, "input");
  const texts = input.map((text) => tokensOf(served, text, "input"));
  const most = leastOf(served.context, embedder.context);
  texts.forEach((text, i) => {
    if (text.length === 0) throw invalid(`text ${i} has no tokens`, "input");
    if (most !== null && text.length > most)
      throw invalid(
        `the model reads at most ${most} tokens, text ${i} has ${text.length}`,
        "input",
        "context_length_exceeded",
      );
    const wrong = text.find((token) => token >= engine.model.vocabulary);
    if (wrong !== undefined) throw invalid(`text ${i} has ${wrong}, which is no token of the model`, "input");
  });
  const vectors = await call.before(embedder.embed(texts, call.signal));
  const tokens = texts.reduce((n, text) => n + text.length, 0);
  return Response.json({
    object: "list",
    data: vectors.map((vector, index) => ({
      object: "embedding",
      index,
      embedding: format === "float" ? [...vector] : base64(vector),
    })),
    model: name,
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  });
}

/** The floats in little-endian order, as OpenAI's clients read them. */
function base64(vector: Float32Array): string {
  const bytes = new Uint8Array(4 * vector.length);
  const view = new DataView(bytes.buffer);
  vector.forEach((value, i) => view.setFloat32(4 * i, value, true));
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
