// Resolves every name of a file, from the syntax tree alone, with the checker's scopes.
import type { Block, Expr, File, Fn, Member, Name, Stmt, TypeExpr } from "../syntax/ast.js";
import { Blocks } from "./blocks.js";
import {
  Scope,
  type BlockDefinition,
  type Defined,
  type Definition,
  type Names,
  type Occurrence,
  type OfKind,
  type Others,
} from "./definitions.js";

export function namesOf(file: File, others: Others): Names {
  return new Reader(file, others).read();
}

class Reader {
  readonly #definitions: Definition[] = [];
  readonly #occurrences: Occurrence[] = [];
  readonly #exports = new Map<string, Definition>();
  readonly #members = new Map<Block, Map<string, Definition[]>>();
  readonly #file = new Scope(null);
  readonly #blocks: Blocks;
  readonly #callees = new Map<number, readonly OfKind<"function">[]>();
  /** Work postponed until the signatures of all functions are known. */
  readonly #later: (() => void)[] = [];

  constructor(
    readonly tree: File,
    readonly others: Others,
  ) {
    const own = {
      definitions: this.#definitions,
      membersOf: (block: Block): ReadonlyMap<string, readonly Definition[]> => this.#members.get(block) ?? new Map(),
    };
    this.#blocks = new Blocks({
      givenTo: (parameter) => this.#givenTo(parameter),
      namesOf: (file) => (file === tree.file ? own : others.namesOf(file)),
    });
  }

  read(): Names {
    const imported = this.#imports();
    for (const d of this.tree.declarations) {
      const made = this.#define(d.name, d.kind === "const" ? { kind: "const", node: d } : { kind: "block", node: d });
      this.#file.add(made);
      this.#exports.set(d.name.text, made);
    }
    // All members are declared first, because functions refer to members of blocks declared further down.
    const scopes = this.tree.declarations.flatMap((d) =>
      d.kind === "block" ? [[d, this.#declareMembers(d)] as const] : [],
    );
    for (const d of this.tree.declarations) if (d.kind === "const") this.#expr(d.value, this.#file);
    for (const [block, types] of scopes) this.#block(block, types);
    for (const work of this.#later) work();
    this.#occurrences.sort((a, b) => a.span.start - b.span.start);
    this.#definitions.sort((a, b) => a.name.span.start - b.name.span.start);
    return {
      file: this.tree.file,
      exports: this.#exports,
      imported,
      definitions: this.#definitions,
      occurrences: this.#occurrences,
      calleesAt: (start) => this.#callees.get(start) ?? [],
      membersOf: (block) => this.#members.get(block) ?? new Map(),
    };
  }

  /** The blocks passed to a parameter, including blocks of the file that is being read. */
  #givenTo(parameter: OfKind<"parameter">): readonly BlockDefinition[] {
    return this.others.givenTo(parameter).flatMap(({ name, file }) => {
      const exports = file === this.tree.file ? this.#exports : this.others.namesOf(file).exports;
      const found = exports.get(name);
      return found?.kind === "block" ? [found] : [];
    });
  }

  #imports(): ReadonlyMap<string, Definition> {
    const imported = new Map<string, Definition>();
    for (const { names, from } of this.tree.imports) {
      const exports = this.others.exportsOf(from);
      for (const name of names) {
        const found = exports?.get(name.text);
        this.#mention(name, found ? [found] : []);
        if (!found) continue;
        this.#file.add(found, name.text);
        imported.set(name.text, found);
      }
    }
    return imported;
  }

  // --- definitions

  #define(
    name: Name,
    defined: Defined,
    place: { readonly from: number; readonly to: number } = EVERYWHERE,
  ): Definition {
    const made: Definition = { ...defined, name, ...place };
    this.#definitions.push(made);
    this.#mention(name, [made], { binds: true, holds: Math.max(place.from, name.span.end) });
    return made;
  }

  #mention(
    { span }: Pick<Name, "span">,
    definitions: readonly Definition[],
    { binds = false, called = false, object = null, holds = span.end }: Partial<Occurrence> = {},
  ): void {
    this.#occurrences.push({ span, definitions, binds, called, object, holds });
  }

  /** Declares parameters and members; returns the scope for types and right-hand sides of members. */
  #declareMembers(owner: Block): Scope {
    const inside = { from: owner.span.start, to: owner.span.end };
    const members = new Map<string, Definition[]>();
    this.#members.set(owner, members);
    const memberScope = new Scope(this.#file);
    const types = new Scope(memberScope);
    for (const p of owner.params) types.add(this.#define(p.name, { kind: "parameter", node: p, owner }, inside));
    const declare = (all: readonly Member[]): void => {
      for (const m of all) {
        if (m.kind === "member-if") {
          declare(m.then);
          declare(m.else);
        } else if (m.kind !== "names") {
          const defined: Defined =
            m.kind === "function"
              ? { kind: "function", node: m, owner }
              : m.kind === "sub-block"
                ? { kind: "sub-block", node: m, owner, scope: types }
                : { kind: "weight", node: m, owner };
          const made = this.#define(m.name, defined, inside);
          if (made.kind !== "function" && memberScope.own(m.name.text) === null) memberScope.add(made);
          members.set(m.name.text, [...(members.get(m.name.text) ?? []), made]);
        }
      }
    };
    declare(owner.members);
    return types;
  }

  // --- blocks and functions

  #block(block: Block, types: Scope): void {
    for (const p of block.params) if (p.default) this.#expr(p.default, types);
    const params = new Scope(this.#file);
    for (const p of block.params) params.add(types.own(p.name.text)!);
    const bodies = new Scope(params);
    for (const [name, found] of this.#members.get(block) ?? []) bodies.add(found[0]!, name);
    this.#memberList(block, block.members, types, bodies);
  }

  #memberList(owner: Block, members: readonly Member[], types: Scope, bodies: Scope): void {
    for (const m of members) {
      switch (m.kind) {
        case "sub-block":
          this.#expr(m.value, types);
          break;
        case "weight":
        case "state":
          this.#type(m.type, types);
          if (m.init) this.#initialiser(m.init, types);
          break;
        case "member-if":
          this.#expr(m.condition, types);
          this.#memberList(owner, m.then, types, bodies);
          this.#memberList(owner, m.else, types, bodies);
          break;
        case "function":
          this.#function(owner, m, types, bodies);
          break;
        case "names":
          break;
        default:
          m satisfies never;
      }
    }
  }

  /** The initializers `zeros` and `normal(…)` are not names of the file. */
  #initialiser(init: Expr, scope: Scope): void {
    if (init.kind === "if") {
      this.#expr(init.condition, scope);
      this.#initialiser(init.then, scope);
      this.#initialiser(init.else, scope);
    } else if (init.kind === "call") for (const a of init.args) this.#expr(a.value, scope);
  }

  #type(type: TypeExpr, scope: Scope): void {
    for (const d of type.dims) {
      if (d.kind === "rest") continue;
      this.#expr(d.value, scope);
      if (d.bound) this.#expr(d.bound, scope);
    }
  }

  #function(owner: Block, fn: Fn, types: Scope, bodies: Scope): void {
    const inside = { from: fn.span.start, to: fn.span.end };
    const typeScope = new Scope(types);
    const locals = new Scope(bodies);
    const declared = [...fn.inputs.map((i) => i.type), ...fn.results.map((r) => r.type)];
    for (const { dims } of declared)
      for (const d of dims) {
        if (d.kind === "rest" || d.value.kind !== "name") continue;
        const { name, span } = d.value;
        // An otherwise unknown capitalized name is an axis; the first type that contains the name defines the axis.
        if (!/^[A-Z]/.test(name) || typeScope.find(name) !== null) continue;
        const axis = this.#define({ text: name, span }, { kind: "axis", bound: d.bound, owner, fn }, inside);
        typeScope.add(axis);
        locals.add(axis);
      }
    for (const type of declared) this.#type(type, typeScope);
    for (const i of fn.inputs) locals.add(this.#define(i.name, { kind: "input", node: i, owner, fn }, inside));
    for (const r of fn.results)
      if (r.name) this.#define(r.name, { kind: "result", type: r.type, owner, fn }, { from: 0, to: -1 });
    this.#statements(owner, fn, fn.body, locals);
  }

  #statements(owner: Block, fn: Fn, body: readonly Stmt[], scope: Scope): void {
    for (const s of body) this.#statement(owner, fn, s, scope);
  }

  #statement(owner: Block, fn: Fn, s: Stmt, scope: Scope): void {
    const { end } = fn.span;
    switch (s.kind) {
      case "assign":
        this.#expr(s.value, scope);
        for (const target of s.targets) this.#assign(target, s.value, owner, fn, scope, s.span.end);
        break;
      case "for": {
        this.#expr(s.list, scope);
        const hidden = scope.own(s.name.text);
        const place = { from: s.list.span.end, to: s.span.end };
        scope.add(this.#define(s.name, { kind: "each", list: s.list, owner, scope }, place));
        this.#statements(owner, fn, s.body, scope);
        if (hidden) scope.add(hidden);
        else scope.remove(s.name.text);
        break;
      }
      case "if":
        this.#expr(s.condition, scope);
        this.#statements(owner, fn, s.then, scope);
        this.#statements(owner, fn, s.else, scope);
        break;
      case "loss":
        this.#expr(s.value, scope);
        this.#define(s.name, { kind: "loss", owner, fn }, { from: end, to: -1 });
        break;
      case "observe":
        this.#use(s.name, scope);
        break;
      case "update":
        this.#use(s.name, scope, { binds: true });
        this.#expr(s.value, scope);
        break;
      case "expr":
        this.#expr(s.value, scope);
        break;
      default:
        s satisfies never;
    }
  }

  /**
   * The first binding defines a local; later ones rebind the same local. A binding of an input's name rebinds the
   * input.
   */
  #assign(target: Name, value: Expr, owner: Block, fn: Fn, scope: Scope, after: number): void {
    const before = scope.own(target.text);
    if (before && before.kind !== "axis") {
      this.#mention(target, [before], { binds: true, holds: after });
      return;
    }
    const place = { from: after, to: fn.span.end };
    scope.add(this.#define(target, { kind: "local", value, owner, fn, scope }, place));
  }

  // --- expressions

  #use({ text, span }: Name, scope: Scope, how: Partial<Occurrence> = {}): void {
    const found = scope.find(text);
    // An axis name in the type that defines the axis has already been recorded.
    if (found?.name.span.start === span.start && found.name.span.file === span.file) return;
    this.#mention({ span }, found ? [found] : [], how);
  }

  /** Uses an explicit stack, since `a + b + c + …` may be long. */
  #expr(root: Expr, outer: Scope): void {
    const todo: { readonly expr: Expr; readonly scope: Scope; readonly called: boolean }[] = [
      { expr: root, scope: outer, called: false },
    ];
    for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
      const { expr, scope, called } = next;
      const push = (...all: readonly (Expr | null)[]): void => {
        for (const e of all) if (e !== null) todo.push({ expr: e, scope, called: false });
      };
      switch (expr.kind) {
        case "number":
        case "string":
        case "bool":
        case "none":
          break;
        case "name":
          this.#use({ text: expr.name, span: expr.span }, scope, { called });
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
          push(...expr.items);
          break;
        case "comprehension": {
          push(expr.list);
          const inner = new Scope(scope);
          const place = { from: expr.body.span.start, to: expr.body.span.end };
          inner.add(this.#define(expr.name, { kind: "each", list: expr.list, owner: null, scope }, place));
          todo.push({ expr: expr.body, scope: inner, called: false });
          break;
        }
        case "range":
          push(expr.from, expr.to);
          break;
        case "call": {
          todo.push({ expr: expr.callee, scope, called: true });
          const named = expr.args.flatMap((a) => a.name ?? []);
          push(...expr.args.map((a) => a.value));
          const callees = this.#blocks.callees(expr.callee, scope);
          const { callee } = expr;
          if (callee.kind === "name") this.#callees.set(callee.span.start, callees.functions);
          else if (callee.kind === "member") this.#callees.set(callee.name.span.start, callees.functions);
          if (named.length === 0) break;
          this.#later.push(() => {
            const takes = this.#blocks.parametersOf(callees);
            for (const name of named) this.#mention(name, takes.get(name.text) ?? []);
          });
          break;
        }
        case "member": {
          push(expr.object);
          const { blocks, members, functions } = this.#blocks.member(expr, scope);
          this.#later.push(() => {
            const definitions = members.length > 0 ? members : this.#blocks.resultsOf(functions, expr.name.text);
            this.#mention(expr.name, definitions, { called, object: { expr: expr.object, blocks } });
          });
          break;
        }
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
}

const EVERYWHERE = { from: 0, to: Infinity };
