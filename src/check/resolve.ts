// Names in every block of a file, used by the model or not: what is unknown or declared twice is found without making
// instances.
import { isInteger, toNumber } from "../size/rational.js";
import type { Block, Expr, Fn, Input, Member, Name, Param, Stmt, TypeExpr } from "../syntax/ast.js";
import type { Binding, LoadedFile, Scope } from "./bindings.js";
import { builtins } from "./builtins/index.js";
import { isCompileTimeFunction, phaseValue } from "./compile-time.js";
import { ERROR } from "./context.js";
import { unknownName } from "./names.js";
import { namesOf } from "./nodes.js";
import { MAX_EXTENT } from "./limits.js";
import { axisNameOf } from "./match-types.js";
import { nameOfKind } from "./parameters.js";
import type { Session } from "./session.js";

/** A name is known; what it stands for does not matter here. */
const KNOWN: Binding = { kind: "value", value: ERROR };

/**
 * Reports names that nothing in sight bears, and names declared twice, in all declarations of a file but the blocks to
 * skip.
 */
export function checkNames(session: Session, file: LoadedFile, skip: (block: Block) => boolean = () => false): void {
  for (const d of file.tree.declarations) {
    if (d.kind === "block" && skip(d)) continue;
    if (d.kind === "const") checkExpr(session, d.value, file.scope);
    else checkBlock(session, d, file.scope);
  }
}

function checkBlock(session: Session, block: Block, file: Scope): void {
  const params = new Map<string, Binding>();
  for (const p of block.params) {
    checkParam(session, block, p);
    if (p.default !== null) checkExpr(session, p.default, file.inner(params));
    if (params.has(p.name.text)) duplicate(session, p.name, "among the parameters");
    params.set(p.name.text, KNOWN);
  }
  const members = new Map<string, Binding>(namesOf(block.members).map((n) => [n, KNOWN]));
  const functions = new Map<string, Binding>(functionsOf(block.members).map((f) => [f.name.text, KNOWN]));
  const types = file.inner(members).inner(params);
  const bodies = file.inner(params).inner(new Map([...members, ...functions]));
  checkMembers(session, block, block.members, { types, bodies });
}

function checkParam(session: Session, block: Block, p: Param): void {
  const name = p.name.text;
  if (block.model && p.default === null)
    session.report("parameter-without-default", { model: block.name.text, name }, p.name.span);
  if (block.model && holdsBlock(p.type)) session.report("block-parameter-of-model", { name }, p.typeSpan);
  if (p.live && !block.model) session.report("live-outside-model", { name, block: block.name.text }, p.name.span);
  if (p.live && p.type.kind !== "ratio" && p.type.kind !== "float")
    session.report("live-kind", { name, kind: nameOfKind(p.type) }, p.typeSpan);
}

const holdsBlock = (kind: Param["type"]): boolean =>
  kind.kind === "list" ? holdsBlock(kind.of) : kind.kind === "block";

interface Scopes {
  /** What types, conditions and right-hand sides of members see. */
  readonly types: Scope;
  readonly bodies: Scope;
}

function checkMembers(session: Session, block: Block, members: readonly Member[], scopes: Scopes): void {
  const { types, bodies } = scopes;
  const seen = new Set<string>();
  for (const m of members) {
    if ("name" in m) {
      if (seen.has(m.name.text)) duplicate(session, m.name, "among the members");
      seen.add(m.name.text);
    }
    switch (m.kind) {
      case "sub-block":
        checkExpr(session, m.value, types);
        break;
      case "weight":
        checkDims(session, m.type, types, `a dimension of the weight \`${m.name.text}\``);
        if (m.init !== null) checkInitialiser(session, m.init, types);
        break;
      case "member-if":
        checkExpr(session, m.condition, types);
        checkMembers(session, block, m.then, scopes);
        checkMembers(session, block, m.else, scopes);
        break;
      case "function":
        checkFunction(session, m, types, bodies);
        break;
      case "names":
        if (!block.model) session.report("names-outside-model", { block: block.name.text }, m.span);
        break;
      default:
        m satisfies never;
    }
  }
}

/** The head of an initialiser is no name of the file: `zeros`, `normal(…)`. */
function checkInitialiser(session: Session, init: Expr, scope: Scope): void {
  if (init.kind === "if") {
    checkExpr(session, init.condition, scope);
    checkInitialiser(session, init.then, scope);
    checkInitialiser(session, init.else, scope);
  } else if (init.kind === "call") for (const a of init.args) checkExpr(session, a.value, scope);
}

function checkFunction(session: Session, fn: Fn, types: Scope, bodies: Scope): void {
  const [result] = fn.results;
  if (fn.name.text === "objective" && result !== undefined) session.report("objective-result", {}, result.type.span);
  const axes = new Map<string, Binding>();
  const typeScope = types.inner(axes);
  for (const type of [...fn.inputs.map((i) => i.type), ...fn.results.map((r) => r.type)]) {
    for (const d of type.dims) {
      const name = d.kind === "dim" ? axisNameOf(d.value, typeScope) : null;
      if (name !== null) axes.set(name, KNOWN);
    }
  }
  for (const type of [...fn.inputs.map((i) => i.type), ...fn.results.map((r) => r.type)])
    checkDims(session, type, typeScope);
  const locals = new Map(axes);
  checkInputs(session, fn.inputs, locals);
  const results = new Set<string>();
  for (const { name } of fn.results) {
    if (name !== null && results.has(name.text)) duplicate(session, name, "among the results");
    if (name !== null) results.add(name.text);
  }
  checkStatements(session, fn.body, bodies.inner(locals), { names: new Set(), outer: null });
}

function checkInputs(session: Session, inputs: readonly Input[], locals: Map<string, Binding>): void {
  const seen = new Set<string>();
  for (const { name } of inputs) {
    if (seen.has(name.text)) duplicate(session, name, "among the inputs");
    seen.add(name.text);
    locals.set(name.text, KNOWN);
  }
}

function checkDims(session: Session, type: TypeExpr, scope: Scope, what = "a dimension"): void {
  const [, surplus] = type.dims.filter((d) => d.kind === "rest");
  if (surplus !== undefined) session.report("repeated-rest", {}, surplus.span);
  for (const d of type.dims) {
    if (d.kind === "rest") continue;
    checkExpr(session, d.value, scope);
    checkExtent(session, d.value, what);
    if (d.bound === null) continue;
    checkExpr(session, d.bound, scope);
    checkExtent(session, d.bound, "a bound");
  }
}

/** A literal is no extent whatever the parameters of the block are. */
function checkExtent(session: Session, expr: Expr, what: string): void {
  if (expr.kind !== "number" || !isInteger(expr.value)) return;
  const n = toNumber(expr.value);
  if (n < 1 || n > MAX_EXTENT)
    session.report("size-out-of-range", { what, value: String(expr.value.num), max: MAX_EXTENT }, expr.span);
}

/** The losses that a function has had so far: those of a branch, and of what it stands in. */
interface Losses {
  readonly names: Set<string>;
  readonly outer: Losses | null;
}

function hasLoss(losses: Losses | null, name: string): boolean {
  for (let l = losses; l !== null; l = l.outer) if (l.names.has(name)) return true;
  return false;
}

/** In the order of the text; what an `if` or a `for` binds is seen after it. */
function checkStatements(session: Session, body: readonly Stmt[], scope: Scope, losses: Losses): void {
  for (const s of body) {
    switch (s.kind) {
      case "assign":
        checkExpr(session, s.value, scope);
        for (const t of s.targets) scope.table.set(t.text, KNOWN);
        break;
      case "for": {
        checkExpr(session, s.list, scope);
        const hidden = scope.table.has(s.name.text);
        scope.table.set(s.name.text, KNOWN);
        checkStatements(session, s.body, scope, losses);
        if (!hidden) scope.table.delete(s.name.text);
        break;
      }
      case "if":
        checkExpr(session, s.condition, scope);
        // Only one branch runs, so each may have a loss of the same name.
        checkStatements(session, s.then, scope, { names: new Set(), outer: losses });
        checkStatements(session, s.else, scope, { names: new Set(), outer: losses });
        break;
      case "loss":
        checkExpr(session, s.value, scope);
        if (hasLoss(losses, s.name.text)) duplicate(session, s.name, "among the losses of this function");
        losses.names.add(s.name.text);
        break;
      case "observe":
        checkName(session, s.name, scope);
        break;
      case "expr":
        checkExpr(session, s.value, scope);
        break;
      default:
        s satisfies never;
    }
  }
}

function duplicate(session: Session, name: Name, where: string): void {
  session.report("duplicate-name", { name: name.text, where }, name.span);
}

function checkName(session: Session, { text, span }: Name, scope: Scope): void {
  const known =
    scope.find(text) !== null ||
    builtins.has(text) ||
    isCompileTimeFunction(text) ||
    phaseValue(text, session.phase) !== null;
  if (!known) unknownName(text, span, { session, scope, pending: null });
}

/** With a list of what is left to do rather than by recursion: `a + b + c + …` may be long. */
function checkExpr(session: Session, root: Expr, outer: Scope): void {
  const todo: { readonly expr: Expr; readonly scope: Scope }[] = [{ expr: root, scope: outer }];
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    const { expr, scope } = next;
    const push = (...all: readonly (Expr | null)[]): void => {
      for (const e of all) if (e !== null) todo.push({ expr: e, scope });
    };
    switch (expr.kind) {
      case "number":
      case "string":
      case "bool":
      case "none":
        break;
      case "name":
        checkName(session, { text: expr.name, span: expr.span }, scope);
        break;
      case "unary":
        push(expr.operand);
        break;
      case "binary":
        push(expr.left, expr.right);
        break;
      case "if":
        push(expr.condition, expr.then, expr.else);
        break;
      case "list":
        for (const item of expr.items) push(item);
        break;
      case "comprehension":
        push(expr.list);
        todo.push({ expr: expr.body, scope: scope.inner(new Map([[expr.name.text, KNOWN]])) });
        break;
      case "range":
        push(expr.from, expr.to);
        break;
      case "call":
        push(expr.callee);
        for (const a of expr.args) push(a.value);
        break;
      case "member":
        push(expr.object);
        break;
      case "index":
        push(expr.object);
        for (const i of expr.indices) {
          if (i.kind === "at") push(i.value);
          else if (i.kind === "slice") push(i.start, i.stop);
        }
        break;
      default:
        expr satisfies never;
    }
  }
}

/** Functions among members, those in either branch of an `if` too. */
function functionsOf(members: readonly Member[]): Fn[] {
  return members.flatMap((m) =>
    m.kind === "function" ? [m] : m.kind === "member-if" ? [...functionsOf(m.then), ...functionsOf(m.else)] : [],
  );
}
