// `modc convert`: turns a dense checkpoint into a routed model that computes the same at the start.
import type { Routing } from "../../../models/families/decoder-source.js";
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { check } from "../../../language/check/check.js";
import { convertFolder } from "../../../models/made/convert-node.js";
import { CONFIG_FILE, MODEL_FILE } from "../../../models/families/files-node.js";
import { isGgufPath } from "../../../runtime/weights/gguf/header-node.js";
import { openTrained } from "../../../models/runs/trained-node.js";
import { parseRatio } from "../../train/schedule.js";
import { splitPair, wholeNumber } from "../tree/arguments.js";
import { hubHint } from "../source/not-source.js";
import { EXIT, UserError, type ExitCode } from "../terminal/exit.js";
import { folderOf, modelText } from "../source/model-file.js";
import { out, outJson } from "../terminal/terminal.js";
import { tell } from "../source/trained.js";
import { grouped } from "../terminal/units.js";
import type { Flags } from "../tree/declare.js";
import type { weightCommands } from "../tree/weights.js";

export async function convert(
  folder: string,
  { output, mod, seed = 0, json }: Flags<typeof weightCommands.convert>,
): Promise<ExitCode> {
  if (folderOf(folder) === null)
    throw new UserError(
      `${folder} is neither a folder nor a GGUF file`,
      hubHint(folder) ?? "give a checkpoint's folder, with config.json, or a file whose name ends with .gguf",
    );
  const routing = routingOf(mod);
  const { folder: dense, ...weights } = await denseOf(folder);
  const done = await convertFolder(dense, output, { routing, seed, ...weights });
  if (json) outJson({ output, ...done, ...routing });
  else
    out(
      `${output}: ${done.model}, ${done.routed} of ${done.layers} layers routed; ${grouped(done.added)} numbers ` +
        `of ${grouped(done.parameters)} are new\n` +
        `train what is new: modc train ${output} --only router,guess --lr 1e-2 --live-schedule ` +
        `capacity=100%@0,${routing.capacity}@50% --data … -o run\n` +
        "then all weights, since layers were not trained to be skipped: " +
        `modc train ${output} --weights run --data … -o …`,
    );
  return EXIT.fine;
}

/**
 * The folder or GGUF file whose configuration describes the layers, and the weights if a run has trained others. Throws
 * UserError for any other model.
 */
async function denseOf(path: string): Promise<{ readonly folder: string; readonly weights?: string }> {
  const trained = openTrained(path);
  const model = trained?.source.file ?? join(path, MODEL_FILE);
  if (trained !== null && isGgufPath(model) && existsSync(model)) {
    tell(path, trained);
    return { folder: model, weights: trained.path };
  }
  const folder = dirname(model);
  const ofFolder = trained === null || basename(model) === MODEL_FILE;
  if (ofFolder && existsSync(join(folder, CONFIG_FILE))) {
    if (trained !== null) tell(path, trained);
    return { folder, ...(trained === null ? {} : { weights: trained.path }) };
  }
  if (trained === null && !existsSync(model)) return { folder: path }; // no checkpoint: reading it reports the error
  if (ofFolder && !existsSync(folder))
    throw new UserError(
      `${path} trained ${folder}, whose ${CONFIG_FILE} says what its layers are, and which is gone`,
      "put it back there",
    );
  const what =
    trained === null
      ? `${path} has its model in ${MODEL_FILE}, and no ${CONFIG_FILE}`
      : `${path} trained ${model}, which is no folder with a ${CONFIG_FILE}`;
  if (await isRouted(path))
    throw new UserError(
      `${what}: it is routed already`,
      `dense checkpoints are converted: folders with a ${CONFIG_FILE}`,
    );
  throw new UserError(
    `${what}: what its layers are is known of those alone`,
    `write MoD around the layers in the source, and begin from these weights: modc train … --weights ${path}`,
  );
}

/** Whether the model has routes; false for a model with errors. */
async function isRouted(path: string): Promise<boolean> {
  const trained = openTrained(path);
  const { source, read } = await modelText(path);
  const { model } = check(source, {
    phase: "infer",
    read,
    ...(trained && { set: trained.set, model: trained.manifest.model }),
  });
  return (model?.routes.length ?? 0) > 0;
}

/** Parses `every=2 capacity=12.5%`, which are the defaults. */
function routingOf(settings: readonly string[]): Routing {
  const given = new Map<string, string>();
  for (const setting of settings) {
    const [name, value] = splitPair("--mod", setting);
    if (name !== "every" && name !== "capacity")
      throw new UserError(`--mod ${setting}: it takes every and capacity`, "--mod every=2 capacity=12.5%", EXIT.usage);
    if (given.has(name)) throw new UserError(`--mod gives ${name} twice`, null, EXIT.usage);
    given.set(name, value.trim());
  }
  const capacity = given.get("capacity") ?? "12.5%";
  const share = parseRatio(capacity);
  if (share === null || share <= 0 || share > 1)
    throw new UserError(`--mod capacity=${capacity} is no share of the tokens`, "such as capacity=12.5%", EXIT.usage);
  return { every: wholeNumber("--mod every", given.get("every") ?? "2", 1, 1e6), capacity };
}
