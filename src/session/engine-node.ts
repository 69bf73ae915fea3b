// A model opened as an engine: many requests at once. Node only.
import { createHash } from "node:crypto";
import { createEngine, type Engine, type EngineOptions } from "../engine/index.js";
import { printGeneration, type Generation } from "../generate/index.js";
import { explaining, openSource, type Opening } from "./open-node.js";
import { prepare, type PrepareOptions, type Prepared, type SessionSource } from "./prepared-node.js";

export interface OpenEngineOptions extends PrepareOptions, EngineOptions, Opening {}

export interface OpenedEngine extends Pick<Prepared, "name" | "texts" | "diagnostics" | "sources" | "device"> {
  readonly engine: Engine;
  /** Of what computes: equal seeds give equal texts where it is equal, on one device. */
  readonly fingerprint: string;
  /** Aborts what is under way, and frees the device's memory; the device itself too, unless it was passed in. */
  close(): Promise<void>;
}

/**
 * Opens a `.mod` file, a checkpoint or a training run as an engine. Throws as `openSession` does, and InputError for an
 * invalid option.
 */
export async function openEngine(path: string, given: OpenEngineOptions = {}): Promise<OpenedEngine> {
  const [source, { weights: _weights, tokenizer: _tokenizer, ...options }] = await openSource(path, given);
  return explaining(source, options, () => createEngineOf(source, options));
}

/** The same of a source that is known. */
export async function createEngineOf(
  source: SessionSource,
  options: Omit<OpenEngineOptions, keyof Opening> = {},
): Promise<OpenedEngine> {
  const { model, set, precision, device: wanted, tunings, ...rest } = options;
  const own = { model, set, precision, device: wanted, tunings };
  const given = Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined)) as PrepareOptions;
  const prepared = await prepare(source, given, "pages");
  const { generation, device, another, close } = prepared;
  try {
    const engine = await createEngine(generation, device, source.weights ?? undefined, {
      recover: another,
      seed: 0,
      ...rest,
    });
    return {
      name: prepared.name,
      texts: prepared.texts,
      diagnostics: prepared.diagnostics,
      sources: prepared.sources,
      device,
      engine,
      fingerprint: fingerprintOf(generation),
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

const fingerprintOf = (generation: Generation): string =>
  `b${createHash("sha256").update(printGeneration(generation)).digest("hex").slice(0, 12)}`;
