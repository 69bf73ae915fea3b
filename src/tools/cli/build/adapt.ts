// `modc adapt`: writes the source of a model with adapters on some of its linear layers, and prints the line that
// trains them.
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { adaptable, adaptedSource, type AdaptedFrom } from "../../../models/families/source/adapted-source.js";
import { blocksOf } from "../../../models/opened/blocks.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { trainedTokenizer } from "../../../models/runs/trained-node.js";
import { parse } from "../../../language/syntax/parse.js";
import { listed, unmatched, weightPatterns } from "../../train/patterns.js";
import { isPrinted, writeText } from "../source/files.js";
import { printReport } from "../terminal/terminal.js";
import { type ExitCode, misuse, UserError } from "../terminal/exit.js";
import { grouped, plural } from "../terminal/units.js";
import { shellWord } from "../train/train.js";
import type { Flags } from "../tree/declare.js";
import type { weightCommands } from "../tree/weights.js";
import { expectSame } from "./import.js";

export async function adapt(opened: OpenedModel, flags: Flags<typeof weightCommands.adapt>): Promise<ExitCode> {
  const { on, rank, alpha = 2 * rank } = flags;
  const output = isPrinted(flags.output) ? null : flags.output;
  const { source, read, set } = opened;
  const from: AdaptedFrom = { source, read, set, model: flags.model ?? opened.model };
  const patterns = weightPatterns(on);
  const layers = adaptable(from);
  const without = unmatched(patterns, layers);
  if (without !== null)
    throw misuse(
      `--on ${JSON.stringify(without)} matches no linear layer of ${opened.named}`,
      layers.length === 0 ? "adapters are for Linear of the library" : `its linear layers are ${listed(layers)}`,
    );
  if (output !== null) expectImports(opened, output);
  const adapted = adaptedSource(from, {
    on: (path) => patterns.some((p) => p.test(path)),
    sizes: () => ({ rank, alpha }),
  });
  if (output !== null) {
    expectSame(output, adapted.text);
    writeText(output, adapted.text);
  }
  const { model, paths, added, text } = adapted;
  const line = output === null ? null : await trainingLine(opened, output, flags.model);
  return printReport(flags, {
    json: {
      output,
      model,
      rank,
      alpha,
      adapted: paths,
      added,
      ...(output === null ? { source: text } : { train: line }),
    },
    text:
      output === null
        ? text.trimEnd()
        : `${output}: ${model} with ${plural(paths.length, "adapter")} of rank ${rank}, ${grouped(added)} numbers\n` +
          `train them: ${line}`,
  });
}

/** The line that trains the adapters over the model's weights: in the blocks of their file, else in q4. */
async function trainingLine(opened: OpenedModel, output: string, model: string | undefined): Promise<string> {
  const blocks = await blocksOf(opened, model === undefined ? {} : { model });
  const weights = opened.run ? opened.named : (opened.weights?.place ?? null);
  const tokenizer = tokenizerOf(opened);
  const set = Object.entries(opened.set).map(([name, value]) => `--set ${shellWord(`${name}=${value}`)}`);
  return [
    ["modc train", shellWord(output), `--weights ${weights === null ? "…" : shellWord(weights)}`],
    ["--init-missing --only lora --save trained", `--weights-as ${blocks?.form ?? "q4"}`],
    tokenizer === null ? [] : [`--tokenizer ${shellWord(tokenizer)}`],
    set,
    ["--data … -o run"],
  ]
    .flat()
    .join(" ");
}

/** The path that `--tokenizer` takes; null for a model of bytes. */
function tokenizerOf({ kind, path, run }: OpenedModel): string | null {
  if (kind === "gguf") return path;
  if (run !== null) return trainedTokenizer(run);
  const file = join(path, "tokenizer.json");
  return kind === "checkpoint" && existsSync(file) ? file : null;
}

/** Throws UserError where the source imports files by paths from its folder, and is to be written to another. */
function expectImports({ source }: OpenedModel, output: string): void {
  const near = parse(source).file.imports.find(({ from }) => from.startsWith("."));
  if (near === undefined || dirname(resolve(source.file)) === dirname(resolve(output))) return;
  throw new UserError(
    `${source.file} imports ${near.from} from its folder, and ${output} is in another`,
    `write beside it: -o ${join(dirname(source.file), "adapted.mod")}`,
  );
}
