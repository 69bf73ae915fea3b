// `modc convert`: turns a dense checkpoint into a routed model that computes the same at the start.
import type { Routing } from "../../huggingface/decoder-source.js";
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { convertFolder } from "../../huggingface/convert-node.js";
import { CONFIG_FILE, MODEL_FILE } from "../../huggingface/files-node.js";
import { openTrained, type Trained } from "../../session/trained-node.js";
import { parseRatio } from "../../train/schedule.js";
import { seedOf, splitPair, wholeNumber } from "../arguments.js";
import { EXIT, UserError, type ExitCode } from "../exit.js";
import { folderOf } from "../model-file.js";
import { out, outJson } from "../terminal.js";
import { grouped } from "../units.js";

export interface ConvertFlags {
  readonly output: string;
  readonly mod: readonly string[];
  readonly seed?: string;
  readonly json?: boolean;
}

export async function convert(folder: string, { output, mod, seed, json }: ConvertFlags): Promise<ExitCode> {
  if (folderOf(folder) === null) throw new UserError(`${folder} is no folder`, "give a checkpoint's folder, with config.json", EXIT.usage);
  const routing = routingOf(mod);
  const trained = openTrained(folder);
  const dense = trained === null ? folder : denseFolder(folder, trained);
  const done = await convertFolder(dense, output, { routing, seed: seedOf(seed), ...(trained === null ? {} : { weights: trained.path }) });
  if (json) outJson({ output, ...done, ...routing });
  else
    out(
      `${output}: ${done.model}, ${done.routed} of ${done.layers} layers routed; ${grouped(done.added)} numbers of ${grouped(done.parameters)} are new\n` +
        `train what is new: modc train ${output} --only router,guess --live-schedule capacity=100%@0,${routing.capacity}@50% --data … -o …`,
    );
  return EXIT.fine;
}

/** The folder whose model a run trained: its config.json says what the layers are, the run has their weights. Throws UserError for a run of another model. */
function denseFolder(path: string, { source }: Trained): string {
  const folder = dirname(source.file);
  if (basename(source.file) === MODEL_FILE && existsSync(join(folder, CONFIG_FILE))) return folder;
  throw new UserError(
    `${path} trained ${source.file}, which is no folder with a config.json: what its layers are is known of those alone`,
    `write MoD around the layers in the source, and begin from these weights: modc train … --weights ${path}`,
  );
}

/** `every=2 capacity=12.5%`; what is not given is so. */
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
