// Commands that create weights, checkpoints and packages.
import { BLOCK_ENCODINGS } from "../../../runtime/program/encodings/block-file.js";
import { WEIGHT_TYPES } from "../../../runtime/program/target.js";
import { bytesOf, positiveNumber } from "./arguments.js";
import * as o from "./options.js";
import { declare, type AnyOption } from "./declare.js";

const ofOnnx = <O extends AnyOption>(option: O): O => {
  option.helpGroup("With --to onnx:");
  return option;
};

export const weightCommands = {
  new: declare({
    takes: "<folder>",
    does: "create a project: a small model, a text, a page, and scripts that train, generate, build and serve",
    options: [o.json],
  }),
  init: declare({
    takes: "<file>",
    opens: true,
    does: "write a model's starting weights to a file, or copy those of a checkpoint or folder, also as another type",
    options: [
      o.binary("-o, --output <path>", "safetensors file to write", "safetensors").makeOptionMandatory(true),
      o.seedOf("seed for starting weights, 0 to 4294967295 (default 0), also in place of a folder's own weights"),
      o.weightsFrom(
        "weights to write instead of starting weights: a file or checkpoint (default: those of <file>, if it is a " +
          "folder with weights)",
      ),
      o.choice(
        "--weights-as <type>",
        WEIGHT_TYPES,
        "type to write floats in; q8 and q4: matrices and embeddings as integers with scales " +
          "(default: the model's types)",
      ),
      o.option("--paths", "name tensors by their paths, not by the model's `names`"),
      o.set,
      o.model,
      o.json,
    ],
  }),
  import: declare({
    takes: "<checkpoint>",
    does: "write the .mod file for a checkpoint's config.json or a GGUF file",
    options: [o.printed("-o, --output <path>", "file to write (default: print it)", null), o.json],
  }),
  adapt: declare({
    takes: "<file>",
    opens: true,
    does: "write a model as a .mod file with LoRA adapters on some linear layers, and print the line that trains it",
    options: [
      o.required(
        "--on <patterns>",
        "linear layers to adapt: paths or parts of paths such as attn.{q,v}, separated by commas; * is any characters",
      ),
      o.whole("--rank <n>", "rank of the adapters", 1, 65_536).default(8),
      o.valued("--alpha <x>", "adapters count alpha / rank (default: twice the rank)", positiveNumber),
      o.printed("-o, --output <path>", "file to write (default: print it)", null),
      o.model,
      o.json,
    ],
  }),
  quantize: declare({
    takes: "<checkpoint>",
    does: "write a checkpoint with its matrices and embeddings as integers with scales",
    options: [
      o.required("-o, --output <folder>", "folder to write; it can be used like the checkpoint"),
      o
        .choice(
          "--weights-as <type>",
          BLOCK_ENCODINGS,
          "type to write; q8: 8-bit integers, 34 bytes for 32 weights; q4: 4-bit integers, 18 bytes",
        )
        .default("q8"),
      o.json,
    ],
  }),
  merge: declare({
    takes: "<run>",
    does: "write all weights of a run or checkpoint, trained and base, as one file or folder",
    options: [
      o
        .binary(
          "-o, --output <path>",
          "file (.safetensors) or folder to write; a folder can be used like the run, and needs no other file",
          "safetensors",
        )
        .makeOptionMandatory(true),
      o.option(
        "--fold",
        "add the library's LoRA adapters to the weights they adapt: the result fits the model with Linear in their " +
          "place",
      ),
      o.option("--block <path>", "write the weights of one block alone, under the keys of the model that stands there"),
      o.json,
    ],
  }),
  convert: declare({
    takes: "<checkpoint>",
    does: "turn a dense checkpoint into a routed model that computes the same before training",
    options: [
      o.required("-o, --output <folder>", "folder to write: model.mod, model.safetensors, and the tokenizer's files"),
      o
        .option(
          "--mod <setting...>",
          "settings of the routes; every=2: route every second layer; capacity=12.5%: capacity at the end of training",
        )
        .default(["every=2", "capacity=12.5%"], "every=2 capacity=12.5%"),
      o.option(
        "--teacher",
        "also write distill.mod, which trains the routed model to predict as the dense one does, and its teacher.mod",
      ),
      o.seed,
      o.json,
    ],
  }),
  build: declare({
    takes: "<file>",
    opens: true,
    does: "write a model and its weights as a package that runs in Node and in any web page, without modc",
    options: [
      o.weights,
      o.tokenizer,
      o.chatTemplate,
      o.option("-o, --output <folder>", "folder to write: new, empty, or an earlier build, whose files are replaced"),
      o.beside(
        "--single-file <path>",
        "page (.html) to write, with everything in it; it works from disk; for small models that generate",
        "page",
      ),
      o.valued("--shard <bytes>", "largest size of a weight file, such as 8MiB (default 16MiB)", bytesOf),
      o.option("--name <name>", "name of the package (default: the earlier build's, else the model's)"),
      o.option("--version <version>", "version of the package (default: the earlier build's, else 1.0.0)"),
      o.whole("--max-batch <n>", "most requests to generate for at once (default: requests take turns)", 2, 1024),
      o.option(
        "--tunings <path>",
        "build for the kind of device that this file of `modc tune` was measured on (default: any)",
      ),
      ...o.storage,
      o.keptLive,
      ...o.compiling,
      o.json,
    ],
  }),
  export: declare({
    takes: "<file>",
    opens: true,
    does: "write a model and its weights for another engine: a PyTorch or Hugging Face folder, or an ONNX file",
    options: [
      o
        .required(
          "--to <engine>",
          "engine to write for; torch: a module with a class for each block; hf: a folder for Hugging Face's " +
            "transformers; peft: the LoRA adapters alone, for PEFT; onnx: a graph of standard operators",
        )
        .choices(["torch", "hf", "peft", "onnx"]),
      o.weights,
      o.binary("-o, --output <path>", "folder to write; for onnx: the file", "onnx").makeOptionMandatory(true),
      o.choice(
        "--weights-as <type>",
        ["f32", "f16", "bf16"],
        "type to store floats in, for hf and onnx (default: unchanged)",
      ),
      o.tokenizer,
      o.keptLive,
      o.set,
      o.model,
      o.json,
      ofOnnx(
        o.choice(
          "--phase <phase>",
          ["infer", "generate"],
          "rule by which layers choose tokens; infer sees whole sequences, generate the past (default infer)",
        ),
      ),
      ofOnnx(
        o.option("--caches", "write a graph that continues from earlier tokens: inputs past.…, outputs present.…"),
      ),
      ofOnnx(
        o.choice(
          "--enter <function>",
          ["forward", "objective"],
          "function to export; objective returns the losses (default forward)",
        ),
      ),
      ofOnnx(o.option("--lengths", "add an input `lengths`: the number of tokens of each sequence (default: all)")),
      ofOnnx(o.option("--observe", "add the values that the source observes to the results")),
      ofOnnx(
        o.option(
          "--external-data",
          "write the weights to <path>.data, next to the graph (default: only if one file would exceed 2 GB)",
        ),
      ),
    ],
  }),
};
