// The texts of a workspace, open and closed: trees, names and checks of each, kept until something they read changes.
import { libraryExports, libraryFile, librarySources } from "../check/names/library.js";
import { review, type Review, type ReviewStep } from "../check/review.js";
import type { File } from "../syntax/ast.js";
import type { Parsed } from "../syntax/parse.js";
import { keyOf, type BlockDefinition, type Definition, type Names, type OfKind, type Others } from "./definitions.js";
import { Facts } from "./facts.js";
import type { Host } from "./host.js";
import { namesOf } from "./names.js";
import { differenceOf, movedBy, Text, type Change, type Difference, type Encoding } from "./text.js";
import { Trees } from "./trees.js";
import { canonical, folderOf, inFolder, relativePath, resolved } from "./uris.js";

/** An open text. */
interface Open {
  /** As the client writes it. */
  readonly uri: string;
  readonly version: number | null;
  readonly text: Text;
}

/** The parameters of every model that are not the text's own. */
export interface CheckSettings {
  readonly set?: Readonly<Record<string, string>>;
}

/** A review of one source, as far as it has gone. */
export interface Reviewed {
  readonly steps: readonly ReviewStep[];
  readonly review: Review | null;
  readonly facts: Facts;
  /** The texts that it is of, by file. */
  readonly texts: ReadonlyMap<string, string>;
}

interface KnownNames {
  readonly tree: File;
  readonly imports: readonly (Names | null)[];
  /** The facts that told of blocks given to parameters. */
  readonly facts: Facts | null;
  readonly names: Names;
}

interface UnderWay {
  readonly steps: ReviewStep[];
  readonly facts: Facts;
  /** Every file that was read or looked for. */
  readonly reads: Set<string>;
  readonly texts: Map<string, string>;
  readonly rest: Generator<ReviewStep, Review>;
  review: Review | null;
}

export class Project {
  readonly #open = new Map<string, Open>();
  readonly #trees = new Trees();
  readonly #names = new Map<string, KnownNames>();
  readonly #reviews = new Map<string, UnderWay>();
  /** Of each source the last review that found a model without errors. */
  readonly #good = new Map<string, UnderWay>();
  readonly #reading = new Set<string>();

  constructor(
    readonly host: Host,
    public encoding: Encoding = "utf-16",
    public settings: CheckSettings = {},
  ) {}

  // --- texts

  /** The name of a file here and in spans: of the library's as the checker has it, else its address. */
  fileOf(uri: string): string {
    return this.host.libraryFile(uri) ?? canonical(uri);
  }

  /** The address of a file, as the client writes it if it is open. */
  uriOf(file: string): string | null {
    return this.#open.get(file)?.uri ?? (librarySources.has(file) ? this.host.libraryUri(file) : file);
  }

  get openFiles(): readonly string[] {
    return [...this.#open.keys()];
  }
  isOpen(file: string): boolean {
    return this.#open.has(file);
  }
  isLibrary(file: string): boolean {
    return librarySources.has(file);
  }
  versionOf(file: string): number | null {
    return this.#open.get(file)?.version ?? null;
  }

  open(uri: string, text: string, version: number | null): string {
    const file = this.fileOf(uri);
    this.#open.set(file, { uri, version, text: new Text(text, this.encoding) });
    this.changed(file);
    return file;
  }

  /** Null for a text that is not open. */
  edit(uri: string, changes: readonly Change[], version: number | null): string | null {
    const file = this.fileOf(uri);
    const before = this.#open.get(file);
    if (!before) return null;
    this.#open.set(file, { uri, version, text: before.text.edited(changes) });
    this.changed(file);
    return file;
  }

  close(uri: string): string {
    const file = this.fileOf(uri);
    this.#open.delete(file);
    this.#trees.forget(file);
    this.#good.delete(file);
    this.changed(file);
    return file;
  }

  /** Drops what depends on a file. */
  changed(file: string): void {
    for (const [root, { reads }] of this.#reviews) if (root === file || reads.has(file)) this.#reviews.delete(root);
  }

  /** Drops every check. */
  changedAll(): void {
    this.#reviews.clear();
  }

  /** Null where there is no such file. */
  textOf(file: string): string | null {
    return this.#open.get(file)?.text.text ?? librarySources.get(file)?.text ?? this.host.read(file);
  }

  placesOf(file: string): Text | null {
    const open = this.#open.get(file);
    if (open) return open.text;
    const text = this.textOf(file);
    return text === null ? null : new Text(text, this.encoding);
  }

  parsed(file: string): Parsed | null {
    if (!this.#open.has(file)) {
      const known = libraryFile(file);
      if (known) return { file: known, diagnostics: [] };
    }
    const text = this.textOf(file);
    return text === null ? null : this.#trees.parse({ file, text });
  }

  // --- names

  /** Null for a file that does not exist. */
  names(file: string): Names | null {
    const tree = this.parsed(file)?.file;
    if (!tree || this.#reading.has(file)) return null;
    this.#reading.add(file);
    try {
      const imports = tree.imports.map(({ from }) => this.#importedNames(file, from));
      const known = this.#names.get(file);
      const facts = this.factsOf(file)[0]?.facts ?? null;
      if (known?.tree === tree && known.facts === facts && known.imports.every((n, i) => n === imports[i]))
        return known.names;
      const names = namesOf(tree, this.others(file));
      this.#names.set(file, { tree, imports, facts, names });
      return names;
    } finally {
      this.#reading.delete(file);
    }
  }

  /** What a file's names need of others. */
  others(file: string): Others {
    return {
      exportsOf: (from) =>
        from === "std" && !this.isLibrary(file) ? this.#library() : (this.#importedNames(file, from)?.exports ?? null),
      givenTo: (parameter) => this.#givenTo(parameter),
      namesOf: (other) => this.names(other) ?? NOTHING,
    };
  }

  /** The file that an import leads to; null for the library as a whole, and where it leads nowhere. */
  importOf(file: string, from: string): string | null {
    if (this.isLibrary(file)) return from.startsWith("./") ? `std/${from.slice(2)}` : null;
    const target = from === "std" ? null : resolved(file, from);
    return target !== null && this.#mayRead(file, target) ? target : null;
  }

  /** Whether a file is of the workspace, or lies where a source that reads `file` may import from. */
  #mayRead(file: string, target: string): boolean {
    return (
      this.#open.has(target) ||
      this.rootsOf(file).some(
        (root) => target.startsWith(folderOf(root)) && this.host.refusal(target, folderOf(root)) === null,
      ) ||
      this.host.files().includes(target)
    );
  }

  /** How a file imports another: the library by its name, others by a relative path; null: it cannot. */
  importPath(file: string, other: string): string | null {
    if (!this.isLibrary(other)) return this.isLibrary(file) ? null : relativePath(file, other);
    return this.isLibrary(file) ? null : "std";
  }

  #importedNames(file: string, from: string): Names | null {
    const target = this.importOf(file, from);
    return target === null ? null : this.names(target);
  }

  #exported: ReadonlyMap<string, Definition> | null = null;
  #library(): ReadonlyMap<string, Definition> {
    return (this.#exported ??= new Map(
      [...libraryExports()].flatMap(([name, file]) => {
        const found = this.names(file)?.exports.get(name);
        return found ? [[name, found] as const] : [];
      }),
    ));
  }

  /** Everything that `"std"` exports. */
  get library(): ReadonlyMap<string, Definition> {
    return this.#library();
  }

  #givenTo({ name: { span } }: OfKind<"parameter">): readonly BlockDefinition[] {
    const found = new Map<string, BlockDefinition>();
    for (const { facts, start } of this.factsAt(span.file, span.start))
      for (const [block, file] of facts.blocks(span.file, start)) {
        const known = (this.#reading.has(file) ? null : this.names(file))?.exports.get(block.name.text);
        if (known?.kind === "block") found.set(keyOf(known), known);
      }
    return [...found.values()];
  }

  // --- checks

  /** Sources whose checks tell of a file: itself, and open ones that read it. */
  rootsOf(file: string): readonly string[] {
    return [
      ...new Set([
        file,
        ...[...this.#reviews, ...this.#good].flatMap(([r, { reads }]) => (reads.has(file) ? [r] : [])),
      ]),
    ];
  }

  /** The next step of the review of a source; true while there are more. */
  step(root: string): boolean {
    const known = this.#reviews.get(root) ?? this.#begin(root);
    if (!known || known.review) return false;
    let next: IteratorResult<ReviewStep, Review>;
    try {
      next = known.rest.next();
    } catch (fault) {
      // A fault of modc: nothing is known of this text.
      this.#reviews.delete(root);
      throw fault;
    }
    if (next.done) {
      known.review = next.value;
      return false;
    }
    known.steps.push(next.value);
    if (next.value.checked.model) this.#good.set(root, known);
    return true;
  }

  /** The review of a source, completed now; null for a file that does not exist. */
  reviewed(root: string): Reviewed | null {
    while (this.step(root));
    return this.#reviews.get(root) ?? null;
  }

  /** The check of the first model in infer, made now if it has not been. */
  firstStep(root: string): ReviewStep | null {
    const known = this.#reviews.get(root);
    if (known === undefined || known.steps.length === 0) this.step(root);
    return this.#reviews.get(root)?.steps[0] ?? null;
  }

  /** The review of a source as far as it has gone. */
  underWay(root: string): Reviewed | null {
    return this.#reviews.get(root) ?? null;
  }

  #begin(root: string): UnderWay | null {
    const text = this.textOf(root);
    if (text === null || this.isLibrary(root)) return null;
    const folder = folderOf(root);
    const reads = new Set([root]);
    const texts = new Map([[root, text]]);
    const facts = new Facts((file) => texts.has(file));
    const fileOf = (path: string): string => inFolder(folder, path);
    const rest = review(
      { file: root, text },
      {
        set: this.settings.set ?? {},
        parse: this.#trees.parse,
        nameOf: fileOf,
        witness: facts,
        read: (path) => {
          const file = fileOf(path);
          reads.add(file);
          const refused = this.host.refusal(file, folder);
          if (refused !== null) return { refused };
          const found = this.textOf(file);
          if (found !== null) texts.set(file, found);
          return found;
        },
      },
    );
    const made: UnderWay = { steps: [], facts, reads, texts, rest, review: null };
    this.#reviews.set(root, made);
    return made;
  }

  /** Facts about a place of a file as it is now, of this or the last good text, each with its place there. */
  *factsAt(file: string, offset: number): Generator<{ readonly facts: Facts; readonly start: number }> {
    for (const { facts, to } of this.factsOf(file)) {
      const start = to(offset);
      if (start !== null) yield { facts, start };
    }
  }

  /** Facts about a file, with maps between offsets of its text now and offsets then; null: the place is new or gone. */
  factsOf(file: string): readonly {
    readonly root: string;
    readonly facts: Facts;
    readonly to: (now: number) => number | null;
    readonly from: (then: number) => number | null;
  }[] {
    const now = this.textOf(file);
    if (now === null) return [];
    return this.rootsOf(file).flatMap((root) => {
      const [current, good] = [this.#reviews.get(root), this.#good.get(root)];
      // A check that found errors may not have come to everything.
      return [...new Set([current, good])].flatMap((known) => {
        const then = known?.texts.get(file);
        if (!known || then === undefined || known.steps.length === 0) return [];
        if (then === now) return [{ root, facts: known.facts, to: same, from: same }];
        const [to, from] = [differenceOf(now, then), differenceOf(then, now)];
        return [{ root, facts: known.facts, to: mover(to), from: mover(from) }];
      });
    });
  }
}

const same = (offset: number): number => offset;
const mover =
  (difference: Difference) =>
  (offset: number): number | null =>
    movedBy(difference, offset);

const NOTHING: Pick<Names, "definitions" | "membersOf"> = { definitions: [], membersOf: () => new Map() };
