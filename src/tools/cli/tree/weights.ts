// Commands that create weights, checkpoints and packages.
import { BLOCK_ENCODINGS } from "../../../runtime/program/encodings/block-file.js";
import { WEIGHT_TYPES } from "../../../runtime/program/target.js";
import { bytesOf } from "./arguments.js";
import * as o from "./options.js";
import { declare } from "./declare.js";
import type { AnyOption } from "./flags.js";

const ofOnnx = <O extends AnyOption>(option: O): O => {
  option.helpGroup("Of --to onnx:");
  return option;
};

export const weightCommands = {
  new: declare({
    takes: "<folder>",
    does: "write a project: a small model, a text, a page, and scripts that train, generate, build and serve",
    options: [o.json],
  }),
  init: declare({
    takes: "<file>",
    opens: true,
    does:
      "write the starting values of a model's weights; or those of a checkpoint, or of a folder, as one file and " +
      "stored otherwise",
    options: [
      o.binary("-o, --output <path>", "the safetensors file to write", "safetensors").makeOptionMandatory(true),
      o.whole(
        "--seed <n>",
        "of starting values, 0 to 4294967295 (default 0); of a folder, these instead of the weights it holds",
        0,
        0xffffffff,
      ),
      o.option(
        "--weights <path>",
        "the values of this file or checkpoint instead of the starting ones (default: those of the folder, where " +
          "the model is one that holds weights)",
      ),
      o
        .option(
          "--weights-as <type>",
          "the type in which floats are written; q8 and q4: weights of products and tables as integers with scales " +
            "(default: as the model has them)",
        )
        .choices(WEIGHT_TYPES),
      o.option("--paths", "key tensors by their paths, not by what `names` says"),
      o.set,
      o.model,
      o.json,
    ],
  }),
  import: declare({
    takes: "<checkpoint>",
    does: "write the .mod file that a checkpoint's config.json, or a GGUF file, describes",
    options: [o.printed("-o, --output <path>", "the file to write (default: print it)", null), o.json],
  }),
  quantize: declare({
    takes: "<checkpoint>",
    does: "write a checkpoint with the weights of its products and tables as integers with scales",
    options: [
      o.required("-o, --output <folder>", "the folder to write, which opens as the checkpoint does"),
      o
        .option("--weights-as <type>", "q8: integers of eight bits, 34 bytes for 32 of them; q4: of four, 18 bytes")
        .choices(BLOCK_ENCODINGS)
        .default("q8"),
      o.json,
    ],
  }),
  merge: declare({
    takes: "<run>",
    does: "write the weights of a run, or of one of its checkpoints, as one file or folder: trained and base",
    options: [
      o
        .binary(
          "-o, --output <path>",
          "the .safetensors file to write; else a folder, which opens as the run does and needs no other file",
          "safetensors",
        )
        .makeOptionMandatory(true),
      o.option(
        "--fold",
        "add the library's LoRA adapters to the weights they adapt and leave them out: the file is one of the model " +
          "with Linear in their place",
      ),
      o.json,
    ],
  }),
  convert: declare({
    takes: "<checkpoint>",
    does: "turn a dense checkpoint into a routed model that computes the same at the start",
    options: [
      o.required(
        "-o, --output <folder>",
        "the folder to write: model.mod, model.safetensors, and the tokenizer's files",
      ),
      o
        .option(
          "--mod <setting...>",
          "every=2: each second layer is routed; capacity=12.5%: what training is to come to",
        )
        .default(["every=2", "capacity=12.5%"], "every=2 capacity=12.5%"),
      o.seed,
      o.json,
    ],
  }),
  build: declare({
    takes: "<file>",
    opens: true,
    does: "write a model and its weights as a package that runs in Node and in any page, without modc",
    options: [
      o.weights,
      o.tokenizer,
      o.chatTemplate,
      o.option(
        "-o, --output <folder>",
        "the folder to write: new, empty, or an earlier build, whose files are replaced",
      ),
      o.beside(
        "--single-file <path>",
        "a page (.html) with everything in it, which works from disk; for small models that generate",
        "page",
      ),
      o.valued("--shard <bytes>", "the largest file of weights, such as 8MiB (default 16MiB)", bytesOf),
      o.option("--name <name>", "the package's name (default: the earlier build's, else the model's)"),
      o.option("--version <version>", "the package's version (default: the earlier build's, else 1.0.0)"),
      o.whole(
        "--max-batch <n>",
        "texts of several callers that are generated at once, at most (default: callers take turns)",
        2,
        1024,
      ),
      o.option("--tunings <path>", "for such a device as this file of `modc tune` was measured on (default: for any)"),
      ...o.storage,
      o.keptLive,
      ...o.compiling,
      o.json,
    ],
  }),
  export: declare({
    takes: "<file>",
    opens: true,
    does: "write a model and its weights for another engine: a folder of PyTorch or Hugging Face, or a file of ONNX",
    options: [
      o
        .required(
          "--to <engine>",
          "torch: a module with a class for each block; hf: a folder that Hugging Face's transformers open; onnx: a " +
            "graph of standard operators",
        )
        .choices(["torch", "hf", "onnx"]),
      o.weights,
      o.binary("-o, --output <path>", "the folder to write, or of ONNX the file", "onnx").makeOptionMandatory(true),
      o
        .option("--weights-as <type>", "of hf and onnx: the type in which floats are stored (default: as they are)")
        .choices(["f32", "f16", "bf16"]),
      o.tokenizer,
      o.keptLive,
      o.set,
      o.model,
      o.json,
      ofOnnx(
        o
          .option(
            "--phase <phase>",
            "how tokens are chosen: infer sees whole sequences, generate the past (default infer)",
          )
          .choices(["infer", "generate"]),
      ),
      ofOnnx(o.option("--caches", "a graph that goes on from earlier tokens: it takes past.… and gives present.…")),
      ofOnnx(
        o
          .option("--enter <function>", "the function entered: objective gives the losses (default forward)")
          .choices(["forward", "objective"]),
      ),
      ofOnnx(o.option("--lengths", "an input `lengths` says how many tokens each sequence has (default: all)")),
      ofOnnx(o.option("--observe", "what the source observes is among the results")),
      ofOnnx(
        o.option(
          "--external-data",
          "weights lie in <path>.data, beside the graph (default: where one file would exceed 2 GB)",
        ),
      ),
    ],
  }),
};
