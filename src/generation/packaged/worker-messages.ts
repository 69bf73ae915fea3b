// The messages between a program and the worker that has its model, and errors as they travel.
import type { GeneratedText, Summary } from "../generate/index.js";
import type { Prompts } from "../generate/prompts.js";
import type { Inputs } from "../../runtime/run/inputs.js";
import type { Result } from "../../runtime/run/outputs.js";
import type { RunOptions } from "../../runtime/run/session-options.js";
import type { LoadModelOptions, LoadProgress, ModelGenerateOptions } from "./model.js";

/** To the worker. `id`: the number of the call. The first `next` of a generation begins it. */
export type Request =
  | { readonly kind: "load"; readonly id: number; readonly options: LoadModelOptions }
  | { readonly kind: "run"; readonly id: number; readonly inputs: Inputs; readonly options: RunOptions }
  | {
      readonly kind: "next";
      readonly id: number;
      readonly begin?: { readonly prompt: Prompts; readonly options: ModelGenerateOptions };
    }
  | { readonly kind: "return"; readonly id: number }
  | { readonly kind: "abort"; readonly id: number }
  | { readonly kind: "dispose" };

export type Values = Readonly<Record<string, Omit<Result, "toArray">>>;

/** From the worker. */
export type Reply =
  | { readonly kind: "loaded"; readonly id: number; readonly device: string }
  | { readonly kind: "results"; readonly id: number; readonly values: Values }
  | { readonly kind: "token"; readonly id: number; readonly next: IteratorResult<GeneratedText, Summary> }
  | { readonly kind: "failed"; readonly id: number; readonly error: SentError }
  | { readonly kind: "progress"; readonly progress: LoadProgress }
  | { readonly kind: "lost"; readonly error: SentError }
  | { readonly kind: "ended" };

/** An error's name, message and further fields, which a structured clone of the error does not keep. */
export interface SentError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly fields: Readonly<Record<string, unknown>>;
}

export function sentError(error: unknown): SentError {
  if (!(error instanceof Error)) return { name: "Error", message: String(error), stack: undefined, fields: {} };
  const { name, message, stack } = error;
  // Other values may not be copied.
  const fields = Object.entries(error).filter(([, value]) => value === null || typeof value !== "object");
  return {
    name,
    message,
    stack,
    fields: Object.fromEntries(fields.filter(([, value]) => typeof value !== "function")),
  };
}

export function receivedError({ name, message, stack, fields }: SentError): Error {
  const error = Object.assign(new Error(message), fields);
  return Object.defineProperties(error, {
    name: { value: name, configurable: true, writable: true },
    stack: { value: stack, configurable: true, writable: true },
  });
}
