// `/v1/embeddings`: a vector for each text, where the model has such a result.
import { oneOf, whole, type Read, type Reader } from "../../../runtime/program/reader.js";
import type { Call } from "../requests/call.js";
import { invalid } from "../requests/errors.js";
import { leastOf, type Served } from "../requests/options.js";
import { expectModel } from "../requests/plan.js";
import { promptsField, tokensOf, type PromptField, type WirePrompt } from "../requests/prompts.js";
import { body, readBody } from "../requests/body.js";

interface Others {
  readonly model?: string;
  readonly encoding_format?: "float" | "base64";
  readonly dimensions?: number;
  readonly user?: string;
}

const schema = (served: Served, field: PromptField): Read<{ readonly input: readonly WirePrompt[] } & Others> =>
  body(
    { input: promptsField(served, field) },
    {
      model: (r: Reader) => r.string(),
      encoding_format: oneOf(["float", "base64"]),
      dimensions: whole(1),
      user: (r: Reader) => r.string(),
    },
  );

export async function embeddings(served: Served, call: Call, json: unknown): Promise<Response> {
  const field = { name: "input", context: leastOf(served.context, served.embedder?.context ?? null) } as const;
  const { input, model, encoding_format: format = "float", dimensions } = readBody(json, schema(served, field));
  const { embedder, name } = served;
  expectModel(served, model);
  if (embedder === null)
    throw invalid("the model has no pooled result, so it computes no embeddings", null, "no_embeddings");
  if (dimensions !== undefined && dimensions !== embedder.dimensions)
    throw invalid(
      `the model's embeddings have ${embedder.dimensions} dimensions: no other number is supported`,
      "dimensions",
    );
  const place = served.room.take(input.length);
  let vectors: readonly Float32Array[];
  let tokens: number;
  try {
    const texts = await tokensOf(served, call, input, field);
    texts.forEach((text, i) => expectTokens(served, text, i));
    tokens = texts.reduce((n, text) => n + text.length, 0);
    const computed = embedder.embed(texts, call.signal);
    place.submitted();
    vectors = await call.before(computed);
  } finally {
    place.release();
  }
  call.add({ promptTokens: tokens, cachedTokens: 0, generatedTokens: 0 });
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

function expectTokens({ engine }: Served, text: readonly number[], index: number): void {
  if (text.length === 0) throw invalid(`text ${index} has no tokens`, "input");
  const wrong = text.find((token) => token >= engine.model.vocabulary);
  if (wrong !== undefined) throw invalid(`text ${index} has ${wrong}, which is not a token of the model`, "input");
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
