// A model that scores texts for a command: its programs on a device, its tokenizer, and the lines that are read.
import { createHash } from "node:crypto";
import { rowsOf, rowsOfLines, type DataRow } from "../../train/rows-node.js";
import { findSources } from "../../train/sources-node.js";
import { Passes } from "../../train/scoring/passes.js";
import { scoringModel, type ScoringModel } from "../../train/scoring/scored.js";
import type { TextLimits } from "../../train/scoring/texts.js";
import { TrainError } from "../../train/errors.js";
import type { Rule } from "../../train/types.js";
import { tokenizerFor } from "../../session/prepared-node.js";
import type { Score } from "../../../compiler/lower/scored.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { openDevice, type Device, type Session } from "../../../runtime/index.js";
import { onDevice } from "../run/execute.js";
import { wantedDevice } from "../source/device.js";
import { readBytes, STDIN, STDIN_NAME } from "../source/files.js";
import { precisionOf } from "../source/frontend.js";
import { expectWeights } from "../source/model-file.js";
import { showDiagnostics } from "../terminal/diagnostics.js";
import { UserError } from "../terminal/exit.js";
import { Progress, say } from "../terminal/terminal.js";
import type { Flags } from "../tree/declare.js";
import type { trainingCommands } from "../tree/training.js";
import { choiceOf } from "./training.js";

type ScoringFlags = Pick<
  Flags<typeof trainingCommands.eval>,
  "rule" | "batch" | "seed" | "live" | "tunings" | "weightsAs" | "device" | "set" | "model"
>;

export interface Scoring {
  readonly opened: OpenedModel;
  readonly flags: ScoringFlags;
  readonly model: ScoringModel;
  readonly limits: TextLimits;
  /** Tokens that end a text. */
  readonly ends: readonly number[];
  readonly device: Device;
  readonly progress: Progress;
  source(data: string): Promise<Lines>;
  close(): void;
}

type RowFile = Parameters<typeof rowsOf>[0];

/** Rows of files, or lines of JSON from standard input. */
export type Lines =
  | { readonly kind: "files"; readonly files: readonly RowFile[] }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array };

/** The rows in order; they may be read several times. */
export async function* objectsIn(lines: Lines): AsyncIterable<DataRow> {
  if (lines.kind === "bytes") yield* rowsOfLines(one(lines.bytes), STDIN_NAME);
  else for (const file of lines.files) yield* rowsOf(file, { hash: createHash("sha256"), columns: null });
}

async function* one(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}

/** The rows that `data` names. Throws TrainError for a file without rows. */
export async function linesAt(data: string): Promise<Lines> {
  if (data === STDIN) {
    const bytes = readBytes(STDIN);
    if (bytes.length === 0) throw new UserError("standard input is empty");
    return { kind: "bytes", bytes };
  }
  const files = await findSources(data);
  const rows = files.map((file): RowFile => {
    const { kind } = file;
    if (kind !== "text") return { ...file, kind };
    throw new TrainError("bad-data", `${file.path} has no rows: its name does not end in .jsonl, .parquet or .arrow`, {
      hint: "give a file with a JSON object on each line",
    });
  });
  return { kind: "files", files: rows };
}

/** Checks the model and opens a device. Throws SourceError, GenerationError, TrainError, SessionError. */
export async function openScoring(opened: OpenedModel, flags: ScoringFlags): Promise<Scoring> {
  expectWeights(opened);
  const model = scoringModel(opened, choiceOf(flags), flags.rule ?? null);
  showDiagnostics(model.diagnostics, model.sources);
  const { tokenizer, defaults } = await opened.texts();
  if (opened.weights === null)
    say(`note: no --weights: the model starts from seed ${flags.seed ?? 0} and is untrained`);
  const progress = new Progress();
  progress.report("opening the device");
  const device = await openDevice(wantedDevice(flags));
  return {
    opened,
    flags,
    model,
    limits: {
      tokenizer: tokenizer ?? tokenizerFor(model.vocabulary),
      model: model.name,
      context: model.bound,
      readable: model.readable,
      vocabulary: model.vocabulary,
    },
    ends: defaults.ends,
    device,
    progress,
    source: linesAt,
    close() {
      progress.clear();
      device.destroy();
    },
  };
}

/** Loads the program of a score and a rule for texts of at most `longest` tokens, and calls `use` with its passes. */
export function withPasses<T>(
  { opened, flags, model, device, progress }: Scoring,
  { score, rule, longest }: { readonly score: Score; readonly rule: Rule; readonly longest: number },
  use: (passes: Passes, session: Session) => Promise<T>,
  weightsOf?: Session,
): Promise<T> {
  const scored = model.compile(score, rule, precisionOf(flags));
  const { program, forTarget } = scored;
  const rows = flags.batch ?? 8;
  const extents = program.axes.flatMap((axis): [string, number][] => {
    if (axis.role === "batch") return [[axis.name, rows]];
    return axis.role === "sequence" && axis.count.kind === "input" ? [[axis.name, longest]] : [];
  });
  const { tunings, live = {}, seed = 0 } = flags;
  const { weights } = opened;
  const job = { program, forTarget, tunings, weights, live, seed, progress, device, extents: new Map(extents) };
  return onDevice({ ...job, ...(weightsOf && { weightsOf }) }, flags.device ?? null, ({ session }) =>
    use(new Passes(session, scored, rows), session),
  );
}
