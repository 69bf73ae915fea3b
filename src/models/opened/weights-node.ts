// The weights of an opened model: opened when they are first read, matched once, and kept open. Node only.
import { basename } from "node:path";
import { WeightsError } from "../../runtime/device/errors.js";
import { isByBlock, isFarOff, type BlockWeights, type WeightsInput } from "../../runtime/weights/input.js";
import { MatchedSource } from "../../runtime/weights/matched.js";
import type { WeightSource } from "../../runtime/weights/formats/source.js";
import type { LiveOf } from "./live.js";
import type { ModelWeights, NamedRun } from "./model.js";
import { openTrained } from "../runs/trained-node.js";
import { isGgufPath } from "../tokenizer/folder-node.js";
import type { GgufFiles } from "./gguf-files-node.js";

export interface OpenedWeights extends ModelWeights {
  close(): Promise<void>;
}

/** The weights that were named for a model; a run's folder stands for its checkpoint. Throws SessionError. */
export function namedWeights(input: WeightsInput | BlockWeights, ggufs: GgufFiles, of: () => LiveOf): OpenedWeights {
  if (isByBlock(input)) return blockWeights(input, ggufs, of);
  return wholeWeights(input, ggufs);
}

function wholeWeights(input: WeightsInput, ggufs: GgufFiles): OpenedWeights {
  const run = typeof input === "string" ? openTrained(input) : null;
  return run === null ? modelWeights(input, ggufs) : modelWeights(run.path, ggufs, { named: String(input), run });
}

/** Weights at a path or address, in memory, or by a function. */
export function modelWeights(input: WeightsInput, ggufs: GgufFiles, of: NamedRun | null = null): OpenedWeights {
  const run = of?.run ?? null;
  const origin = typeof input === "function" ? "function" : isFarOff(input) ? "download" : "tensors";
  let opened: Promise<MatchedSource> | null = null;
  const source = (): Promise<MatchedSource> =>
    (opened ??= openTensors(input, ggufs).then((tensors) => new MatchedSource(tensors)));
  return {
    place: typeof input === "string" ? input : null,
    run,
    runs: of === null ? [] : [of],
    origin,
    source,
    async fitted(model) {
      if (origin !== "tensors") return input;
      const matched = await source();
      matched.match(model);
      return matched;
    },
    async close() {
      const isGiven = typeof input === "object" && "tensors" in input; // whoever opened it closes it
      if (!isGiven) await (await opened?.catch(() => null))?.close();
    },
  };
}

/** Weights of no single place, which `open` opens. */
export function openedLater(open: () => Promise<WeightSource>): OpenedWeights {
  let opened: Promise<MatchedSource> | null = null;
  const source = (): Promise<MatchedSource> => (opened ??= open().then((tensors) => new MatchedSource(tensors)));
  return {
    place: null,
    run: null,
    runs: [],
    origin: "tensors",
    source,
    async fitted(model) {
      const matched = await source();
      matched.match(model);
      return matched;
    },
    close: async () => (await opened?.catch(() => null))?.close(),
  };
}

/** Weights of several files, by the path of the block that each is for. */
function blockWeights(input: BlockWeights, ggufs: GgufFiles, of: () => LiveOf): OpenedWeights {
  const parts = Object.entries(input).map(([block, own]) => ({ block, weights: namedPart(block, own, ggufs) }));
  if (parts.length === 0)
    throw new WeightsError("weights are given by block, but for no block", { hint: "such as { teacher: path }" });
  const joined = openedLater(async () => {
    const { joinBlocks } = await import("./deferred-node.js");
    const named = parts.map(({ block, weights }) => ({
      block,
      name: weights.place ?? "in memory",
      open: () => weights.source(),
    }));
    return joinBlocks(named, of());
  });
  return {
    ...joined,
    runs: parts.flatMap(({ weights }) => weights.runs),
    async close() {
      for (const { weights } of parts) await weights.close();
    },
  };
}

function namedPart(block: string, input: WeightsInput, ggufs: GgufFiles): OpenedWeights {
  const weights = wholeWeights(input, ggufs);
  if (weights.origin === "tensors") return weights;
  throw new WeightsError(`the weights of ${block} are not in a file of this machine`, {
    hint: "give a path: a download or a function is for all weights of a model",
  });
}

async function openTensors(input: WeightsInput, ggufs: GgufFiles): Promise<WeightSource> {
  if (typeof input === "function") throw new WeightsError("weights from a function cannot be read as tensors");
  if (isFarOff(input))
    throw new WeightsError(`cannot open ${addressOf(input)}: it is not a file of this machine`, {
      hint: "download the weights first",
    });
  if (typeof input !== "string") {
    const { openInput } = await import("../../runtime/weights/open-input.js");
    // an open source is the only input that `openInput` leaves
    return (await openInput(input, {})) ?? (input as WeightSource);
  }
  if (!/^file:/i.test(input) && isGgufPath(input)) return (await ggufs.at(input)).weights(basename(input));
  const { openWeights } = await import("../../runtime/weights/weights-node.js");
  return openWeights(input);
}

const addressOf = (input: WeightsInput): string =>
  typeof input === "string" ? input : "href" in input ? input.href : "the response";
