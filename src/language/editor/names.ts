// Collects the definitions and mentions of a file, and infers which members and arguments the names after dots and in
// calls refer to.
import type { BlockDefinition, Definition, Meaning, NameScope, OfKind } from "../names/definitions.js";
import { Resolver, type Listener, type Mention } from "../names/resolve.js";
import type { Block, Expr, File, Import, Name } from "../syntax/ast.js";
import { Blocks } from "./blocks.js";
import type { Names, Occurrence, Others } from "./occurrences.js";

export function namesOf(file: File, others: Others): Names {
  return new Collector(file, others).collect();
}

class Collector implements Listener {
  readonly #definitions: Definition[] = [];
  readonly #occurrences: Occurrence[] = [];
  readonly #imported = new Map<string, Definition>();
  readonly #callees = new Map<number, readonly OfKind<"function">[]>();
  /** Work postponed until the signatures of all functions are known. */
  readonly #later: (() => void)[] = [];
  readonly #resolver: Resolver;
  readonly #blocks: Blocks;

  constructor(
    readonly tree: File,
    readonly others: Others,
  ) {
    this.#resolver = new Resolver(tree, this);
    const local = { definitions: this.#definitions, membersOf: this.#membersOf };
    this.#blocks = new Blocks({
      givenTo: (parameter) => this.#givenTo(parameter),
      namesOf: (file) => (file === tree.file ? local : others.namesOf(file)),
    });
  }

  collect(): Names {
    this.#resolver.resolve();
    for (const work of this.#later) work();
    this.#occurrences.sort((a, b) => a.span.start - b.span.start);
    this.#definitions.sort((a, b) => a.name.span.start - b.name.span.start);
    return {
      file: this.tree.file,
      exports: this.#resolver.exports,
      imported: this.#imported,
      definitions: this.#definitions,
      occurrences: this.#occurrences,
      calleesAt: (start) => this.#callees.get(start) ?? [],
      membersOf: this.#membersOf,
    };
  }

  readonly #membersOf = (block: Block): ReadonlyMap<string, readonly Definition[]> =>
    this.#resolver.members.get(block) ?? new Map<string, readonly Definition[]>();

  /** The blocks passed to a parameter, including blocks of the file that is being read. */
  #givenTo(parameter: OfKind<"parameter">): readonly BlockDefinition[] {
    return this.others.givenTo(parameter).flatMap(({ name, file }) => {
      const { exports } = file === this.tree.file ? this.#resolver : this.others.namesOf(file);
      const definition = exports.get(name);
      return definition?.kind === "block" ? [definition] : [];
    });
  }

  #mention(
    { span }: Pick<Name, "span">,
    definitions: readonly Definition[],
    { binds = false, called = false, object = null, effectiveFrom: holds = span.end }: Partial<Occurrence> = {},
  ): void {
    this.#occurrences.push({ span, definitions, binds, called, object, effectiveFrom: holds });
  }

  imported({ from }: Import, name: Name): Definition | null {
    const definition = this.others.exportsOf(from)?.get(name.text) ?? null;
    this.#mention(name, definition ? [definition] : []);
    if (definition) this.#imported.set(name.text, definition);
    return definition;
  }

  defined(definition: Definition): void {
    const { name, from } = definition;
    this.#definitions.push(definition);
    this.#mention(name, [definition], { binds: true, effectiveFrom: Math.max(from, name.span.end) });
  }

  mentioned(name: Name, meaning: Meaning | null, _scope: NameScope, how: Mention): void {
    this.#mention(name, meaning === null || meaning.kind === "missing" ? [] : [meaning], how);
  }

  called({ callee, args }: Extract<Expr, { kind: "call" }>, scope: NameScope): void {
    const callees = this.#blocks.callees(callee, scope);
    if (callee.kind === "name") this.#callees.set(callee.span.start, callees.functions);
    else if (callee.kind === "member") this.#callees.set(callee.name.span.start, callees.functions);
    const named = args.flatMap((a) => a.name ?? []);
    if (named.length === 0) return;
    this.#later.push(() => {
      const takes = this.#blocks.parametersOf(callees);
      for (const name of named) this.#mention(name, takes.get(name.text) ?? []);
    });
  }

  accessed({ object: expr, name }: Extract<Expr, { kind: "member" }>, scope: NameScope, called: boolean): void {
    const { blocks, members, functions } = this.#blocks.member({ object: expr, name }, scope);
    this.#later.push(() => {
      const definitions = members.length > 0 ? members : this.#blocks.resultsOf(functions, name.text);
      this.#mention(name, definitions, { called, object: { expr, blocks } });
    });
  }
}
