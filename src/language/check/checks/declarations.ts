// Checks the declarations of a file without instantiation, whether the model uses them or not: unknown and duplicate
// names, parameters, and literal dimensions.
import { isInteger, toNumber } from "../../../ground/numerics/rational.js";
import { allMembers, declarationOf, type NameScope } from "../../names/definitions.js";
import { Resolver } from "../../names/resolve.js";
import type { Block, Expr, Fn, Member, Name, Param, Stmt, TypeExpr } from "../../syntax/ast.js";
import type { LoadedFile } from "../names/bindings.js";
import { builtins } from "../builtins/index.js";
import { isCompileTimeFunction, phaseValue } from "../eval/compile-time.js";
import { libraryExports } from "../names/library.js";
import { unknownName } from "../names/names.js";
import { MAX_EXTENT } from "../model/limits.js";
import { nameOfKind } from "../instances/parameters.js";
import type { Checker } from "../model/checker.js";

/** Checks all declarations of a file except the blocks to skip. */
export function checkDeclarations(checker: Checker, file: LoadedFile, skips: (block: Block) => boolean): void {
  const sizes = sizesOf(file.tree.declarations);
  const known = new Set<string>();
  new Resolver(file.tree, {
    imported: (_, name) => {
      const definition = file.scope.find(name.text);
      if (definition?.kind === "block") return declarationOf(definition.block);
      return definition?.kind === "const" ? declarationOf(definition.decl) : null;
    },
    skips,
    mentioned: (name, meaning, scope) => {
      if (meaning !== null) return;
      const fn = sizes.get(name.span.start);
      // Once in a function, whose types may have it often.
      const key = `${fn?.span.start} ${name.text}`;
      if (fn && known.has(key)) return checker.leaveOut("unknown-name", name.span);
      if (fn) known.add(key);
      checkUnresolved(checker, name, scope, fn ? newAxis(name.text) : undefined);
    },
  }).resolve();
  for (const d of file.tree.declarations) if (d.kind === "block" && !skips(d)) checkBlock(checker, d);
  reportMissingImports(checker, file);
}

/** The functions by the places of names that are sizes in the types of their inputs and results. */
function sizesOf(declarations: LoadedFile["tree"]["declarations"]): ReadonlyMap<number, Fn> {
  const sizes = new Map<number, Fn>();
  for (const d of declarations)
    for (const fn of d.kind === "block" ? allMembers(d.members) : [])
      if (fn.kind === "function")
        for (const { type } of [...fn.inputs, ...fn.results])
          for (const dim of type.dims)
            if (dim.kind === "dim" && dim.value.kind === "name") sizes.set(dim.value.span.start, fn);
  return sizes;
}

const newAxis = (name: string): string =>
  `a new axis has a capital letter, \`${name.charAt(0).toUpperCase()}${name.slice(1)}\`; a number is a parameter of ` +
  `the block, \`${name}: int\``;

/** A name that the file does not declare is built in, a name of the library, or unknown. */
function checkUnresolved(checker: Checker, { text, span }: Name, scope: NameScope, hint?: string): void {
  if (builtins.has(text) || isCompileTimeFunction(text) || phaseValue(text, checker.phase) !== null) return;
  if (libraryExports().has(text)) checker.useUnimported(text, span);
  else unknownName(text, span, { checker, scope, pending: null }, hint);
}

/** Reports once, at the first use, all names of the library that the file uses and does not import. */
function reportMissingImports(checker: Checker, { tree }: LoadedFile): void {
  const uses = [...(checker.unimported.get(tree.file) ?? [])];
  const [first] = uses;
  if (first === undefined) return;
  const imported = tree.imports.filter((i) => i.from === "std").flatMap((i) => i.names.map((name) => name.text));
  checker.report("missing-import", { missing: uses.map(([name]) => name).toSorted(), imported }, first[1]);
}

function checkBlock(checker: Checker, block: Block): void {
  for (const p of block.params) checkParam(checker, block, p);
  reportDuplicates(checker, block.params, "among the parameters");
  checkMembers(checker, block, block.members);
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

function checkMembers(checker: Checker, block: Block, members: readonly Member[]): void {
  reportDuplicates(
    checker,
    members.filter((m) => "name" in m),
    "among the members",
  );
  for (const m of members) {
    switch (m.kind) {
      case "sub-block":
        break;
      case "weight":
      case "state":
        checkDims(checker, m.type, `a dimension of the ${m.kind} \`${m.name.text}\``);
        break;
      case "member-if":
        checkMembers(checker, block, m.then);
        checkMembers(checker, block, m.else);
        break;
      case "function":
        checkFunction(checker, m);
        break;
      case "names":
        if (!block.model) checker.report("names-outside-model", { block: block.name.text }, m.span);
        break;
      default:
        m satisfies never;
    }
  }
}

function checkFunction(checker: Checker, fn: Fn): void {
  const [result] = fn.results;
  if (fn.name.text === "objective" && result !== undefined) checker.report("objective-result", {}, result.type.span);
  for (const { type } of [...fn.inputs, ...fn.results]) checkDims(checker, type);
  reportDuplicates(checker, fn.inputs, "among the inputs");
  reportDuplicates(checker, fn.results, "among the results");
  checkLosses(checker, fn.body, new Set());
}

function checkDims(checker: Checker, type: TypeExpr, what = "a dimension"): void {
  const [, surplus] = type.dims.filter((d) => d.kind === "rest");
  if (surplus !== undefined) checker.report("repeated-rest", {}, surplus.span);
  for (const d of type.dims) {
    if (d.kind === "rest") continue;
    checkExtent(checker, d.value, what);
    if (d.bound !== null) checkExtent(checker, d.bound, "a bound");
  }
}

/** Reports a literal that is not a valid extent for any parameters of the block. */
function checkExtent(checker: Checker, expr: Expr, what: string): void {
  if (expr.kind !== "number" || !isInteger(expr.value)) return;
  const n = toNumber(expr.value);
  if (n < 1 || n > MAX_EXTENT)
    checker.report("size-out-of-range", { what, value: String(expr.value.num), max: MAX_EXTENT }, expr.span);
}

/** Reports losses that have the name of an earlier loss. `seen`: the losses so far, to which this adds. */
function checkLosses(checker: Checker, body: readonly Stmt[], seen: Set<string>): void {
  for (const s of body) {
    if (s.kind === "for") checkLosses(checker, s.body, seen);
    else if (s.kind === "if") {
      // Only one branch runs, so both may define a loss with the same name.
      checkLosses(checker, s.then, new Set(seen));
      checkLosses(checker, s.else, new Set(seen));
    } else if (s.kind === "loss") {
      if (seen.has(s.name.text)) duplicate(checker, s.name, "among the losses of this function");
      seen.add(s.name.text);
    }
  }
}

/** Reports each item that has the name of an earlier one. */
function reportDuplicates(checker: Checker, items: readonly { readonly name: Name | null }[], where: string): void {
  const seen = new Set<string>();
  for (const { name } of items) {
    if (name === null) continue;
    if (seen.has(name.text)) duplicate(checker, name, where);
    seen.add(name.text);
  }
}

function duplicate(checker: Checker, name: Name, where: string): void {
  checker.report("duplicate-name", { name: name.text, where }, name.span);
}
