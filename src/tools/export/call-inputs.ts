// The inputs of the module's call: all inputs of `forward`, and the inputs of the objective, by which a call asks for
// losses.
import type { Model } from "../../language/check/model/model.js";
import { hasCaches } from "./caches.js";
import { variable } from "./names.js";
import { placeOf, refuse } from "./refused.js";
import type { InputSequence } from "./sequences.js";
import type { Variant } from "./variants.js";

/** Refuses an objective whose inputs do not distinguish an objective call from a `forward` call. */
function expectTold(forward: Model, objective: Model): void {
  const takes = ({ inputs }: Model, name: string): boolean => inputs.some((input) => input.name === name);
  const [first] = objective.inputs;
  if (objective.inputs.every(({ name }) => takes(forward, name)))
    refuse(
      "an objective that takes no more than forward",
      placeOf(first),
      "give it an input of its own, such as targets: with it the module's forward returns the losses",
    );
}

/** The inputs of `forward` and the objective. Inputs that only the objective takes are optional. */
export function inputsOf(
  variants: readonly Variant[],
  sequences: readonly InputSequence[],
): {
  readonly objective: readonly string[];
  readonly signature: string;
  /** Statements that refuse calls of neither kind. */
  readonly checks: readonly string[];
} {
  const namesOf = (model: Model | undefined): readonly string[] => model?.inputs.map(({ name }) => name) ?? [];
  const forward = namesOf(variants.find(({ entry }) => entry === "forward")?.model);
  const all = namesOf(variants.find(({ entry }) => entry === "objective")?.model);
  const rest = all.filter((name) => !forward.includes(name));
  const versions = variants.filter(({ entry }) => entry === "objective");
  if (versions.length > 0) expectTold(variants[0]!.model, versions[0]!.model);
  const lacking = versions.length > 0 ? forward.filter((name) => !all.includes(name)) : [];
  const signature = [
    ...forward.map((name) => `${variable(name)}: Tensor${lacking.length > 0 ? " | None = None" : ""}`),
    ...rest.map((name) => `${variable(name)}: Tensor | None = None`),
    sequences.length > 1 ? "lengths: Tensor | dict[str, Tensor] | None = None" : "lengths: Tensor | None = None",
    "causal: bool = False",
    ...(hasCaches(variants, sequences) ? ["caches: mt.Caches | None = None"] : []),
    "observed: dict | None = None",
    ...(variants[0]!.model.live.length > 0 ? ["live: dict | None = None"] : []),
  ].join(", ");
  return { objective: rest, signature, checks: lacking.length > 0 ? eitherText(lacking[0]!, rest[0]!) : [] };
}

/** Refuses a call with the inputs of both `forward` and an objective that does not take them, or of neither. */
const eitherText = (forward: string, objective: string): readonly string[] => [
  `if (${variable(forward)} is None) == (${variable(objective)} is None):`,
  `    raise ValueError("give ${variable(forward)} for the result, or ${variable(objective)} and the objective's ` +
    'other inputs for the losses")',
];
