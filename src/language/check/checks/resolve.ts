// Checks the names in every block of a file, whether the model uses it or not: finds unknown and duplicate names
// without instantiation.
import type { Span } from "../../diagnostics/span.js";
import { isInteger, toNumber } from "../../../ground/numerics/rational.js";
import type { Block, Expr, Fn, Input, Member, Name, Param, Stmt, TypeExpr } from "../../syntax/ast.js";
import type { Binding, LoadedFile, Scope } from "../names/bindings.js";
import { builtins } from "../builtins/index.js";
import { isCompileTimeFunction, phaseValue } from "../eval/compile-time.js";
import { ERROR } from "../context.js";
import { libraryExports } from "../names/library.js";
import { unknownName } from "../names/names.js";
import { namesOf } from "../names/nodes.js";
import { MAX_EXTENT } from "../limits.js";
import { axisNameOf } from "../unroll/match-types.js";
import { nameOfKind } from "../instances/parameters.js";
import type { Checker } from "../checker.js";

/** A binding for a known name, whose value does not matter here. */
const KNOWN: Binding = { kind: "value", value: ERROR };

/** Reports unknown and duplicate names in all declarations of a file except the blocks to skip. */
export function checkNames(checker: Checker, file: LoadedFile, skip: (block: Block) => boolean = () => false): void {
  for (const d of file.tree.declarations) {
    if (d.kind === "block" && skip(d)) continue;
    if (d.kind === "const") checkExpr(checker, d.value, file.scope);
    else checkBlock(checker, d, file.scope);
  }
  reportMissingImports(checker, file);
}

/** Reports once, at the first use, all names of the library that the file uses and does not import. */
function reportMissingImports(checker: Checker, { tree }: LoadedFile): void {
  const uses = [...(checker.unimported.get(tree.file) ?? [])];
  const [first] = uses;
  if (first === undefined) return;
  const imported = tree.imports.filter((i) => i.from === "std").flatMap((i) => i.names.map((name) => name.text));
  checker.report("missing-import", { missing: uses.map(([name]) => name).toSorted(), imported }, first[1]);
}

function checkBlock(checker: Checker, block: Block, file: Scope): void {
  const params = new Map<string, Binding>();
  for (const p of block.params) {
    checkParam(checker, block, p);
    if (p.default !== null) checkExpr(checker, p.default, file.inner(params));
    if (params.has(p.name.text)) duplicate(checker, p.name, "among the parameters");
    params.set(p.name.text, KNOWN);
  }
  const members = new Map<string, Binding>(namesOf(block.members).map((n) => [n, KNOWN]));
  const functions = new Map<string, Binding>(functionsOf(block.members).map((f) => [f.name.text, KNOWN]));
  const types = file.inner(members).inner(params);
  const bodies = file.inner(params).inner(new Map([...members, ...functions]));
  checkMembers(checker, block, block.members, { types, bodies });
}

function checkParam(checker: Checker, block: Block, p: Param): void {
  const name = p.name.text;
  if (block.model && p.default === null)
    checker.report("parameter-without-default", { model: block.name.text, name }, p.name.span);
  if (block.model && holdsBlock(p.type)) checker.report("block-parameter-of-model", { name }, p.typeSpan);
  if (p.live && !block.model) checker.report("live-outside-model", { name, block: block.name.text }, p.name.span);
  if (p.live && p.type.kind !== "ratio" && p.type.kind !== "float")
    checker.report("live-kind", { name, kind: nameOfKind(p.type) }, p.typeSpan);
}

const holdsBlock = (kind: Param["type"]): boolean =>
  kind.kind === "list" ? holdsBlock(kind.of) : kind.kind === "block";

interface Scopes {
  /** The scope of types, conditions and right-hand sides of members. */
  readonly types: Scope;
  readonly bodies: Scope;
}

function checkMembers(checker: Checker, block: Block, members: readonly Member[], scopes: Scopes): void {
  const { types, bodies } = scopes;
  const seen = new Set<string>();
  for (const m of members) {
    if ("name" in m) {
      if (seen.has(m.name.text)) duplicate(checker, m.name, "among the members");
      seen.add(m.name.text);
    }
    switch (m.kind) {
      case "sub-block":
        checkExpr(checker, m.value, types);
        break;
      case "weight":
      case "state":
        checkDims(checker, m.type, types, `a dimension of the ${m.kind} \`${m.name.text}\``);
        if (m.init !== null) checkInitialiser(checker, m.init, types);
        break;
      case "member-if":
        checkExpr(checker, m.condition, types);
        checkMembers(checker, block, m.then, scopes);
        checkMembers(checker, block, m.else, scopes);
        break;
      case "function":
        checkFunction(checker, m, types, bodies);
        break;
      case "names":
        if (!block.model) checker.report("names-outside-model", { block: block.name.text }, m.span);
        break;
      default:
        m satisfies never;
    }
  }
}

/** The function of an initialiser, such as `zeros` or `normal(…)`, is not a name of the file. */
function checkInitialiser(checker: Checker, init: Expr, scope: Scope): void {
  if (init.kind === "if") {
    checkExpr(checker, init.condition, scope);
    checkInitialiser(checker, init.then, scope);
    checkInitialiser(checker, init.else, scope);
  } else if (init.kind === "call") for (const a of init.args) checkExpr(checker, a.value, scope);
}

function checkFunction(checker: Checker, fn: Fn, types: Scope, bodies: Scope): void {
  const [result] = fn.results;
  if (fn.name.text === "objective" && result !== undefined) checker.report("objective-result", {}, result.type.span);
  const axes = new Map<string, Binding>();
  const typeScope = types.inner(axes);
  for (const type of [...fn.inputs.map((i) => i.type), ...fn.results.map((r) => r.type)]) {
    for (const d of type.dims) {
      const name = d.kind === "dim" ? axisNameOf(d.value, typeScope) : null;
      if (name !== null) axes.set(name, KNOWN);
    }
  }
  for (const type of [...fn.inputs.map((i) => i.type), ...fn.results.map((r) => r.type)])
    checkDims(checker, type, typeScope);
  const locals = new Map(axes);
  checkInputs(checker, fn.inputs, locals);
  const results = new Set<string>();
  for (const { name } of fn.results) {
    if (name !== null && results.has(name.text)) duplicate(checker, name, "among the results");
    if (name !== null) results.add(name.text);
  }
  checkStatements(checker, fn.body, bodies.inner(locals), { names: new Set(), outer: null });
}

function checkInputs(checker: Checker, inputs: readonly Input[], locals: Map<string, Binding>): void {
  const seen = new Set<string>();
  for (const { name } of inputs) {
    if (seen.has(name.text)) duplicate(checker, name, "among the inputs");
    seen.add(name.text);
    locals.set(name.text, KNOWN);
  }
}

function checkDims(checker: Checker, type: TypeExpr, scope: Scope, what = "a dimension"): void {
  const [, surplus] = type.dims.filter((d) => d.kind === "rest");
  if (surplus !== undefined) checker.report("repeated-rest", {}, surplus.span);
  for (const d of type.dims) {
    if (d.kind === "rest") continue;
    checkExpr(checker, d.value, scope);
    checkExtent(checker, d.value, what);
    if (d.bound === null) continue;
    checkExpr(checker, d.bound, scope);
    checkExtent(checker, d.bound, "a bound");
  }
}

/** Reports a literal that is not a valid extent for any parameters of the block. */
function checkExtent(checker: Checker, expr: Expr, what: string): void {
  if (expr.kind !== "number" || !isInteger(expr.value)) return;
  const n = toNumber(expr.value);
  if (n < 1 || n > MAX_EXTENT)
    checker.report("size-out-of-range", { what, value: String(expr.value.num), max: MAX_EXTENT }, expr.span);
}

/** The losses seen so far in a function: the losses of the current branch, and of the enclosing body. */
interface Losses {
  readonly names: Set<string>;
  readonly outer: Losses | null;
}

function hasLoss(losses: Losses | null, name: string): boolean {
  for (let l = losses; l !== null; l = l.outer) if (l.names.has(name)) return true;
  return false;
}

/** Checks statements in source order; names bound in an `if` or a `for` are visible after it. */
function checkStatements(checker: Checker, body: readonly Stmt[], scope: Scope, losses: Losses): void {
  for (const s of body) {
    switch (s.kind) {
      case "assign":
        checkExpr(checker, s.value, scope);
        for (const t of s.targets) scope.table.set(t.text, KNOWN);
        break;
      case "for": {
        checkExpr(checker, s.list, scope);
        const hidden = scope.table.has(s.name.text);
        scope.table.set(s.name.text, KNOWN);
        checkStatements(checker, s.body, scope, losses);
        if (!hidden) scope.table.delete(s.name.text);
        break;
      }
      case "if":
        checkExpr(checker, s.condition, scope);
        // Only one branch runs, so both may define a loss with the same name.
        checkStatements(checker, s.then, scope, { names: new Set(), outer: losses });
        checkStatements(checker, s.else, scope, { names: new Set(), outer: losses });
        break;
      case "loss":
        checkExpr(checker, s.value, scope);
        if (hasLoss(losses, s.name.text)) duplicate(checker, s.name, "among the losses of this function");
        losses.names.add(s.name.text);
        break;
      case "observe":
        checkName(checker, s.name.text, s.name.span, scope);
        break;
      case "update":
        checkName(checker, s.name.text, s.name.span, scope);
        checkExpr(checker, s.value, scope);
        break;
      case "expr":
        checkExpr(checker, s.value, scope);
        break;
      default:
        s satisfies never;
    }
  }
}

function duplicate(checker: Checker, name: Name, where: string): void {
  checker.report("duplicate-name", { name: name.text, where }, name.span);
}

function checkName(checker: Checker, text: string, span: Span, scope: Scope): void {
  const known =
    scope.find(text) !== null ||
    builtins.has(text) ||
    isCompileTimeFunction(text) ||
    phaseValue(text, checker.phase) !== null;
  if (known) return;
  if (libraryExports().has(text)) checker.useUnimported(text, span);
  else unknownName(text, span, { checker, scope, pending: null });
}

/** Checks every name in an expression. */
function checkExpr(checker: Checker, expr: Expr, scope: Scope): void {
  switch (expr.kind) {
    case "number":
    case "string":
    case "bool":
    case "none":
      break;
    case "name":
      checkName(checker, expr.name, expr.span, scope);
      break;
    case "unary":
      checkExpr(checker, expr.operand, scope);
      break;
    case "binary":
      checkExpr(checker, expr.left, scope);
      checkExpr(checker, expr.right, scope);
      break;
    case "if":
      checkExpr(checker, expr.condition, scope);
      checkExpr(checker, expr.then, scope);
      checkExpr(checker, expr.else, scope);
      break;
    case "list":
      for (const item of expr.items) checkExpr(checker, item, scope);
      break;
    case "comprehension":
      checkExpr(checker, expr.list, scope);
      checkExpr(checker, expr.body, scope.inner(new Map([[expr.name.text, KNOWN]])));
      break;
    case "range":
      checkExpr(checker, expr.from, scope);
      checkExpr(checker, expr.to, scope);
      break;
    case "call":
      checkExpr(checker, expr.callee, scope);
      for (const a of expr.args) checkExpr(checker, a.value, scope);
      break;
    case "member":
      checkExpr(checker, expr.object, scope);
      break;
    case "index":
      checkExpr(checker, expr.object, scope);
      for (const i of expr.indices) {
        if (i.kind === "at") checkExpr(checker, i.value, scope);
        else if (i.kind === "slice") {
          if (i.start !== null) checkExpr(checker, i.start, scope);
          if (i.stop !== null) checkExpr(checker, i.stop, scope);
        }
      }
      break;
    default:
      expr satisfies never;
  }
}

/** Functions among members, including both branches of an `if`. */
function functionsOf(members: readonly Member[]): Fn[] {
  return members.flatMap((m) =>
    m.kind === "function" ? [m] : m.kind === "member-if" ? [...functionsOf(m.then), ...functionsOf(m.else)] : [],
  );
}
