// Configurations of families, for tests of fields and refusals.
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parseConfig } from "../../../../src/models/families/config.js";
import type { DecoderConfig } from "../../../../src/models/families/description/decoder.js";
import type { Config } from "../folders.js";

/** The configurations of the accounts of a module, by name. */
export const accountConfigs = (module: string): Readonly<Record<string, Config>> =>
  JSON.parse(readFileSync(new URL(`../accounts/${module}.json`, import.meta.url), "utf8")) as Record<string, Config>;

export const read = (config: Config): DecoderConfig => parseConfig(JSON.stringify(config));

/** What the configuration class of a family has by default, where these sizes are given. */
export const bare = (model_type: string, more: Config = {}): DecoderConfig =>
  read({
    model_type,
    vocab_size: 10,
    hidden_size: 256,
    intermediate_size: 8,
    num_hidden_layers: 4,
    num_attention_heads: 4,
    ...more,
  });

/** One test for each configuration, which is refused with this message. */
export function refuses(cases: readonly (readonly [name: string, config: Config, message: string])[]): void {
  it.each(cases)("refuses %s", (_, config, message) => {
    expect(() => read(config)).toThrow(
      expect.objectContaining({
        name: "CheckpointError",
        message: expect.stringContaining(message) as string,
      }) as Error,
    );
  });
}
