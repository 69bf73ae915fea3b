// Infers from the syntax tree which blocks an expression may be an instance of.
import type { Expr } from "../syntax/ast.js";
import { keyOf, type BlockDefinition, type Definition, type Meaning } from "../names/definitions.js";
import type { NameScope, OfKind } from "../names/definitions.js";
import type { Names } from "./occurrences.js";

type Member = Pick<Extract<Expr, { kind: "member" }>, "object" | "name">;
type FunctionDefinition = OfKind<"function">;

/** The depth limit for following names: a member, the member's list, a member in this list, … */
const DEEPEST = 12;

/** The target of a call: the block that the call instantiates, or functions. */
export interface Callees {
  readonly block: BlockDefinition | null;
  readonly functions: readonly FunctionDefinition[];
}

/** Information from other definitions and files. */
interface Told {
  givenTo(parameter: OfKind<"parameter">): readonly BlockDefinition[];
  namesOf(file: string): Pick<Names, "definitions" | "membersOf">;
}

export class Blocks {
  constructor(readonly others: Told) {}

  /** The candidates for a name after a dot: members of the object's blocks, or a result of a function called there. */
  member(
    { object, name }: Member,
    scope: NameScope,
  ): {
    readonly blocks: readonly BlockDefinition[];
    readonly members: readonly Definition[];
    readonly functions: readonly FunctionDefinition[];
  } {
    const blocks = this.of(object, scope);
    const members = blocks.flatMap((b) => this.membersOf(b).get(name.text) ?? []);
    const functions =
      members.length === 0 && object.kind === "call" ? this.callees(object.callee, scope).functions : [];
    return { blocks, members, functions };
  }

  callees(callee: Expr, scope: NameScope): Callees {
    const named = callee.kind === "name" ? scope.find(callee.name) : null;
    return named?.kind === "block"
      ? { block: named, functions: [] }
      : { block: null, functions: this.functionsOf(callee, scope) };
  }

  /** The definitions that a call's named arguments may refer to, by name. The functions' files must have been read. */
  parametersOf({ block, functions }: Callees): ReadonlyMap<string, readonly Definition[]> {
    const found = new Map<string, Definition[]>();
    const add = (d: Definition): void => void found.set(d.name.text, [...(found.get(d.name.text) ?? []), d]);
    if (block)
      for (const d of this.#definitionsWith(block)) if (d.kind === "parameter" && d.owner === block.node) add(d);
    for (const fn of functions)
      for (const d of this.#definitionsWith(fn)) if (d.kind === "input" && d.fn === fn.node) add(d);
    return found;
  }

  /** The results with this name in these functions. The functions' files must have been read. */
  resultsOf(functions: readonly FunctionDefinition[], name: string): readonly Definition[] {
    return functions.flatMap((fn) =>
      this.#definitionsWith(fn).filter((d) => d.kind === "result" && d.fn === fn.node && d.name.text === name),
    );
  }

  /** The functions that a call of this expression may enter. */
  functionsOf(callee: Expr, scope: NameScope): readonly FunctionDefinition[] {
    if (callee.kind === "name") {
      const named = scope.find(callee.name);
      if (named?.kind === "function") return [named];
    }
    if (callee.kind === "member") {
      const direct = this.member(callee, scope).members.filter(isFunction);
      if (direct.length > 0) return direct;
    }
    return this.of(callee, scope).flatMap((b) => (this.membersOf(b).get("forward") ?? []).filter(isFunction));
  }

  /** The blocks that an expression may be an instance of, or a list of instances of. */
  of(expr: Expr, scope: NameScope, depth = 0): readonly BlockDefinition[] {
    if (depth > DEEPEST) return [];
    const go = (e: Expr, s = scope): readonly BlockDefinition[] => this.of(e, s, depth + 1);
    switch (expr.kind) {
      case "name": {
        const definition = scope.find(expr.name);
        return definition ? this.#ofDefinition(definition, depth) : [];
      }
      case "call": {
        const callee = expr.callee.kind === "name" ? scope.find(expr.callee.name) : null;
        return callee?.kind === "block" ? [callee] : [];
      }
      case "index":
        return go(expr.object);
      case "if":
        return unique([...go(expr.then), ...go(expr.else)]);
      case "list":
        return unique(expr.items.flatMap((item) => go(item)));
      case "comprehension":
        return go(expr.body);
      case "binary":
        return expr.op === "+" ? unique([...go(expr.left), ...go(expr.right)]) : [];
      case "member":
        return unique(
          go(expr.object)
            .flatMap((b) => this.membersOf(b).get(expr.name.text) ?? [])
            .flatMap((d) => this.#ofDefinition(d, depth)),
        );
      default:
        return [];
    }
  }

  #ofDefinition(found: Meaning, depth: number): readonly BlockDefinition[] {
    switch (found.kind) {
      case "sub-block":
        return this.of(found.node.value, found.scope, depth + 1);
      case "each":
        return this.of(found.list, found.scope, depth + 1);
      case "local":
        return found.value.kind === "call" ? [] : this.of(found.value, found.scope, depth + 1);
      case "parameter":
        return this.others.givenTo(found);
      default:
        return [];
    }
  }

  membersOf({ name, node }: BlockDefinition): ReadonlyMap<string, readonly Definition[]> {
    return this.others.namesOf(name.span.file).membersOf(node);
  }

  #definitionsWith({ name }: Definition): readonly Definition[] {
    return this.others.namesOf(name.span.file).definitions;
  }
}

const isFunction = (d: Definition): d is FunctionDefinition => d.kind === "function";
const unique = (blocks: readonly BlockDefinition[]): readonly BlockDefinition[] => [
  ...new Map(blocks.map((b) => [keyOf(b), b])).values(),
];
