// The protocol between page and workers: named calls, each with a request, events and an answer.
import type { Checked } from "../compiler/checked.js";
import type { Form } from "../compiler/form.js";
import type { Kernel } from "../compiler/kernels.js";
import type { LedgerTable } from "../compiler/ledger.js";
import type { Picture } from "../compiler/layout.js";
import type { StageText } from "../compiler/stages.js";
import type { Source } from "../source.js";

/** Calls to the compiler. Answers are null if the source has errors. */
export interface CompilerCalls {
  readonly check: { readonly ask: Source; readonly event: never; readonly answer: Checked };
  readonly form: { readonly ask: Source; readonly event: never; readonly answer: Form | null };
  readonly picture: { readonly ask: Source; readonly event: never; readonly answer: Picture | null };
  readonly stage: {
    readonly ask: Source & { readonly stage: string };
    readonly event: never;
    readonly answer: StageText | null;
  };
  readonly kernels: { readonly ask: Source; readonly event: never; readonly answer: readonly Kernel[] | null };
  readonly ledger: {
    readonly ask: Source & { readonly extents: Readonly<Record<string, number>> };
    readonly event: never;
    readonly answer: LedgerTable | null;
  };
  /** A message of the language server protocol and its answer; null for a notification. */
  readonly lsp: {
    readonly ask: { readonly method: string; readonly params: unknown };
    readonly event: never;
    readonly answer: unknown;
  };
}

type Calls = CompilerCalls;
export type Ask<C extends Record<keyof C, { ask: unknown }>, K extends keyof C> = C[K]["ask"];

/** A message from the page. */
export type Request =
  | { readonly kind: "call"; readonly id: number; readonly name: string; readonly ask: unknown }
  /** Cancels a call. */
  | { readonly kind: "cancel"; readonly id: number };

/** A message from a worker. */
export type Reply =
  | { readonly kind: "event"; readonly id: number; readonly event: unknown }
  | { readonly kind: "answer"; readonly id: number; readonly answer: unknown }
  | { readonly kind: "failure"; readonly id: number; readonly failure: Failure };

/** The parts of an error that can be sent. */
export interface Failure {
  readonly name: string;
  readonly message: string;
  /** What the user can do about the error; null: unknown. */
  readonly hint: string | null;
}

/** The handlers of a table of calls. */
export type Handlers<
  C extends { readonly [K in keyof C]: { readonly ask: unknown; readonly event: unknown; readonly answer: unknown } },
> = {
  readonly [K in keyof C]: (
    ask: C[K]["ask"],
    tell: (event: C[K]["event"]) => void,
    signal: AbortSignal,
  ) => C[K]["answer"] | Promise<C[K]["answer"]>;
};

export type { Calls };
