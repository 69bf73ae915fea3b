// The activations of networks: their names in configurations, and their text in the language.

/** Hugging Face's names of activations, and the text of each for an argument. */
const TEXTS = {
  silu: (x: string) => `silu(${x})`,
  gelu: (x: string) => `gelu(${x})`,
  gelu_tanh: (x: string) => `gelu_tanh(${x})`,
  relu: (x: string) => `relu(${x})`,
  /** So et al. 2021, arXiv 2109.08668. */
  relu2: (x: string) => `relu(${x}) ^ 2`,
  /** A block with weights. */
  xielu: (x: string) => `act(${x})`,
} as const;

export type Activation = keyof typeof TEXTS;

/** The activations by their names in a `config.json`. */
export const ACTIVATIONS: ReadonlyMap<string, Activation> = new Map([
  ["silu", "silu"],
  ["swish", "silu"],
  ["gelu", "gelu"],
  ["gelu_new", "gelu_tanh"],
  ["gelu_pytorch_tanh", "gelu_tanh"],
  ["gelu_fast", "gelu_tanh"],
  ["relu", "relu"],
  ["relu2", "relu2"],
]);

/** Whether an activation has weights, so that it is a member of the network. */
export const hasWeights = (activation: Activation): boolean => activation === "xielu";

/** The text of an activation's value for an argument. */
export const activationText = (activation: Activation, argument: string): string => TEXTS[activation](argument);
