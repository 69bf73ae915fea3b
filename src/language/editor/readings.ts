// Caches the resolved names of every file until something they were resolved from changes.
import { libraryExports } from "../check/names/library.js";
import type { File } from "../syntax/ast.js";
import type { Parsed } from "../syntax/parse.js";
import type { Definition, OfKind } from "../names/definitions.js";
import type { GivenBlock, Names, Others } from "./occurrences.js";
import type { Facts } from "./facts.js";
import { namesOf } from "./names.js";

/** The texts, and the facts reported by checks. */
export interface Sources {
  parsed(file: string): Parsed | null;
  isLibrary(file: string): boolean;
  importOf(file: string, from: string): string | null;
  factsAt(file: string, offset: number): Iterable<{ readonly facts: Facts; readonly start: number }>;
  /** A key that changes whenever the facts about a file change. */
  factsKey(file: string): string;
}

interface Reading {
  readonly tree: File;
  readonly names: Names;
  readonly imports: ReadonlyMap<string, Names | null>;
  /** Other files that were consulted, with their names at that time. */
  readonly asked: ReadonlyMap<string, Names | null>;
  /** Files whose parameters were resolved to passed blocks, with the facts key used; null: no facts were used. */
  readonly parameters: ReadonlyMap<string, string | null>;
  /** The last change counter for which this reading was found valid. */
  change: number;
}

/**
 * Each file is first resolved alone, with its imports, which must not form a cycle.
 * If a name leads to a block passed to a parameter, the file is resolved again with facts from checks. The passed block
 * may come from any file, even a file that imports this one.
 */
export class Readings {
  readonly #alone = new Map<string, Reading>();
  readonly #told = new Map<string, Reading>();
  /** Files being resolved, to detect import cycles. */
  readonly #open = new Set<string>();
  #change = 0;
  #library: ReadonlyMap<string, Definition> | null = null;

  constructor(readonly sources: Sources) {}

  /** Something that names depend on may have changed: every reading must be validated again. */
  changed(): void {
    this.#change++;
  }

  /** The text of a library file has changed. */
  libraryChanged(): void {
    this.#library = null;
    this.#alone.clear();
    this.#told.clear();
  }

  forget(file: string): void {
    this.#alone.delete(file);
    this.#told.delete(file);
  }

  /** Null for a file that does not exist. */
  names(file: string): Names | null {
    const alone = this.#aloneOf(file);
    if (!alone || alone.parameters.size === 0) return alone?.names ?? null;
    const known = this.#told.get(file);
    if (known && this.#holds(known, alone.tree)) return known.names;
    const reading = this.#read(alone.tree, (parameter) => this.#givenTo(parameter));
    this.#told.set(file, reading);
    return reading.names;
  }

  /** Access to other files for resolving a file's names. */
  others(file: string): Others {
    return {
      exportsOf: (from) =>
        this.#isLibrary(file, from) ? this.library() : (this.#imported(file, from)?.exports ?? null),
      givenTo: (parameter) => this.#givenTo(parameter),
      namesOf: (other) => this.#namesAlone(other) ?? NOTHING,
    };
  }

  #isLibrary(file: string, from: string): boolean {
    return from === "std" && !this.sources.isLibrary(file);
  }

  #imported(file: string, from: string): Names | null {
    const target = this.sources.importOf(file, from);
    return target === null ? null : this.#namesAlone(target);
  }

  /** Everything that `"std"` exports. */
  library(): ReadonlyMap<string, Definition> {
    return (this.#library ??= new Map(
      [...libraryExports()].flatMap(([name, file]) => {
        const definition = this.#namesAlone(file)?.exports.get(name);
        return definition ? [[name, definition] as const] : [];
      }),
    ));
  }

  #namesAlone(file: string): Names | null {
    return this.#aloneOf(file)?.names ?? null;
  }

  #aloneOf(file: string): Reading | null {
    if (this.#open.has(file)) return null;
    const known = this.#alone.get(file);
    if (known?.change === this.#change) return known;
    const tree = this.sources.parsed(file)?.file;
    if (!tree) return null;
    this.#open.add(file);
    try {
      if (known && this.#holds(known, tree)) return known;
      const reading = this.#read(tree, null);
      this.#alone.set(file, reading);
      return reading;
    } finally {
      this.#open.delete(file);
    }
  }

  /** Whether everything that a reading depends on is unchanged. */
  #holds(reading: Reading, tree: File): boolean {
    if (reading.tree !== tree) return false;
    if (reading.change === this.#change) return true;
    for (const [from, names] of reading.imports) if (this.#imported(tree.file, from) !== names) return false;
    for (const [file, names] of reading.asked) if (this.#namesAlone(file) !== names) return false;
    for (const [file, key] of reading.parameters) if (key !== null && key !== this.sources.factsKey(file)) return false;
    reading.change = this.#change;
    return true;
  }

  /** `given` is null when a file is resolved alone. */
  #read(tree: File, given: Others["givenTo"] | null): Reading {
    const imports = new Map<string, Names | null>();
    const asked = new Map<string, Names | null>();
    const parameters = new Map<string, string | null>();
    const names = namesOf(tree, {
      exportsOf: (from) => {
        if (this.#isLibrary(tree.file, from)) return this.library();
        const file = this.#imported(tree.file, from);
        imports.set(from, file);
        return file?.exports ?? null;
      },
      givenTo: (parameter) => {
        const { file } = parameter.name.span;
        parameters.set(file, given && this.sources.factsKey(file));
        return given?.(parameter) ?? [];
      },
      namesOf: (other) => {
        const otherNames = this.#namesAlone(other);
        asked.set(other, otherNames);
        return otherNames ?? NOTHING;
      },
    });
    return { tree, names, imports, asked, parameters, change: this.#change };
  }

  #givenTo({ name: { span } }: OfKind<"parameter">): readonly GivenBlock[] {
    const found = new Map<string, GivenBlock>();
    for (const { facts, start } of this.sources.factsAt(span.file, span.start))
      for (const block of facts.blocks(span.file, start)) found.set(`${block.file}#${block.name}`, block);
    return [...found.values()];
  }
}

const NOTHING: Pick<Names, "definitions" | "exports" | "membersOf"> = {
  definitions: [],
  exports: new Map(),
  membersOf: () => new Map(),
};
