// A model opened to serve many requests at once: an engine, or the embeddings of a pooled result. Node only.
import { createHash } from "node:crypto";
import { EXIT } from "../../ground/base/errors.js";
import { GenerationError } from "../../compiler/compile-generation.js";
import { createEngine, type Engine, type EngineOptions } from "../../generation/engine/index.js";
import { printGeneration, type Generation } from "../../generation/generate/index.js";
import { takesInputs } from "../../runtime/program/generation.js";
import { printProgram } from "../../runtime/program/serialize.js";
import { Device, type DeviceLostError, InputError, openDevice } from "../../runtime/index.js";
import type { OpenedModel } from "../../models/opened/model.js";
import type { Embedder } from "../serve/requests/options.js";
import { compilePooled, type EmbedderOptions, ModelEmbedder, type Pooled } from "./embedder-node.js";
import { SourceError } from "../../language/diagnostics/errors.js";
import { opening, type Opening } from "./open-node.js";
import { prepare, tokenizerFor, type PrepareOptions, type Prepared } from "./prepared-node.js";

export interface OpenEngineOptions extends PrepareOptions, EngineOptions, Opening {}

export interface OpenedEngine extends Pick<Prepared, "name" | "texts" | "diagnostics" | "sources" | "device"> {
  /** For an embedding model: an engine that refuses every request. */
  readonly engine: Engine;
  /** Null where the model generates. */
  readonly embedder: Embedder | null;
  /** Null where the model gives embeddings. */
  readonly generation: Generation | null;
  /** Of what computes: equal seeds give equal texts where it is equal, on one device. */
  readonly fingerprint: string;
  /** Aborts what is under way, and frees the device's memory; the device itself too, unless it was passed in. */
  close(): Promise<void>;
}

/**
 * Opens a `.mod` file, a checkpoint or a training run as an engine. Throws as `openSession` does, and InputError for an
 * invalid option.
 */
export const openEngine = (path: string, given: OpenEngineOptions = {}): Promise<OpenedEngine> =>
  opening(
    path,
    given,
    async (model, { weights: _weights, tokenizer: _tokenizer, chatTemplate: _template, ...options }) => {
      const opened = await createEngineOf(model, options);
      return {
        ...opened,
        async close() {
          try {
            await opened.close();
          } finally {
            await model.close();
          }
        },
      };
    },
  );

type CreateOptions = Omit<OpenEngineOptions, keyof Opening>;

/** The same for an opened model, which stays open. */
export async function createEngineOf(from: OpenedModel, options: CreateOptions = {}): Promise<OpenedEngine> {
  const { model, set, precision, loopCaches, latent, device: wanted, tunings, ...rest } = options;
  const named = { model, set, precision, loopCaches, latent, device: wanted, tunings };
  const given = Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined)) as PrepareOptions;
  let prepared: Prepared;
  try {
    // Caches of the last loop alone are in rows: requests take turns.
    const inRows = { caches: "rows" } as const;
    const inPages = { caches: "pages", slots: rest.maxBatch !== 1 } as const;
    // Pages refuse inputs beside the tokens.
    prepared = await prepare(from, given, loopCaches === "last" ? inRows : inPages).catch(async (fault: unknown) => {
      const other =
        fault instanceof GenerationError && loopCaches !== "last" ? await prepare(from, given, inRows) : null;
      if (other && takesInputs(other.generation)) return other;
      other?.close();
      throw fault;
    });
  } catch (fault) {
    // A value pooled over a text depends on later tokens, so such a model does not generate.
    const pooled = fault instanceof GenerationError || fault instanceof SourceError ? compilePooled(from, given) : null;
    if (!pooled) throw fault;
    expectEffect(rest);
    return openEmbedder(from, { ...rest, ...given }, pooled);
  }
  const { name, texts, diagnostics, sources, generation, device, weights, another, close } = prepared;
  try {
    const engine = await createEngine(generation, device, weights, {
      recover: another,
      seed: 0,
      ...rest,
    });
    return {
      name,
      texts,
      diagnostics,
      sources,
      device,
      engine,
      embedder: null,
      generation,
      fingerprint: fingerprintOf(printGeneration(generation)),
      async close() {
        await engine.close();
        close();
      },
    };
  } catch (fault) {
    close();
    throw fault;
  }
}

const fingerprintOf = (printed: string): string =>
  `b${createHash("sha256").update(printed).digest("hex").slice(0, 12)}`;

/** `any`: the pass over whole texts, for any device. */
async function openEmbedder(
  from: OpenedModel,
  options: PrepareOptions & EmbedderOptions & Pick<EngineOptions, "recover">,
  any: Pooled,
): Promise<OpenedEngine> {
  const { device: wanted = {}, recover } = options;
  const opened: Device[] = [];
  const keep = (device: Device): Device => {
    opened.push(device);
    return device;
  };
  const another = async (lost: DeviceLostError): Promise<Device> => {
    if (recover === null) throw lost;
    for (const device of opened.splice(0)) device.destroy(); // they are lost, or nothing could be loaded onto them
    return keep(recover ? (await recover(lost)).device : await openDevice(wanted instanceof Device ? {} : wanted));
  };
  const close = (): void => {
    for (const device of opened) device.destroy();
  };
  try {
    const device = wanted instanceof Device ? wanted : keep(await openDevice(wanted));
    const { files: _files, ...texts } = await from.texts();
    const pooled = compilePooled(from, options, device) ?? any;
    const embedder = await ModelEmbedder.load(from, options, pooled, async (lost) => (lost ? another(lost) : device));
    return {
      name: pooled.program.model,
      texts: { ...texts, tokenizer: texts.tokenizer ?? tokenizerFor(pooled.vocabulary) },
      diagnostics: [],
      sources: [],
      device,
      engine: new SilentEngine(pooled, embedder),
      embedder,
      generation: null,
      fingerprint: fingerprintOf(printProgram(pooled.program)),
      async close() {
        await embedder.dispose();
        close();
      },
    };
  } catch (fault) {
    close();
    throw fault;
  }
}

/** Throws InputError for options of texts that are generated. */
function expectEffect({ draft = "off", cacheMemory, chunk }: EngineOptions): void {
  const idle = { draft: draft === "off" ? undefined : draft, cacheMemory, chunk };
  for (const [name, value] of Object.entries(idle))
    if (value !== undefined)
      throw new InputError(name, `${name} has no effect on an embedding model`, "leave it out", EXIT.usage);
}

/** The engine of an embedding model: it generates nothing, and reports its embedder's state. */
class SilentEngine implements Engine {
  readonly model: Engine["model"];
  readonly #embedder: ModelEmbedder;

  constructor({ vocabulary, context }: Pooled, embedder: ModelEmbedder) {
    this.#embedder = embedder;
    this.model = { vocabulary, context, routes: [], live: [], inputs: [] };
  }

  submit(): never {
    throw new InputError(null, "the model computes embeddings, not text", "use /v1/embeddings");
  }

  get state(): Engine["state"] {
    const cache = { used: 0, kept: 0, free: 0, limit: 0, streams: { own: 0, dense: 0 } };
    return { ...this.#embedder.state, cache };
  }

  async drain(): Promise<void> {}
  async close(): Promise<void> {}
}
