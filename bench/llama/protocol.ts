// The protocol between the bench beside llama.cpp and the process of each way to run a file.

/** modc on the adapter; llama.cpp on the processor, and on the adapter through Vulkan. */
export const WAYS = ["modc", "cpu", "vulkan"] as const;
export type Way = (typeof WAYS)[number];

export type Request =
  | { readonly kind: "open"; readonly path: string; readonly threads: number; readonly context: number }
  /** Reads a prompt and adds the likeliest tokens. */
  | { readonly kind: "run"; readonly prompt: readonly number[]; readonly count: number };

/** Milliseconds by the clock and of the processor, all threads together. */
export interface Time {
  readonly clock: number;
  readonly processor: number;
}

export type Reply =
  | { readonly kind: "opened"; readonly device: string; readonly software: boolean }
  | {
      readonly kind: "ran";
      /** Until the first token, and for each token after it. */
      readonly first: Time;
      readonly each: Time;
      readonly tokens: readonly number[];
    }
  | { readonly kind: "failed"; readonly message: string };

/** A model that was opened. */
export interface Opened {
  readonly device: string;
  /** Whether a processor plays the device, or is it. */
  readonly software: boolean;
  /** The likeliest tokens after a prompt, one after the other. */
  run(prompt: readonly number[], count: number): AsyncIterable<number>;
}
