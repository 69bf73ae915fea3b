// Records as the data of a run: rows of JSONL, Parquet or Arrow, encoded once into a file in the run's folder.
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import type { Model } from "../../language/check/model/model.js";
import { openChatTemplate } from "../../models/tokenizer/chosen-template-node.js";
import { TokenizerError } from "../../models/tokenizer/errors.js";
import { tokenizerAt, type TokenizerSource } from "../../models/tokenizer/source-node.js";
import type { OpenedTokenizer } from "../../models/tokenizer/tokenizer-node.js";
import { bytesTokenizer } from "../../models/tokenizer/tokenizer.js";
import { piecesOf } from "../../models/tokenizer/text-stream.js";
import { arraysBeside, areSame, type ReadArray } from "./arrays-node.js";
import { cacheFile } from "./cache-file-node.js";
import { expectSame, Turns } from "./corpus-node.js";
import { spread, type DataSettings, type RecordSettings, type TrainingData } from "./data.js";
import { TrainError } from "./errors.js";
import { rowsOf } from "./rows-node.js";
import { changeOf, digestOf, type SourceFile } from "./sources-node.js";
import { expectFits } from "./text-data-node.js";
import { asTraining, bytesEncoder, endOf } from "./tokenizer.js";
import type { Batch } from "./types.js";
import { permuted, type DataPosition } from "./windows.js";
import { batchOf, type StoredRecord } from "./record-batch.js";
import { markedTemplate, type Writer } from "./record-text.js";
import { recordPlan, type RecordPlan } from "./record-plan.js";
import { encodeRecord, type RecordOptions, type Row } from "./record.js";
import { FORMAT, parseDescribed, RecordReader, RecordWriter, type RecordsDescribed } from "./record-store-node.js";

export interface RecordsOptions extends RecordSettings {
  readonly data: string;
  readonly files: readonly SourceFile[];
  /** Folder of the file of records; created if it does not exist. */
  readonly cache: string;
  readonly tokenizer?: string | TokenizerSource;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Opens records for a model. Throws TrainError. */
export async function openRecords(
  options: RecordsOptions,
  model: Pick<Model, "name" | "inputs" | "axes"> & { readonly vocabulary: number | null },
  settings: DataSettings,
): Promise<TrainingData> {
  const plan = recordPlan(model);
  expectFitting(plan, options);
  const { writer, name, show } = await writerFor(options);
  const digests: string[] = [];
  for (const file of options.files) digests.push(await digestOf(file, options.signal));
  const { field = "text", labels = {}, learn = "answers" } = options;
  const encoding = [FORMAT, plan, name, writer.end, writer.chat?.text ?? null, field, labels, learn, settings.context];
  const digest = createHash("sha256")
    .update(JSON.stringify([encoding, options.files.map(({ kind }, i) => [kind, digests[i]])]))
    .digest("hex");
  const path = join(options.cache, `records-${digest.slice(0, 32)}.bin`);
  const described = await cacheFile({
    cache: options.cache,
    path,
    parse: parseDescribed,
    signal: options.signal,
    isFresh: async ({ arrays }) => {
      for (const [i, files] of arrays.entries())
        if (!(await areSame(dirname(options.files[i]!.path), files, options.signal))) return false;
      return true;
    },
    make: (temporary) => make(temporary, plan, writer, digests, options, settings.context),
  });
  if (described.records === 0)
    throw new TrainError("bad-data", `${options.data} has no record with anything to learn`, {
      hint: described.empty > 0 ? `give a longer --length than ${settings.context}, or --learn all` : null,
    });
  expectFits(described.largestToken, options.data, model.vocabulary);
  const reader = await RecordReader.open(path, described, plan.axes.length);
  try {
    const whole = digestWith(digest, described, options);
    return dataOf({ plan, reader, digest: whole, writer, show, options, settings });
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** The digest of the data: packing changes batches, not records, and files of arrays change values, not rows. */
function digestWith(digest: string, { arrays }: RecordsDescribed, { pack = false }: RecordSettings): string {
  const files = arrays.flat();
  const whole =
    files.length === 0
      ? digest
      : createHash("sha256")
          .update(JSON.stringify([digest, arrays]))
          .digest("hex");
  return pack ? `${whole}-packed` : whole;
}

/** Checks options against the plan. Throws TrainError. */
function expectFitting(plan: RecordPlan, { pack, labels = {} }: RecordSettings): void {
  const single = plan.inputs.find(({ kind }) => kind === "record");
  if (pack === true && single)
    throw new TrainError("bad-option", `records cannot be packed: ${single.name} has one value for each row`, {
      hint: "leave out --pack",
    });
  const texts = plan.inputs.flatMap(({ kind, name }) => (kind === "tokens" ? [name] : []));
  if (pack === true && texts.length > 1)
    throw new TrainError("bad-option", `records cannot be packed: each has several texts, ${texts.join(" and ")}`, {
      hint: "leave out --pack: a loss that compares texts would compare sums of several records",
    });
  if (pack === true && plan.axes.length > 1)
    throw new TrainError(
      "bad-option",
      `records cannot be packed: they have sequences along ${plan.axes.map(({ name }) => name).join(" and ")}`,
      { hint: "leave out --pack" },
    );
  for (const [name, names] of Object.entries(labels)) {
    if (!plan.inputs.some((input) => input.name === name && input.kind === "record"))
      throw new TrainError("bad-option", `--labels names ${name}, which is no input with one value for each record`);
    const wrong = names.findIndex((label, i) => label === "" || label.includes(",") || names.indexOf(label) < i);
    if (wrong < 0 && names.length > 0) continue;
    const label = JSON.stringify(names[wrong] ?? "");
    const fault = names.indexOf(names[wrong] ?? "") < wrong ? "is there twice" : "is no label";
    throw new TrainError("bad-option", `labels ${name}=${names.join(",")}: ${label} ${fault}`, {
      hint: `separate different names by commas: --labels ${name}=first,second`,
    });
  }
}

interface Opened {
  readonly writer: Writer;
  /** Identifies the tokenizer. */
  readonly name: string;
  readonly show: TrainingData["show"];
}

async function writerFor({ tokenizer, ...settings }: RecordsOptions): Promise<Opened> {
  const source = typeof tokenizer === "string" ? tokenizerAt(tokenizer) : (tokenizer ?? null);
  const opened: OpenedTokenizer | null = source && (await asTraining(() => source.open()));
  if (source !== null && opened === null)
    throw new TrainError("bad-data", `${source.path} has no tokenizer`, { hint: "name one with --tokenizer" });
  const writer = await writerOf(opened, settings, source?.path ?? "the tokenizer");
  return {
    writer,
    name: opened === null ? "bytes" : createHash("sha256").update(opened.texts.tokenizer).digest("hex"),
    show: (tokens) => (opened === null ? bytesEncoder.show(tokens) : piecesOf(opened.tokenizer, tokens)),
  };
}

/** What writes texts as tokens; null: bytes. `file` names the tokenizer in messages. Throws TrainError. */
export async function writerOf(
  opened: Pick<OpenedTokenizer, "tokenizer" | "chat" | "info"> | null,
  { chatTemplate: chosen, learn }: Pick<RecordSettings, "chatTemplate" | "learn">,
  file: string,
): Promise<Writer> {
  const tokenizer = opened?.tokenizer ?? bytesTokenizer;
  const info = opened?.info ?? null;
  const specials = new Map(
    (["bos_token", "eos_token", "pad_token"] as const).flatMap((token) =>
      info?.[token] ? [[token, info[token]]] : [],
    ),
  );
  const named = info?.eos_token ? tokenizer.idOf(info.eos_token) : null;
  return asTraining(async () => {
    const chat = chosen === undefined ? (opened?.chat ?? null) : openChatTemplate(chosen, tokenizer, info).chat;
    return {
      tokenizer,
      end: opened === null ? bytesEncoder.separator : (named ?? endOf(tokenizer)),
      chat,
      marked: chat && markedTemplate(chat, specials, chosen ?? file),
      all: learn === "all",
    };
  });
}

async function make(
  temporary: string,
  plan: RecordPlan,
  writer: Writer,
  digests: readonly string[],
  { files, field = "text", labels = {}, signal, onProgress }: RecordsOptions,
  context: number,
): Promise<RecordsDescribed> {
  const total = files.reduce((n, file) => n + file.bytes, 0);
  const columns = new Set([...plan.inputs.map(({ name }) => name), field, "prompt", "completion", "messages"]);
  const records = await RecordWriter.open(temporary, signal);
  const turns = new Turns(signal);
  const arrays: (readonly ReadArray[])[] = [];
  try {
    let done = 0;
    for (const [i, file] of files.entries()) {
      const { kind } = file;
      if (kind === "text")
        throw new TrainError("bad-data", `${file.path} is a text, and the objective takes records`, {
          hint: "give JSONL, Parquet or Arrow with a column for each input",
        });
      const beside = arraysBeside(file.path, signal);
      const own: RecordOptions = {
        ...writer,
        plan,
        context,
        field,
        labels: new Map(Object.entries(labels)),
        arrayIn: (path, at) => beside.at(path, at),
        pause: () => turns.take(),
      };
      const hash = createHash("sha256");
      for await (const row of rowsOf({ ...file, kind }, { hash, columns, signal })) {
        await records.add(await encoded(row, own));
        onProgress?.((done += row.bytes), total);
        await turns.take();
      }
      expectSame(file, digests[i]!, hash);
      arrays.push(beside.read);
    }
    return await records.finish(arrays);
  } finally {
    await records.close();
  }
}

/** Encodes a row; names its place in errors of the tokenizer and of the chat template. */
async function encoded(row: Row, options: RecordOptions): ReturnType<typeof encodeRecord> {
  try {
    return await encodeRecord(row, options);
  } catch (cause) {
    if (cause instanceof TokenizerError)
      throw new TrainError("bad-data", `${row.place}: ${cause.message}`, { hint: cause.hint, cause });
    throw cause;
  }
}

interface Parts {
  readonly plan: RecordPlan;
  readonly reader: RecordReader;
  readonly digest: string;
  readonly writer: Writer;
  readonly show: TrainingData["show"];
  readonly options: RecordsOptions;
  readonly settings: DataSettings;
}

function dataOf({ plan, reader, digest, writer, show, options, settings }: Parts): TrainingData {
  const { described } = reader;
  const { batch: rows, context, seed, validation: share, validationWindows } = settings;
  const held = share === 0 ? 0 : Math.max(1, Math.floor(described.records * share));
  const training = described.records - held;
  if (training < 1 && share < 1)
    throw new TrainError("bad-data", `${options.data} has one record, which cannot be held out and trained on`, {
      hint: "give more records, or --validation 0",
    });
  const { pack = false } = options;
  /** The next row of records in an epoch's order, and the position after it. */
  const row = async (at: DataPosition): Promise<{ readonly records: StoredRecord[]; readonly next: DataPosition }> => {
    const { epoch } = at;
    const record = (n: number): Promise<StoredRecord> => reader.read(permuted(n, training, seed, epoch));
    let next = at.window;
    const records = [await record(next++)];
    let length = records[0]!.lengths[0]!;
    const last = pack ? training : next;
    while (next < last) {
      const another = await record(next);
      const more = another.lengths[0]!;
      if (length + more > context) break;
      records.push(another);
      length += more;
      next++;
    }
    return { records, next: next < training ? { epoch, window: next } : { epoch: epoch + 1, window: 0 } };
  };
  const heldOut = spread(
    Array.from({ length: held }, (_, i) => training + i),
    validationWindows,
  );
  const tokens = plan.inputs.find((input) => input.kind === "tokens");
  return {
    digest,
    path: reader.path,
    counts: { unit: "record", training, validation: held },
    bytesPerToken: plan.byTargets && described.bytes !== null ? described.bytes / described.targets : null,
    notes: notesOf(described, context, plan),
    sequences: training,
    epochsAt: ({ epoch, window }) => epoch + window / training,
    async next(position) {
      const batch: StoredRecord[][] = [];
      let at = position;
      while (batch.length < rows) {
        const { records, next } = await row(at);
        batch.push(records);
        at = next;
      }
      return { batch: batchOf(plan, batch), next: at };
    },
    validation:
      held === 0
        ? null
        : async function* (): AsyncIterable<Batch> {
            for (let from = 0; from < heldOut.length; from += rows) {
              const records = await Promise.all(heldOut.slice(from, from + rows).map((n) => reader.read(n)));
              yield batchOf(
                plan,
                records.map((r) => [r]),
              );
            }
          },
    passage:
      held === 0 || tokens === undefined
        ? null
        : {
            tokens: tokens.name,
            axis: plan.axes[tokens.axis]!.name,
            batch: async () => batchOf(plan, [[await reader.read(training)]]),
          },
    separator: writer.end,
    encode: (prompt) => asTraining(() => writer.tokenizer.encodeAsync(prompt, { template: true, alone: true })),
    show,
    changed: () => changeOf(options.files),
    close: () => reader.close(),
  };
}

/** What was left out of the records, or added, as sentences. */
function notesOf(
  { records, cut, empty, padded }: RecordsDescribed,
  context: number,
  plan: RecordPlan,
): readonly string[] {
  const of = (n: number): string => `${n} of ${records + empty} records`;
  return [
    ...(cut > 0 ? [`${of(cut)} are longer than ${context} tokens and were cut`] : []),
    ...(empty > 0 ? [`${of(empty)} have nothing to learn within ${context} tokens and were left out`] : []),
    ...(padded > 0
      ? [`${of(padded)} have a text that is padded, and whose padding layers compute: ${sharingOf(plan)}`]
      : []),
  ];
}

/** Which texts share an axis, and what to declare instead. */
function sharingOf({ inputs, axes }: RecordPlan): string {
  const texts = axes.map(({ name }, axis) => ({
    name,
    own: inputs.flatMap((input) => (input.kind === "tokens" && input.axis === axis ? [input.name] : [])),
  }));
  const { name, own } = texts.find((each) => each.own.length > 1)!; // a text is padded
  const instead = `declare an axis for each text, such as ${own[1]}: u32[B, ${name}2]`;
  return `${own.join(" and ")} share the axis ${name}; ${instead}`;
}
