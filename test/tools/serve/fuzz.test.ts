// Whatever JSON a client sends, it is answered: by a text, or by an error that says what is wrong.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cases, seedOf } from "../../soak.js";
import { ask, scripted } from "./asked.js";

const BASES: readonly (readonly [string, object])[] = [
  ["/v1/completions", { prompt: "x" }],
  ["/v1/chat/completions", { messages: [{ role: "user", content: "x" }] }],
  ["/v1/responses", { input: [{ role: "user", content: "x" }] }],
  ["/v1/embeddings", { input: "x" }],
  ["/tokenize", { prompt: "x" }],
  ["/detokenize", { tokens: [65] }],
];
const FIELDS = [
  ..."prompt messages input tokens content model n max_tokens max_completion_tokens temperature".split(" "),
  ..."top_p top_k min_p repetition_penalty presence_penalty frequency_penalty logit_bias seed stop".split(" "),
  ..."ignore_eos stream stream_options user modc logprobs top_logprobs echo suffix best_of tools".split(" "),
  ..."instructions max_output_tokens tool_choice previous_response_id store response_format __proto__".split(" "),
];

const number = fc.oneof(
  fc.integer({ min: -2, max: 70 }),
  fc.double(),
  fc.constantFrom(0, -0, 1e308, 2 ** 53, -(2 ** 53), 4294967296, 1e-5),
);
const text = fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom("", "moby", "Call me", "\ud800", "\u0000", "{{"));
const message = fc.record({ role: fc.oneof(fc.constantFrom("user", "system"), text), content: text });
const value: fc.Arbitrary<unknown> = fc.oneof(
  number,
  text,
  fc.boolean(),
  fc.constant(null),
  fc.array(fc.oneof(number, text, fc.array(fc.nat(300), { maxLength: 4 })), { maxLength: 4 }),
  fc.array(message, { maxLength: 3 }),
  fc.dictionary(fc.constantFrom("65", "-1", "routes", "live", "include_usage", "type"), fc.oneof(number, fc.boolean())),
  fc.jsonValue({ maxDepth: 3 }),
);
/** A request that makes sense, with a few fields that may not; or anything. */
const request = fc
  .tuple(
    fc.constantFrom(...BASES),
    fc.array(fc.tuple(fc.constantFrom(...FIELDS), value), { maxLength: 2 }),
    fc.option(fc.json(), { freq: 8 }),
  )
  .map(([[path, base], fields, other]) => ({
    path,
    json: other ?? JSON.stringify(Object.fromEntries([...Object.entries(base), ...fields])),
  }));

describe("any JSON", () => {
  it("is answered, and leaves nothing under way", async () => {
    const embedder = {
      dimensions: 1,
      context: 64,
      embed: async (texts: readonly unknown[]) => texts.map(() => Float32Array.of(1)),
    };
    const { server, engine } = scripted("Ishmael ✓. ", { embedder });
    const statuses = new Map<number, number>();
    await fc.assert(
      fc.asyncProperty(request, async ({ path, json }) => {
        const { status, text: reply, json: parsed } = await ask(server, path, json);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        expect([200, 400, 404]).toContain(status);
        if (status === 200)
          expect(/(?:data: \[DONE\]|event: response\.\w+\ndata: .*)\n\n$/.test(reply) || parsed !== null).toBe(true);
        else {
          expect(Object.keys(parsed.error)).toEqual(["message", "type", "param", "code"]);
          expect(parsed.error.message).not.toMatch(/undefined|\[object|internal/);
        }
        expect([server.active, engine.active]).toEqual([0, 0]);
      }),
      { numRuns: cases(1200), seed: seedOf(16) },
    );
    expect(statuses.get(200)).toBeGreaterThan(10);
    expect(statuses.get(400)).toBeGreaterThan(10);
  });
});
