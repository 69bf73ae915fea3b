// The `.mod` source of a decoder's recurrent layers.
import type { DecoderConfig } from "../description/decoder.js";
import type { Mixer } from "../description/recurrent.js";
import { deltaText } from "./delta.js";
import { gatedConvText } from "./gated-conv.js";
import { griffinText } from "./griffin.js";
import { mambaText } from "./mamba.js";
import { mamba2Text } from "./mamba2.js";
import type { MixerText } from "./mixer.js";

function textOf(mixer: Mixer): MixerText {
  switch (mixer.kind) {
    case "delta":
      return deltaText(mixer);
    case "conv":
      return gatedConvText(mixer);
    case "mamba":
      return mambaText(mixer);
    case "mamba2":
      return mamba2Text(mixer);
    default:
      return griffinText(mixer);
  }
}

/** The name of a layer's member that mixes tokens. */
export const mixerName = ({ recurrent }: DecoderConfig): "attn" | "mixer" => (recurrent ? "mixer" : "attn");

/** Whether some layers have attention. */
export const hasAttention = ({ recurrent }: DecoderConfig): boolean =>
  recurrent === null || recurrent.layers.includes(false);

export const recurrentImports = ({ recurrent }: DecoderConfig): readonly string[] =>
  recurrent ? textOf(recurrent.mixer).imports : [];

export const recurrentBlocks = ({ recurrent }: DecoderConfig): readonly string[] =>
  recurrent ? textOf(recurrent.mixer).blocks : [];

/** The constant that lists the recurrent layers, unless all are. */
export const recurrentConstants = (config: DecoderConfig): readonly string[] =>
  config.recurrent && hasAttention(config)
    ? [`/// Which layers are recurrent.\nconst recurrent = [${config.recurrent.layers.join(", ")}]`]
    : [];

/** The model's parameters for the mixer, with their values. */
export const recurrentDefaults = ({ recurrent }: DecoderConfig): readonly string[] =>
  recurrent ? textOf(recurrent.mixer).parameters.map(([name, value]) => `${name}: int = ${value}`) : [];

/** The mixer of layer i. `attention`: the attention of layers that are not recurrent. */
export function mixerOfLayer(config: DecoderConfig, attention: string): string {
  const { call } = textOf(config.recurrent!.mixer);
  return hasAttention(config) ? `if recurrent[i] then ${call} else ${attention}` : call;
}

/** The paths of the mixer's weights in a layer, and their keys. */
export const recurrentKeys = ({ recurrent }: DecoderConfig): readonly (readonly [path: string, key: string])[] =>
  recurrent ? textOf(recurrent.mixer).keys.map(([path, key]) => [`mixer.${path}`, `${recurrent.key}.${key}`]) : [];
