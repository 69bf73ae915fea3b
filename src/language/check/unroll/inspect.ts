// Collects the contents of an instantiated model: instances and weights by path, losses and observed values by call.
import type { Span } from "../../diagnostics/span.js";
import { Instance, joinPath } from "../names/bindings.js";
import type { Instance as InstanceEntry, ModelLoss, ModelObserve, ModelUpdate, ModelWeight } from "../model/model.js";
import { MAX_PATH } from "../model/limits.js";
import type { Rational } from "../../../ground/numerics/rational.js";
import type { Checker, Trace } from "../model/checker.js";
import type { Unroller } from "./unroll.js";

export interface Inside {
  readonly instances: readonly InstanceEntry[];
  /** Models that are blocks here and have `names`. */
  readonly models: readonly Instance[];
  readonly weights: readonly FoundWeight[];
}

/** A weight without its checkpoint keys, which `names` determines. */
export interface FoundWeight {
  readonly weight: Omit<ModelWeight, "keys">;
  /** The calls that created the weight's instance. */
  readonly trace: Trace | null;
}

/** Every instance below the model and every weight, in order of creation; reports two with one path. */
export function inspect(checker: Checker, model: Instance): Inside {
  const instances: InstanceEntry[] = [];
  const models: Instance[] = [];
  const weights: FoundWeight[] = [];
  const paths = new Set<string>();
  const claim = (path: string, span: Span, trace: Trace | null): boolean => {
    if (path.length > MAX_PATH) checker.abort("letters in one path", MAX_PATH, span);
    // Charge for the length of paths, which repeat the names of all enclosing instances.
    checker.spend(Math.ceil(path.length / 32), span);
    if (paths.has(path)) {
      checker.report("path-taken", { path }, span, [], trace);
      return false;
    }
    paths.add(path);
    return true;
  };
  const visit = (instance: Instance): void => {
    for (const owned of instance.owned) {
      if (owned instanceof Instance) {
        if (!claim(owned.path, owned.span, owned.trace)) continue;
        instances.push({
          path: owned.path,
          block: owned.block,
          library: owned.file.library,
          numbers: numbersIn(owned),
          span: owned.span,
        });
        if (owned.names.length > 0) models.push(owned);
        visit(owned);
      } else {
        const { decl, dtype, shape, init } = owned;
        const path = joinPath(instance.path, decl.name.text);
        if (claim(path, decl.name.span, instance.trace)) {
          weights.push({
            weight: { kind: decl.kind, path, dtype, shape, init, doc: decl.doc, span: decl.span },
            trace: instance.trace,
          });
        }
      }
    }
  };
  visit(model);
  return { instances, models, weights };
}

/** The number parameters of an instance. */
function numbersIn({ params }: Instance): ReadonlyMap<string, Rational> {
  const numbers = new Map<string, Rational>();
  for (const [name, binding] of params)
    if (binding.kind === "value" && binding.value.kind === "number") numbers.set(name, binding.value.value);
  return numbers;
}

/**
 * Losses and observed values by path; equal paths are numbered. Updates by the path of their state. `learned`: paths of
 * weights whose gradients may be among the results.
 */
export function nameCalls(
  { losses, observes, updates }: Unroller,
  learned: readonly string[],
): {
  readonly losses: readonly ModelLoss[];
  readonly observes: readonly ModelObserve[];
  readonly updates: readonly ModelUpdate[];
} {
  const lossPaths = numbered(losses.map((l) => joinPath(l.node.path, l.name)));
  const states = updates.map(({ state }) => joinPath(state.owner.path, state.decl.name.text));
  // Result names are the paths of observed values, `state.<path>` and `grad.<path>`.
  const taken = [
    ...states.map((path) => joinPath("state", path)),
    ...new Set(learned.map((path) => joinPath("grad", path))),
  ];
  const observePaths = numbered([...taken, ...observes.map((o) => joinPath(o.node.path, o.name))]).slice(taken.length);
  return {
    losses: losses.map((l, i) => ({ path: lossPaths[i] ?? l.name, value: l.value, own: l.own })),
    observes: observes.map((o, i) => ({ path: observePaths[i] ?? o.name, value: o.value })),
    updates: updates.map(({ value }, i) => ({ path: states[i] ?? "", value })),
  };
}

/** Numbers equal paths: `y#0`, `y#1`. */
export function numbered(paths: readonly string[]): readonly string[] {
  const total = new Map<string, number>();
  for (const p of paths) total.set(p, (total.get(p) ?? 0) + 1);
  const next = new Map<string, number>();
  return paths.map((p) => {
    if ((total.get(p) ?? 0) < 2) return p;
    const n = next.get(p) ?? 0;
    next.set(p, n + 1);
    return `${p}#${n}`;
  });
}
