// The checker: source text → model. Reads files, resolves names, creates instances, unrolls the entered function.
import { isOp } from "./model/types.js";
import { withSources, type Diagnostic } from "../diagnostics/diagnostic.js";
import type { SourceFile, Span } from "../diagnostics/span.js";
import type { Rational } from "../../ground/numerics/rational.js";
import { liveSize, toExpr } from "../../ground/size/size.js";
import type { Allow, Block, Fn, Param } from "../syntax/ast.js";
import type { Parsed } from "../syntax/parsed.js";
import { Instance, joinPath } from "./names/bindings.js";
import { checkCausality } from "./checks/causality.js";
import { ERROR, type ConstValue } from "./model/context.js";
import { checkRouters } from "./checks/dead-router.js";
import { checkResiduals } from "./checks/doubled-residual.js";
import { checkContrasts, checkSequences, checkPasses } from "./checks/updates.js";
import { enter } from "./unroll/entry.js";
import { environment } from "./eval/evaluate.js";
import { loadFiles, type Files, type Read } from "./names/files.js";
import { inspect, nameCalls, numbered } from "./unroll/inspect.js";
import { Instantiator } from "./instances/instantiate.js";
import { librarySources } from "./names/library.js";
import type { ReportAt } from "./model/model-values.js";
import type { Entry, LiveParameter, Model, Phase } from "./model/model.js";
import { constantOf } from "./names/names.js";
import { givenParameters } from "./instances/overrides.js";
import { checkDeclarations } from "./checks/declarations.js";
import { Abort, Checker } from "./model/checker.js";
import { nearest } from "../../ground/numerics/nearest.js";
import { checkUnread } from "./checks/unread.js";
import { Unroller } from "./unroll/unroll.js";
import { printNumber, printValue } from "./model/values.js";
import { nestedKeys, weightKeys } from "./unroll/weight-keys.js";
import type { Witness } from "./model/witness.js";
import type { FoundRoute } from "./unroll/call-tree.js";

export interface CheckOptions {
  readonly phase: Phase;
  /** The function to enter; default: objective in train, else forward. */
  readonly entry?: Entry;
  /** The name of the model, if the file declares several. */
  readonly model?: string;
  /** Model parameters, as expressions in the language. */
  readonly set?: Readonly<Record<string, string>>;
  /** The option that set a parameter, for messages to point into; default: `--set`. */
  readonly setBy?: (name: string) => string;
  readonly read: Read;
  /** The name of an imported file in spans, by its path relative to the root file's folder; default: the path. */
  readonly nameOf?: (path: string) => string;
  /** Parses a file of the user's, for callers that keep trees; default: `parse`. */
  readonly parse?: (source: SourceFile) => Parsed;
  readonly witness?: Witness;
}

export interface Checked {
  /** Null after errors. */
  readonly model: Model | null;
  readonly diagnostics: readonly Diagnostic[];
  /** Every file that was read, the root first, and a pseudo-file for each parameter that was set. */
  readonly sources: readonly SourceFile[];
  /** Every `@allow` in the user's files, and whether it suppressed a warning here. */
  readonly allows: readonly (Allow & { readonly used: boolean })[];
}

/** Checks a file and the model in it for one phase and entry. Never throws for a fault of the source. */
export function check(root: SourceFile, options: CheckOptions): Checked {
  const isLibrary = (file: string): boolean => file !== root.file && librarySources.has(file);
  const checker = new Checker(options.phase, isLibrary, options.witness);
  const sources: SourceFile[] = [];
  let model: Model | null = null;
  try {
    const files = loadFiles(checker, root, options, sources);
    if (!files.broken) model = checkModel(checker, files, options, sources);
  } catch (fault) {
    // A limit was exceeded, which has been reported.
    if (!(fault instanceof Abort)) throw fault;
  }
  return {
    model: checker.hasErrors ? null : model,
    diagnostics: withSources(checker.diagnostics, sources),
    sources,
    allows: checker.allows,
  };
}

function checkModel(checker: Checker, files: Files, options: CheckOptions, sources: SourceFile[]): Model | null {
  const userFiles = files.all.filter((file) => !file.library);
  // When one model is selected, the other models of the file are skipped.
  const skip = (block: Block): boolean =>
    block.model && options.model !== undefined && block.name.text !== options.model;
  for (const file of userFiles) checkDeclarations(checker, file, skip);
  for (const file of userFiles)
    for (const decl of file.tree.declarations)
      if (decl.kind === "const")
        constantOf({ kind: "const", decl, file }, decl.name.span, environment(checker, file.scope, "a constant"));
  const decl = chooseModel(checker, files, options.model);
  if (decl === null) return null;
  const overrides = givenParameters(checker, files.root, decl, options.set ?? {}, options.setBy);
  sources.push(...overrides.sources);
  const live: LiveParameter[] = [];
  const instance = new Instance(decl, files.root, decl.name.span);
  new Instantiator(checker).bindParameters(instance, (p, value) => {
    const set = overrides.values.get(p.name.text);
    const chosen = set === undefined ? value() : set(instance.params);
    return p.live ? asLive(p.name.text, p.type.kind === "float" ? "float" : "ratio", chosen, live) : chosen;
  });
  const entry = options.entry ?? (options.phase === "train" ? "objective" : "forward");
  const fn = entryOf(checker, instance, entry);
  const inside = inspect(checker, instance);
  const { keys, ignore } = weightKeys(checker, instance, inside.weights);
  if (fn === null) return null;
  const unroller = new Unroller({ checker, entry, live });
  options.witness?.axes?.(unroller.axes.axis);
  const entered = enter(checker, unroller, instance, fn);
  if (entered === null || entered.result.kind === "error") return null;
  unroller.finish();
  const learned = inside.weights.filter(({ weight }) => weight.kind === "weight" && weight.dtype === "f32");
  const called = nameCalls(unroller, entry === "objective" ? learned.map(({ weight }) => weight.path) : []);
  for (const { path, value } of called.observes)
    if (isOp(value, "top_entries") || isOp(value, "those_entries")) unroller.nameChoice(value, path);
  const model: Model = {
    name: decl.name.text,
    file: files.root.tree.file,
    phase: options.phase,
    entry,
    parameters: decl.params.map((p) => ({ name: p.name.text, value: printParameter(checker, instance, p, live) })),
    axes: unroller.axes.finished(),
    live,
    instances: inside.instances,
    calls: unroller.calls,
    weights: inside.weights.map(({ weight }) => ({ ...weight, keys: keys.get(weight.path) ?? [weight.path] })),
    ignore,
    models: inside.models.map((nested) => ({ path: nested.path, ...nestedKeys(checker, nested, inside.weights) })),
    inputs: entered.inputs,
    outputs: outputsOf(entered.result, fn),
    ...called,
    routes: nameRoutes([...unroller.routes.values()]),
    mixtures: unroller.mixtures.map(({ node, ...mixture }) => ({ path: node.path, ...mixture })),
  };
  const reportAt: ReportAt = (...found) => unroller.reportAt(...found);
  checkCausality(model, reportAt, (value) => unroller.madeInCall(value));
  // After an error some values are placeholders that pass on no gradient, so routers are checked only without errors.
  if (!checker.hasErrors) checkRouters(model, reportAt, (file) => checker.isLibrary(file));
  checkResiduals(model, reportAt);
  checkSequences(model, reportAt);
  checkContrasts(model, reportAt);
  checkPasses(model, reportAt);
  // After an error elsewhere, an unread member may be a consequence of that error.
  if (!checker.hasErrors) checkUnread(checker, files.all, skip);
  return model;
}

function chooseModel(checker: Checker, files: Files, wanted: string | undefined): Block | null {
  const { tree } = files.root;
  const models = tree.declarations.filter((d) => d.kind === "block").filter((d) => d.model);
  const names = models.map((m) => m.name.text);
  const [only, second] = models;
  const head: Span = { file: tree.file, start: 0, end: 0 };
  if (wanted !== undefined) {
    const named = models.find((m) => m.name.text === wanted);
    if (named === undefined)
      checker.report(
        "unknown-model",
        { name: wanted, models: names, suggestion: nearest(wanted, names) },
        only?.name.span ?? head,
      );
    return named ?? null;
  }
  if (only === undefined) checker.report("no-model", { file: tree.file }, head);
  else if (second !== undefined) checker.report("several-models", { models: names }, second.name.span);
  return second === undefined ? (only ?? null) : null;
}

/** Makes a live parameter a symbolic size; its declared or set value is its default. */
function asLive(name: string, kind: LiveParameter["kind"], value: ConstValue, live: LiveParameter[]): ConstValue {
  if (value.kind !== "number") return ERROR;
  const fallback: Rational = value.value;
  live.push({ name, kind, default: fallback });
  return { kind: "size", size: toExpr(liveSize(name)) };
}

function printParameter(
  checker: Checker,
  instance: Instance,
  { name, span }: Param,
  live: readonly LiveParameter[],
): string {
  const parameter = live.find((l) => l.name === name.text);
  if (parameter !== undefined) return printNumber({ kind: "number", value: parameter.default, form: parameter.kind });
  const binding = instance.params.get(name.text);
  return binding?.kind === "value" ? printValue(binding.value, (items) => checker.spend(items, span)) : "";
}

function entryOf(checker: Checker, model: Instance, entry: Entry): Fn | null {
  const definition = model.bodyNames.get(entry);
  if (definition?.kind === "function") return definition.fn;
  checker.report("no-function", { block: model.block, name: entry }, model.decl.name.span);
  return null;
}

function outputsOf(result: ConstValue, fn: Fn): Model["outputs"] {
  if (result.kind === "tensor") return [{ name: fn.results[0]?.name?.text ?? "output", value: result.value }];
  if (result.kind !== "tuple") return [];
  return result.items.flatMap((item, i) =>
    item.kind === "tensor" ? [{ name: result.names[i] ?? "output", value: item.value }] : [],
  );
}

/**
 * The call's path if the call has one route; else with the bound name, `layers.0.moe.expert#3`; the bound name alone in
 * the model's own functions.
 */
function nameRoutes(found: readonly FoundRoute[]): Model["routes"] {
  const routesPerCall = new Map<string, number>();
  for (const { node } of found) routesPerCall.set(node.path, (routesPerCall.get(node.path) ?? 0) + 1);
  const paths = numbered(
    found.map(({ node, name }) =>
      node.path !== "" && routesPerCall.get(node.path) === 1 ? node.path : joinPath(node.path, name),
    ),
  );
  return found.map(({ axis }, i) => ({ axis, path: paths[i]! }));
}
