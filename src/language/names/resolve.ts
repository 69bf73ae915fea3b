// Resolves the names of a file from its syntax tree alone. The checker and editors use this one walk.
import type { Block, Expr, File, Fn, Import, Member, Name, Stmt, StoredIndex, TypeExpr } from "../syntax/ast.js";
import {
  declarationOf,
  allMembers,
  type Defined,
  type Definition,
  type Meaning,
  type NameScope,
  type Range,
} from "./definitions.js";
import { axisNameOf, Scope } from "./scope.js";

/** How a place mentions a name. */
export interface Mention {
  /** Whether this mention binds the name again. */
  readonly binds: boolean;
  readonly called: boolean;
  /** The offset at which a binding takes effect: in `x = x + 1` the second `x` is the earlier x. */
  readonly holds: number;
}

/** Receives the names of a file in source order. A comprehension's list comes before its body. */
export interface Listener {
  /** Returns the declaration that an import names; null if there is none. */
  imported(from: Import, name: Name): Definition | null;
  /** Whether to leave out the contents of a block. */
  skips?(block: Block): boolean;
  defined?(definition: Definition): void;
  /** A mention other than the definition. `meaning` is null for a built-in or unknown name. */
  mentioned(name: Name, meaning: Meaning | null, scope: NameScope, how: Mention): void;
  /** A call, before the names in it. */
  called?(call: Extract<Expr, { kind: "call" }>, scope: NameScope): void;
  /** A name after a dot, before the names in its object. `called`: whether it is the callee of a call. */
  accessed?(member: Extract<Expr, { kind: "member" }>, scope: NameScope, called: boolean): void;
}

interface Scopes {
  /** The scope of types, conditions and right-hand sides of members. */
  readonly types: NameScope;
  readonly bodies: NameScope;
}

export class Resolver {
  /** The file's declarations. If a name is declared twice, the first declaration counts. */
  readonly exports = new Map<string, Definition>();
  /** The members of each block, including functions, by name. Complete before the first mention. */
  readonly members = new Map<Block, ReadonlyMap<string, readonly Definition[]>>();
  readonly #file: NameScope = new Scope(new Map(), null);

  constructor(
    readonly tree: File,
    readonly listener: Listener,
  ) {}

  resolve(): void {
    const { table } = this.#file;
    for (const i of this.tree.imports)
      for (const name of i.names) {
        const meaning: Meaning = this.listener.imported(i, name) ?? { kind: "missing" };
        if (!table.has(name.text)) table.set(name.text, meaning);
      }
    for (const d of this.tree.declarations) {
      const definition = declarationOf(d);
      this.listener.defined?.(definition);
      if (table.has(d.name.text)) continue;
      table.set(d.name.text, definition);
      this.exports.set(d.name.text, definition);
    }
    // All members are declared first, because functions refer to members of blocks declared further down.
    const scopes = new Map<Block, Scopes>();
    for (const d of this.tree.declarations) if (d.kind === "block") scopes.set(d, this.#declareMembers(d));
    for (const d of this.tree.declarations) {
      if (d.kind === "const") this.#expr(d.value, this.#file);
      else if (this.listener.skips?.(d) !== true) this.#block(d, scopes.get(d)!);
    }
  }

  #define(name: Name, defined: Defined, range: Range): Definition {
    const definition: Definition = { ...defined, name, ...range };
    this.listener.defined?.(definition);
    return definition;
  }

  /** Declares parameters and members. */
  #declareMembers(owner: Block): Scopes {
    const inside = { from: owner.span.start, to: owner.span.end };
    const params = new Map<string, Meaning>();
    for (const p of owner.params)
      params.set(p.name.text, this.#define(p.name, { kind: "parameter", node: p, owner }, inside));
    const values = new Map<string, Meaning>();
    const functions = new Map<string, Meaning>();
    const types = this.#file.inner(values).inner(params);
    const members = new Map<string, Definition[]>();
    for (const m of allMembers(owner.members)) {
      if (m.kind === "names") continue;
      const defined: Defined =
        m.kind === "function"
          ? { kind: "function", node: m, owner }
          : m.kind === "sub-block"
            ? { kind: "sub-block", node: m, owner, scope: types }
            : { kind: "weight", node: m, owner };
      const definition = this.#define(m.name, defined, inside);
      const name = m.name.text;
      const others = members.get(name);
      if (others === undefined) members.set(name, [definition]);
      else others.push(definition);
      // If several members have a name, the first one counts.
      if (m.kind !== "function" && !values.has(name)) values.set(name, definition);
      else if (m.kind === "function" && others === undefined) functions.set(name, definition);
    }
    this.members.set(owner, members);
    return { types, bodies: this.#file.inner(params).inner(new Map([...values, ...functions])) };
  }

  #block(block: Block, scopes: Scopes): void {
    const earlier = new Map<string, Meaning>();
    for (const { name, default: value } of block.params) {
      if (value !== null) this.#expr(value, this.#file.inner(earlier));
      earlier.set(name.text, scopes.types.table.get(name.text)!);
    }
    this.#memberList(block, block.members, scopes);
  }

  #memberList(owner: Block, members: readonly Member[], scopes: Scopes): void {
    const { types } = scopes;
    for (const m of members) {
      switch (m.kind) {
        case "sub-block":
          this.#expr(m.value, types);
          break;
        case "weight":
        case "state":
          this.#type(m.type, types);
          if (m.init !== null) this.#initialiser(m.init, types);
          break;
        case "member-if":
          this.#expr(m.condition, types);
          this.#memberList(owner, m.then, scopes);
          this.#memberList(owner, m.else, scopes);
          break;
        case "function":
          this.#function(owner, m, scopes);
          break;
        case "names":
          for (const entry of m.entries)
            if (entry.kind === "map") for (const { indices } of entry.to) this.#stored(indices ?? [], types);
          break;
        default:
          m satisfies never;
      }
    }
  }

  /** Indices of a stored tensor, which are expressions of the model's parameters. */
  #stored(indices: readonly StoredIndex[], scope: NameScope): void {
    for (const index of indices) {
      const parts =
        index.kind === "at" ? [index.value] : index.kind === "slice" ? [index.start, index.stop, index.step] : [];
      for (const part of parts) if (part !== null) this.#expr(part, scope);
    }
  }

  /** The function of an initialiser, such as `zeros` or `normal(…)`, is not a name of the file. */
  #initialiser(init: Expr, scope: NameScope): void {
    if (init.kind === "if") {
      this.#expr(init.condition, scope);
      this.#initialiser(init.then, scope);
      this.#initialiser(init.else, scope);
    } else if (init.kind === "call") for (const a of init.args) this.#expr(a.value, scope);
  }

  #type(type: TypeExpr, scope: NameScope): void {
    for (const d of type.dims) {
      if (d.kind === "rest") continue;
      this.#expr(d.value, scope);
      if (d.bound !== null) this.#expr(d.bound, scope);
    }
  }

  #function(owner: Block, fn: Fn, { types, bodies }: Scopes): void {
    const inside = { from: fn.span.start, to: fn.span.end };
    const typeScope = types.inner();
    const axes = typeScope.table;
    const declared = [...fn.inputs.map((i) => i.type), ...fn.results.map((r) => r.type)];
    for (const d of declared.flatMap((type) => type.dims)) {
      const name = d.kind === "dim" ? axisNameOf(d.value, typeScope, mayBeNumber) : null;
      if (d.kind === "rest" || name === null || axes.has(name)) continue;
      // The first type that contains the name defines the axis.
      const defined: Defined = { kind: "axis", bound: d.bound, owner, fn };
      axes.set(name, this.#define({ text: name, span: d.value.span }, defined, inside));
    }
    for (const type of declared) this.#type(type, typeScope);
    const locals = new Map(axes);
    for (const i of fn.inputs)
      locals.set(i.name.text, this.#define(i.name, { kind: "input", node: i, owner, fn }, inside));
    for (const r of fn.results)
      if (r.name !== null) this.#define(r.name, { kind: "result", type: r.type, owner, fn }, NOWHERE);
    this.#statements(owner, fn, fn.body, bodies.inner(locals));
  }

  /** Resolves statements in source order; names bound in an `if` or a `for` are visible after it. */
  #statements(owner: Block, fn: Fn, body: readonly Stmt[], scope: NameScope): void {
    for (const s of body) {
      switch (s.kind) {
        case "assign":
          this.#expr(s.value, scope);
          for (const target of s.targets) this.#assign(target, s.value, owner, fn, scope, s.span.end);
          break;
        case "for": {
          this.#expr(s.list, scope);
          const { table } = scope;
          const hidden = table.get(s.name.text);
          const range = { from: s.list.span.end, to: s.span.end };
          table.set(s.name.text, this.#define(s.name, { kind: "each", list: s.list, owner, scope }, range));
          this.#statements(owner, fn, s.body, scope);
          if (hidden !== undefined) table.set(s.name.text, hidden);
          else table.delete(s.name.text);
          break;
        }
        case "if":
          this.#expr(s.condition, scope);
          this.#statements(owner, fn, s.then, scope);
          this.#statements(owner, fn, s.else, scope);
          break;
        case "loss":
          this.#expr(s.value, scope);
          this.#define(s.name, { kind: "loss", owner, fn }, { ...NOWHERE, from: fn.span.end });
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
  }

  /**
   * The first binding defines a local; later ones rebind the same local. A binding of an input's name rebinds the
   * input.
   */
  #assign(target: Name, value: Expr, owner: Block, fn: Fn, scope: NameScope, after: number): void {
    const before = scope.table.get(target.text);
    if (before !== undefined && before.kind !== "axis") {
      this.listener.mentioned(target, before, scope, { binds: true, called: false, holds: after });
      return;
    }
    const defined: Defined = { kind: "local", value, owner, fn, scope };
    scope.table.set(target.text, this.#define(target, defined, { from: after, to: fn.span.end }));
  }

  #use(name: Name, scope: NameScope, how: Partial<Mention> = {}): void {
    const definition = scope.find(name.text);
    // In the type that defines an axis, the name is the definition.
    if (definition?.kind === "axis" && definition.name.span.start === name.span.start) return;
    this.listener.mentioned(name, definition, scope, { binds: false, called: false, holds: name.span.end, ...how });
  }

  /** Uses an explicit stack, since `a + b + c + …` may be long. */
  #expr(root: Expr, outer: NameScope): void {
    const todo: { readonly expr: Expr; readonly scope: NameScope; readonly called: boolean }[] = [
      { expr: root, scope: outer, called: false },
    ];
    for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
      const { expr, scope, called } = next;
      /** Parts are resolved in this order. */
      const push = (parts: readonly (Expr | null)[]): void => {
        for (const e of parts.toReversed()) if (e !== null) todo.push({ expr: e, scope, called: false });
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
          push([expr.operand]);
          break;
        case "binary":
          push([expr.left, expr.right]);
          break;
        case "if":
          push([expr.condition, expr.then, expr.else]);
          break;
        case "list":
          push(expr.items);
          break;
        case "comprehension": {
          const range = { from: expr.body.span.start, to: expr.body.span.end };
          const each = this.#define(expr.name, { kind: "each", list: expr.list, owner: null, scope }, range);
          todo.push({ expr: expr.body, scope: scope.inner(new Map([[expr.name.text, each]])), called: false });
          push([expr.list]);
          break;
        }
        case "range":
          push([expr.from, expr.to]);
          break;
        case "call":
          this.listener.called?.(expr, scope);
          push(expr.args.map((a) => a.value));
          todo.push({ expr: expr.callee, scope, called: true });
          break;
        case "member":
          this.listener.accessed?.(expr, scope, called);
          push([expr.object]);
          break;
        case "index":
          for (const i of expr.indices.toReversed())
            if (i.kind === "at") push([i.value]);
            else if (i.kind === "slice") push([i.start, i.stop, i.step]);
          push([expr.object]);
          break;
        default:
          expr satisfies never;
      }
    }
  }
}

/** Whether a name in scope may be a compile-time number, and therefore not an axis. */
const mayBeNumber = (meaning: Meaning): boolean =>
  meaning.kind === "const" ||
  meaning.kind === "missing" ||
  (meaning.kind === "parameter" && !NO_NUMBERS.has(meaning.node.type.kind));

const NO_NUMBERS: ReadonlySet<string> = new Set(["block", "list", "string"]);

/** The range of a name that no expression can use. */
const NOWHERE: Range = { from: 0, to: -1 };
