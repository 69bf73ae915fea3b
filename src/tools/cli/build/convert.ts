// `modc convert`, `modc quantize` and `modc merge`: write a checkpoint as a routed model, with integer weights, or with
// all weights of a run.
import type { Routing } from "../../../models/families/source/decoder.js";
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { check } from "../../../language/check/check.js";
import { convertModel } from "../../../models/made/convert-node.js";
import { DISTILL_FILE } from "../../../models/families/source/distill.js";
import { CONFIG_FILE, MODEL_FILE } from "../../../models/families/files-node.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { closing } from "../../../models/open-node.js";
import { type Trained, openTrained } from "../../../models/runs/trained-node.js";
import { parseRatio } from "../../train/schedule.js";
import { splitPair, wholeNumber } from "../tree/arguments.js";
import { UserError, type ExitCode, misuse } from "../terminal/exit.js";
import { openCheckpoint, openNamed } from "../source/model-file.js";
import { printReport } from "../terminal/terminal.js";
import { shellWord } from "../train/train.js";
import { tell, tellLost } from "../source/trained.js";
import { grouped, plural } from "../terminal/units.js";
import type { Flags } from "../tree/declare.js";
import type { weightCommands } from "../tree/weights.js";
import { quantizeModel } from "../../../models/made/quantize-node.js";
import { mergeToFolder, mergeTrained } from "../../session/merge-node.js";
import { expectAllKept } from "../source/outputs.js";

export async function convert(folder: string, flags: Flags<typeof weightCommands.convert>): Promise<ExitCode> {
  const { output, mod, seed = 0, teacher = false } = flags;
  const routing = routingOf(mod);
  let dense = "";
  const done = await closing(await openCheckpoint(folder), (opened) =>
    converted(opened, (model) => {
      dense = model.weights?.place ?? folder;
      return convertModel(model, output, { routing, seed, teacher });
    }),
  );
  const schedule = `--live-schedule capacity=100%@0,${routing.capacity}@50%`;
  const next = teacher
    ? distilling(dense, output, schedule)
    : `train the new weights: modc train ${output} --only router,guess --router-lr 1e-2 ${schedule} --data … ` +
      "-o run\n" +
      "then train all weights, so that the model learns to skip layers: " +
      `modc train ${output} --weights run --data … -o …`;
  return printReport(flags, {
    json: { output, ...done, ...routing },
    text:
      `${output}: ${done.model}, ${done.routed} of ${done.layers} layers routed; ${grouped(done.added)} numbers ` +
      `of ${grouped(done.parameters)} are new\n${next}`,
  });
}

/** The line that trains the routed model to predict as the dense one does, and the line that takes it from the run. */
function distilling(dense: string, output: string, schedule: string): string {
  const file = join(output, "tokenizer.json");
  const words = [
    ["modc train", shellWord(join(output, DISTILL_FILE))],
    ["--weights", shellWord(`teacher=${dense}`), "--weights", shellWord(`student=${output}`)],
    ["--only student", schedule],
    existsSync(file) ? ["--tokenizer", shellWord(file)] : [],
  ];
  return (
    `train it to predict as its teacher does: ${words.flat().join(" ")} --data … -o run\n` +
    "then write its weights without the teacher's: modc merge run --block student -o student.safetensors, and " +
    `modc generate ${shellWord(output)} --weights student.safetensors`
  );
}

/** Calls `convert` with the model whose configuration describes the layers. Throws UserError if there is none. */
async function converted<T>(opened: OpenedModel, convert: (dense: OpenedModel) => Promise<T>): Promise<T> {
  const { run, kind, file, path } = opened;
  if (run !== null) return convertedRun(opened, run, convert);
  const hasSource = kind === "checkpoint" && existsSync(file);
  if (hasSource && !existsSync(join(path, CONFIG_FILE)))
    throw notDense(opened, `${path} has its model in ${MODEL_FILE}, but no ${CONFIG_FILE}`);
  return convert(opened);
}

/** The same of a run: the model that it was begun with, with the weights that it trained. */
async function convertedRun<T>(
  opened: OpenedModel,
  run: Trained,
  convert: (dense: OpenedModel) => Promise<T>,
): Promise<T> {
  const { file, named: path } = opened;
  const target = basename(file) === MODEL_FILE ? dirname(file) : file;
  if (target !== file && !existsSync(target))
    throw new UserError(
      `${path} trained ${target}, whose ${CONFIG_FILE} describes the layers and is missing`,
      "put it back there",
    );
  const fault = (): UserError =>
    notDense(opened, `${path} trained ${file}, which is not a folder with a ${CONFIG_FILE}`);
  if (!existsSync(target)) throw fault();
  return closing(await openNamed(target, { weights: run.path }), (dense) => {
    const hasConfig = dense.kind === "checkpoint" && existsSync(join(target, CONFIG_FILE));
    if (dense.kind !== "gguf" && !hasConfig) throw fault();
    tell(path, run);
    return convert(dense);
  });
}

/** The error for a model whose layers no configuration describes. */
function notDense({ named, source, read, set, model: name }: OpenedModel, what: string): UserError {
  const { model } = check(source, { phase: "infer", read, set, ...(name === null ? {} : { model: name }) });
  // a model with errors has no routes
  return (model?.routes.length ?? 0) > 0
    ? new UserError(`${what}: it already has routes`, `give a dense checkpoint: a folder with a ${CONFIG_FILE}`)
    : new UserError(
        `${what}: modc needs a configuration that describes the layers`,
        `write MoD around the layers in the source, and start from these weights: modc train … --weights ${named}`,
      );
}

/** Parses `every=2 capacity=12.5%`, which are the defaults. */
function routingOf(settings: readonly string[]): Routing {
  const settingsByName = new Map<string, string>();
  for (const setting of settings) {
    const [name, value] = splitPair("--mod", setting);
    if (name !== "every" && name !== "capacity")
      throw misuse(`--mod ${setting}: give every and capacity`, "--mod every=2 capacity=12.5%");
    if (settingsByName.has(name)) throw misuse(`--mod sets ${name} twice`);
    settingsByName.set(name, value.trim());
  }
  const capacity = settingsByName.get("capacity") ?? "12.5%";
  const share = parseRatio(capacity);
  if (share === null || share <= 0 || share > 1)
    throw misuse(`--mod capacity=${capacity} is not a share of the tokens`, "such as capacity=12.5%");
  return { every: wholeNumber("--mod every", settingsByName.get("every") ?? "2", 1, 1e6), capacity };
}

export async function quantize(folder: string, flags: Flags<typeof weightCommands.quantize>): Promise<ExitCode> {
  const { output, weightsAs } = flags;
  const written = (model: string, weights: string): string =>
    `modc init ${model} --weights ${weights} --weights-as ${weightsAs} -o weights.safetensors`;
  const hint = !existsSync(folder)
    ? null
    : folder.endsWith(".mod")
      ? `for a .mod file, use modc init: ${written(folder, "…")}`
      : folder.endsWith(".safetensors")
        ? `weights alone have no model: ${written("model.mod", folder)}`
        : null;
  const done = await closing(await openCheckpoint(folder, hint), (model) => {
    if (model.kind === "run")
      throw new UserError(
        `${folder} is a training run, not a checkpoint with a config.json`,
        `write its weights in blocks with modc init ${folder} --weights-as ${weightsAs} -o weights.safetensors`,
      );
    return quantizeModel(model, output, weightsAs);
  });
  return printReport(flags, {
    json: { output, weightsAs, ...done },
    text:
      `${output}: ${done.model}, ${grouped(done.quantized)} of ${grouped(done.parameters)} numbers in ${weightsAs}\n` +
      `modc generate ${output} computes with this type`,
  });
}

export async function merge(run: string, flags: Flags<typeof weightCommands.merge>): Promise<ExitCode> {
  const { output, fold, block = null } = flags;
  const trained = openTrained(run);
  if (trained === null)
    throw new UserError(
      `${run} is neither the folder of a run nor a checkpoint`,
      "give a folder that modc train wrote: modc train … -o run",
    );
  tell(run, trained);
  expectAllKept(trained.path, { described: false });
  const asFile = /\.safetensors$/i.test(output);
  if (fold && !asFile)
    throw misuse(
      `--fold writes weights for the model with Linear in place of LoRA, but ${output} is a folder ` +
        "for the run's own model",
      "give a file: -o folded.safetensors",
    );
  if (block !== null && (fold || !asFile))
    throw misuse(
      `--block writes a file of weights${fold ? ", and --fold is for the whole model" : `, but ${output} is a folder`}`,
      "modc merge run --block student -o student.safetensors",
    );
  const done = await (asFile
    ? mergeTrained(trained, output, { fold: fold ?? false, block })
    : mergeToFolder(trained, output));
  if (asFile) tellLost(trained, output);
  return printReport(flags, {
    json: { output, ...done },
    text:
      `${output}: ${plural(done.tensors, "tensor")} of ${done.model}, ${grouped(done.parameters)} numbers` +
      (fold ? `; ${plural(done.folded, "adapter")} folded` : "") +
      (asFile ? "" : `\nit opens as ${run} does, and needs no other file: modc generate ${output} --prompt "…"`),
  });
}
