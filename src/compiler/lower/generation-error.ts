// The error for a model that cannot generate as requested.
import type { Node } from "../ir/graph.js";
import { ModcError } from "../../ground/base/errors.js";

/** Thrown for a graph that cannot be used for generation; the message states the reason. */
export class GenerationError extends ModcError<"generation"> {
  override readonly name = "GenerationError";

  constructor(message: string, hint: string | null = null) {
    super("generation", message, { hint });
  }
}

/** The error for an operator that reads other tokens and has no cache rule. */
export const unsupported = ({ op, origin }: Node, tokens: "earlier" | "all"): GenerationError =>
  new GenerationError(
    `${op}${origin?.path ? ` of ${origin.path}` : ""} reads ${tokens === "all" ? "all" : "earlier"} tokens of a ` +
      "sequence, and nothing says what generation keeps of them",
  );
