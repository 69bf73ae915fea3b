// Encoders, heads and the files of sentence-transformers: modc reads their fields, or refuses them by name.
import { describe, expect, it } from "vitest";
import { check } from "../../../../src/language/check/check.js";
import { parseSentences } from "../../../../src/models/families/sentences.js";
import { decoderSource } from "../../../../src/models/families/source/decoder.js";
import { read, refuses } from "./configs.js";
import type { Config } from "../folders.js";

const SIZES: Config = {
  vocab_size: 10,
  hidden_size: 256,
  intermediate_size: 8,
  num_hidden_layers: 4,
  num_attention_heads: 4,
};
const BERT: Config = { ...SIZES, model_type: "bert", architectures: ["BertModel"] };
const LLAMA: Config = { ...SIZES, model_type: "llama", architectures: ["LlamaForSequenceClassification"] };

describe("an encoder", () => {
  it("has the defaults of its configuration class", () => {
    const { architectures: _, ...bare } = BERT;
    expect(read(bare)).toMatchObject({
      activation: "gelu",
      eps: 1e-12,
      context: 512,
      types: 2,
      head: { kind: "features", architecture: "BertModel", pooling: "first" },
    });
  });

  it("sees half of local_attention on each side, itself besides, but in every third layer", () => {
    expect(read({ ...SIZES, model_type: "modernbert" })).toMatchObject({
      context: 8192,
      eps: 1e-5,
      windows: [0, 65, 65, 0],
      rotation: { main: { theta: 160_000 }, local: { theta: 10_000 }, layers: ["main", "local", "local", "main"] },
      norm: { kind: "layer", bias: false },
      head: { kind: "features", transform: null, pooling: "first" },
    });
  });

  it("has fewer tokens than positions if those of padding come first", () => {
    const roberta: Config = { ...SIZES, model_type: "roberta", max_position_embeddings: 514 };
    expect(read(roberta)).toMatchObject({ context: 512, learned: { count: 514, offset: 2 } });
    expect(read({ ...roberta, pad_token_id: 0 }).context).toBe(513);
  });

  it("is a text that is read in every phase but generation", () => {
    const text = decoderSource(read({ ...BERT, architectures: ["BertForSequenceClassification"] }));
    const found = (phase: "infer" | "train" | "generate") =>
      check({ file: "model.mod", text }, { phase, read: () => null }).diagnostics.map(({ code }) => code);
    expect(found("infer")).toEqual([]);
    expect(found("train")).toEqual([]);
    expect(found("generate")).not.toEqual([]);
  });

  it("has a part of its head from a number or a list of labels", () => {
    expect(read(LLAMA).head).toMatchObject({ kind: "labels", labels: 2, loss: "classes", pooling: "last" });
    expect(read({ ...LLAMA, num_labels: 1 }).head).toMatchObject({ labels: 1, loss: "values" });
    expect(read({ ...LLAMA, id2label: { 0: "a", 1: "b", 2: "c" } }).head).toMatchObject({ labels: 3 });
  });

  refuses([
    ["a decoder", { ...BERT, is_decoder: true }, "is_decoder is true: modc reads this family as an encoder"],
    ["cross-attention", { ...BERT, add_cross_attention: true }, "add_cross_attention is true: modc reads this family"],
    [
      "distances in the keys",
      { ...BERT, position_embedding_type: "relative_key" },
      'position_embedding_type is "relative_key": modc reads tables of positions alone',
    ],
    [
      "a head of spans",
      { ...BERT, architectures: ["BertForQuestionAnswering"] },
      "modc reads BertModel, BertForSequenceClassification, BertForMaskedLM",
    ],
    [
      "a masked language model with a table of its own",
      { ...BERT, architectures: ["BertForMaskedLM"], tie_word_embeddings: false },
      "tie_word_embeddings is false: modc reads this head with a tied table",
    ],
    [
      "positions for padding alone",
      { ...SIZES, model_type: "roberta", max_position_embeddings: 2 },
      "max_position_embeddings is 2: it leaves no position for a token",
    ],
    [
      "one base for a family with two",
      { ...SIZES, model_type: "modernbert", rope_theta: 10000 },
      "rope_theta is 10000: this family has global_rope_theta and local_rope_theta",
    ],
    [
      "another pooling",
      { ...SIZES, model_type: "modernbert", classifier_pooling: "max" },
      'classifier_pooling is "max": modc knows cls and mean',
    ],
    ["another loss", { ...LLAMA, problem_type: "ranking" }, 'problem_type is "ranking": modc knows regression'],
    [
      "loops with a head",
      { ...SIZES, model_type: "ouro", architectures: ["OuroModel"], num_key_value_heads: 4 },
      "modc reads looped layers as a decoder",
    ],
  ]);
});

describe("the modules of sentence-transformers", () => {
  const module = (type: string, path = ""): object => ({ type: `sentence_transformers.models.${type}`, path });
  const POOLING = [module("Transformer"), module("Pooling", "1_Pooling")];
  const MEAN = { pooling_mode_mean_tokens: true, pooling_mode_cls_token: false };
  const parse = (modules: unknown, pooling: Config = MEAN) =>
    parseSentences(JSON.stringify(modules), "modules.json", (path) => ({
      text: JSON.stringify(pooling),
      file: `${path}/config.json`,
    }));

  it("are a pooling and perhaps a norm", () => {
    expect(parse(POOLING)).toEqual({ pooling: "mean", unit: false });
    expect(parse([...POOLING, module("Normalize")], { pooling_mode_lasttoken: true })).toEqual({
      pooling: "last",
      unit: true,
    });
  });

  it.each([
    ["no list", {}, MEAN, "modules.json is not a JSON list"],
    ["an entry that is none", [1], MEAN, "modules.json has an entry 0 that is not an object"],
    ["no type", [{ path: "" }], MEAN, "modules.json has no 0.type"],
    [
      "a dense module",
      [...POOLING, module("Dense")],
      MEAN,
      "lists the modules Transformer, Pooling, Dense: modc reads",
    ],
    ["a folder outside", [POOLING[0], module("Pooling", "../x")], MEAN, '1.path is "../x": it must be a folder beside'],
    ["two poolings", POOLING, { ...MEAN, pooling_mode_max_tokens: true }, "pooling_mode_mean_tokens is true too"],
    ["the largest values", POOLING, { pooling_mode_max_tokens: true }, "pooling_mode_max_tokens is true: modc knows"],
    ["no pooling", POOLING, {}, "1_Pooling/config.json has no pooling_mode_…: true"],
  ] as const)("refuses %s", (_, modules, pooling, message) => {
    expect(() => parse(modules, pooling)).toThrow(
      expect.objectContaining({
        name: "CheckpointError",
        message: expect.stringContaining(message) as string,
      }) as Error,
    );
  });
});
