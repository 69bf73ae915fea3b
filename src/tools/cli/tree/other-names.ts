// Names of options in llama.cpp, vLLM, transformers and Ollama, and earlier names in modc, with the option to suggest.
import type { CommandUnknownOpts } from "@commander-js/extra-typings";

/** Former names of options, with the present option to suggest. */
const FORMER: Readonly<Record<string, string>> = {
  "--context": "--length",
  "--floats": "--weights-as",
  "--last": "--validation",
  "--precision": "--activations-as",
  "--require-gpu": "--device gpu",
  "--validation-windows": "--windows",
};

const MODEL = "give the model as the first argument, without an option";
const KERNELS = "modc chooses kernels and their threads itself";
const ALL_LAYERS = "all layers run on the device";

/**
 * Suggestions for each name in other programs, the better first: an option, which takes over the value unless one is
 * written here, or a sentence if modc has no such option. Names of two dashes are in lower case and have no `_`.
 */
export const ELSEWHERE: Readonly<Record<string, readonly string[]>> = {
  // the length of an answer, and of all
  ...same(["--n-predict", "--predict", "--num-predict", "--max-new-tokens", "--max-gen-len"], ["--max-tokens"]),
  ...same(["--max-completion-tokens", "--max-length", "--n-gen", "-n"], ["--max-tokens"]),
  ...same(
    ["--ctx-size", "-c", "--n-ctx", "--num-ctx", "--context-size", "--max-model-len", "--max-seq-len"],
    ["--context", "--length", "caches grow with the text, up to what the model reads"],
  ),
  ...same(["--max-seq-length", "--block-size", "--seq-length", "--context-length"], ["--length", "--context"]),
  // what is asked
  ...same(["--prompt", "-p"], ["--prompt", "--text", "`modc generate` continues a prompt"]),
  "--n-prompt": ["--prompt-tokens", "--prompt"],
  ...same(["--file", "-f", "--prompt-file"], ["--prompt @", "--text @"]),
  ...same(["--system-prompt", "--system-message", "-sys"], ["--system"]),
  ...same(["--jinja", "--interactive", "-i"], ["`modc chat` converses by the model's template"]),
  "--no-display-prompt": ["only the answer is printed"],
  "--grammar-file": ["--grammar"],
  "--json-schema-file": ["--json-schema"],
  ...same(
    ["--conversation", "-cnv", "--apply-chat-template", "--chat-mode"],
    ["--chat", "`modc chat <model>` converses, without an option"],
  ),
  ...same(["--reverse-prompt", "--stop-sequence", "--stop-strings"], ["--stop"]),
  // how tokens are drawn
  ...same(["--temp", "-t", "--sampling-temp"], ["--temperature"]),
  "--do-sample": ["--temperature 1"],
  "--repeat-penalty": ["--repetition-penalty"],
  ...same(["--n-probs"], ["--top-logprobs", "--logprobs"]),
  ...same(["--num-beams", "--beam-size", "--best-of"], ["modc samples tokens, or takes the most likely one"]),
  ...same(["--random-seed", "-s"], ["--seed"]),
  // the model, its types, the device
  ...same(["--model-path", "--model-name-or-path", "--hf-repo", "-hf", "--ckpt", "--checkpoint"], [MODEL]),
  ...same(["--tokenizer-path", "--tokenizer-name"], ["--tokenizer"]),
  ...same(["--dtype", "--torch-dtype", "--quantization", "--outtype", "--ftype"], ["--weights-as"]),
  "--live": ["--set"],
  "--load-in-8bit": ["--weights-as q8"],
  "--load-in-4bit": ["--weights-as q4"],
  ...same(["--n-gpu-layers", "--gpu-layers", "-ngl", "--device-map", "--tensor-parallel-size", "-sm"], [ALL_LAYERS]),
  ...same(["--threads", "--threads-batch", "-tb", "--flash-attn", "-fa", "--n-threads"], [KERNELS]),
  // a server
  ...same(["--parallel", "-np", "--max-num-seqs"], ["--max-batch"]),
  ...same(["--served-model-name", "--alias", "-a"], ["--name"]),
  ...same(["--gpu-memory-utilization", "--kv-cache-memory", "--kv-cache-memory-bytes"], ["--cache-memory <size>"]),
  "--metrics": ["the server always has /metrics"],
  ...same(["--embedding", "--embeddings"], ["the server has /v1/embeddings if the model computes them"]),
  "--allowed-origins": ["--cors"],
  "--timeout": ["--request-timeout"],
  // training
  ...same(["--batch-size", "-b", "--n-batch", "--per-device-train-batch-size"], ["--batch", "--max-batch"]),
  "--per-device-eval-batch-size": ["--batch"],
  ...same(["--learning-rate"], ["--lr"]),
  ...same(["--max-steps", "--max-iters", "--num-steps", "--iters"], ["--steps"]),
  ...same(["--num-train-epochs", "--epochs"], ["set the length of training with --steps, not in epochs"]),
  ...same(["--warmup-steps", "--warmup-iters"], ["--warmup"]),
  "--lr-scheduler-type": ["--schedule"],
  ...same(["--gradient-accumulation-steps", "--grad-accum", "--accumulation-steps"], ["--accumulate"]),
  ...same(["--max-grad-norm", "--grad-clip"], ["--clip"]),
  ...same(["--eval-steps", "--eval-interval"], ["--validate-every"]),
  "--save-steps": ["--checkpoint-every"],
  "--save-total-limit": ["--keep"],
  ...same(["--dataset", "--train-file", "--train-data", "--dataset-name"], ["--data"]),
  "--resume-from-checkpoint": ["--resume"],
  ...same(["--output-dir", "--out-dir", "--outfile", "--out", "--output-file"], ["--output"]),
  "--gradient-checkpointing": ["--recompute"],
  // measurements
  ...same(["--repetitions", "-r", "--num-iters"], ["--repeat"]),
};

/** The same suggestions for several names. */
function same(names: readonly string[], suggestions: readonly string[]): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries(names.map((name) => [name, suggestions]));
}

/** An option's former name in `words`: the present option, and how to write it; null if there is none. */
export function formerOption(
  command: CommandUnknownOpts,
  words: readonly string[],
): { readonly former: string; readonly option: string; readonly write: string } | null {
  const former = optionsIn(words).find((name) => Object.hasOwn(FORMER, name));
  const option = former === undefined ? undefined : FORMER[former];
  const declared = command.options.find(({ long }) => long === option?.split(" ")[0]);
  if (former === undefined || option === undefined || !declared) return null;
  const value = option.includes(" ") ? null : (valueOf(former, words) ?? declared.flags.replace(/^.* /, ""));
  return { former, option, write: value === null ? option : `${option} ${value}` };
}

/**
 * The hint for options of other programs in `words`; null if there is none. A name that the command itself has means
 * that option.
 */
export function foreignHint(command: CommandUnknownOpts, words: readonly string[]): string | null {
  const suggestions = [...new Set(optionsIn(words))].flatMap((name) => {
    const suggestion = suggestionFor(command, name, words);
    return suggestion === null ? [] : [{ name, ...suggestion }];
  });
  const options = suggestions.flatMap(({ option }) => (option === null ? [] : [option]));
  const sentences = suggestions.flatMap(({ name, sentence }) =>
    sentence === null ? [] : [`modc ${command.name()} has no ${name}: ${sentence}`],
  );
  const parts = [...(options.length === 0 ? [] : [`did you mean ${options.join(" ")}?`]), ...sentences];
  return parts.length === 0 ? null : parts.join(" ");
}

interface Suggestion {
  readonly option: string | null;
  readonly sentence: string | null;
}

function suggestionFor(command: CommandUnknownOpts, name: string, words: readonly string[]): Suggestion | null {
  const has = (option: string): boolean => command.options.some((o) => o.short === option || o.long === option);
  const plain = name.startsWith("--") ? name.toLowerCase().replaceAll("_", "-") : name;
  if (has(name)) return null;
  const suggested = has(plain) ? [plain] : Object.hasOwn(ELSEWHERE, plain) ? ELSEWHERE[plain]! : [];
  for (const text of suggested) {
    if (!text.startsWith("--")) return { option: null, sentence: text };
    const [option, fixed] = text.split(" ") as [string, string?]; // split returns one part at least
    const declared = command.options.find(({ long }) => long === option);
    if (declared) return { option: written(declared.flags, option, fixed, valueOf(name, words)), sentence: null };
  }
  return null;
}

/** `--max-tokens 64`: `fixed` replaces the value, except `@`, which precedes it. */
function written(flags: string, option: string, fixed: string | undefined, value: string | null): string {
  const takes = /[<[].*$/.exec(flags)?.[0];
  if (takes === undefined) return option;
  if (fixed !== undefined && fixed !== "@") return `${option} ${fixed}`;
  return `${option} ${value === null ? `${fixed ?? ""}${takes}` : quoted(`${fixed ?? ""}${value}`)}`;
}

/** Quotes a value for a shell if it needs quotes. */
const quoted = (value: string): string => (/^[\w./:@%+=-]+$/.test(value) ? value : JSON.stringify(value));

/** The options among the words, without values; what follows `--` is an argument. */
function optionsIn(words: readonly string[]): readonly string[] {
  const end = words.indexOf("--");
  const options = end < 0 ? words : words.slice(0, end);
  return options.flatMap((word) => (/^--?[a-z]/i.test(word) ? [word.replace(/=.*/s, "")] : []));
}

/** The value of an option: after `=`, or the next word. */
export function valueOf(option: string, words: readonly string[]): string | null {
  const at = words.findIndex((w) => w === option || w.startsWith(`${option}=`));
  const [, joined] = words[at]?.split(/=(.*)/s) ?? [];
  const next = words[at + 1];
  return joined ?? (at >= 0 && next !== undefined && !/^-\D/.test(next) ? next : null);
}
