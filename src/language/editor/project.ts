// The workspace's texts, open and closed. Trees, names and checks are cached until something they depend on changes.
import type { LogicalType, Model, Phase } from "../check/model/model.js";
import type { Read } from "../check/names/files.js";
import { libraryFile, librarySources } from "../check/names/library.js";
import { review, type Review, type ReviewStep } from "../check/review.js";
import type { Witness } from "../check/model/witness.js";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import type { SourceFile } from "../diagnostics/span.js";
import type { Parsed } from "../syntax/parse.js";
import { Calls, Facts } from "./facts.js";
import type { Definition } from "../names/definitions.js";
import type { Names, Others } from "./occurrences.js";
import type { Host } from "./host.js";
import { Readings } from "./readings.js";
import { staleOf } from "./stale.js";
import { differenceOf, movedBy, Text, type Change, type Difference, type Encoding } from "./text.js";
import { Trees } from "./trees.js";
import { canonical, parentOf, inFolder, relativePath, resolved } from "./uris.js";

/** An open text. */
interface Open {
  /** The URI in the client's spelling. */
  readonly uri: string;
  readonly version: number | null;
  readonly text: Text;
}

/** Parameter values that apply to every model, in place of the defaults in the source. */
export interface CheckSettings {
  readonly set?: Readonly<Record<string, string>>;
}

/** The findings of a review step, without a reference to the checked model. */
export interface Step {
  readonly phase: Phase;
  /** The name of the model; null in a source without a model. */
  readonly model: string | null;
  readonly diagnostics: readonly Diagnostic[];
  /** The type of the model's first input; null if the model has errors. */
  readonly reads: LogicalType | null;
}

/** The first model of a source in phase infer, without errors. */
export interface FoundModel {
  readonly model: Model;
  readonly calls: Calls;
  readonly sources: readonly SourceFile[];
  /** The checked texts, by file. */
  readonly texts: ReadonlyMap<string, string>;
}

/** The review of a source, possibly still incomplete. */
export interface Reviewed {
  readonly steps: readonly Step[];
  readonly review: Review | null;
  readonly facts: Facts;
  /** The checked texts, by file. */
  readonly texts: ReadonlyMap<string, string>;
}

interface UnderWay {
  readonly number: number;
  readonly steps: Step[];
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
  /** Parse trees of texts with a placeholder inserted at the cursor, for completion. */
  readonly #probes = new Trees();
  readonly #readings = new Readings(this);
  readonly #reviews = new Map<string, UnderWay>();
  /** For each source, the last review that found a model without errors. */
  readonly #good = new Map<string, UnderWay>();
  #begun = 0;

  constructor(
    readonly host: Host,
    public encoding: Encoding = "utf-16",
    public settings: CheckSettings = {},
  ) {}

  // --- texts

  /** The name of a file here and in spans: the checker's name for library files, otherwise the canonical URI. */
  fileOf(uri: string): string {
    return this.host.libraryFile(uri) ?? canonical(uri);
  }

  /** The URI of a file, in the client's spelling if the file is open. */
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
    this.#forget(file);
    this.#good.delete(file);
    this.changed(file);
    return file;
  }

  /** Drops everything that depends on a file. */
  changed(file: string): void {
    this.#readings.changed();
    if (this.isLibrary(file)) this.#readings.libraryChanged();
    for (const [root, { reads }] of this.#reviews) if (root === file || reads.has(file)) this.#reviews.delete(root);
  }

  /** Drops everything that depends on a file that was changed, created or deleted on the disk. */
  changedOnDisk(file: string): void {
    if (!this.#open.has(file)) this.#forget(file);
    this.changed(file);
  }

  #forget(file: string): void {
    this.#trees.forget(file);
    this.#probes.forget(file);
    this.#readings.forget(file);
  }

  /** Drops every check. */
  changedAll(): void {
    this.#readings.changed();
    this.#reviews.clear();
  }

  /** Null if the file does not exist. */
  textOf(file: string): string | null {
    return this.#open.get(file)?.text.text ?? librarySources.get(file)?.text ?? this.host.read(file);
  }

  textWithOffsetsOf(file: string): Text | null {
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
    if (text !== null) return this.#trees.parse({ file, text });
    this.#forget(file);
    return null;
  }

  /** The tree of the file's text with a placeholder inserted. */
  probed(file: string, text: string): Parsed {
    return this.#probes.parse({ file, text });
  }

  // --- names

  /** Null for a file that does not exist. */
  names(file: string): Names | null {
    return this.#readings.names(file);
  }

  /** Access to other files for resolving a file's names. */
  others(file: string): Others {
    return this.#readings.others(file);
  }

  /** The file that an import refers to; null for the library as a whole, and for an invalid path. */
  importOf(file: string, from: string): string | null {
    if (this.isLibrary(file)) return from.startsWith("./") ? `std/${from.slice(2)}` : null;
    const target = from === "std" ? null : resolved(file, from);
    return target !== null && this.#mayRead(file, target) ? target : null;
  }

  /** Whether a file belongs to the workspace, or a source that reads `file` may import it. */
  #mayRead(file: string, target: string): boolean {
    return (
      this.#open.has(target) ||
      this.rootsOf(file).some(
        (root) => target.startsWith(parentOf(root)) && this.host.refusal(target, parentOf(root)) === null,
      ) ||
      this.host.files().includes(target)
    );
  }

  /** The import path from one file to another: "std" for the library, otherwise a relative path; null if impossible. */
  importPath(file: string, other: string): string | null {
    if (!this.isLibrary(other)) return this.isLibrary(file) ? null : relativePath(file, other);
    return this.isLibrary(file) ? null : "std";
  }

  /** Everything that `"std"` exports. */
  get library(): ReadonlyMap<string, Definition> {
    return this.#readings.library();
  }

  /**
   * Closed files may have changed on the disk since the last request. Drops reviews that depend on a changed file, and
   * returns the root sources of the dropped reviews.
   */
  looksAgain(): readonly string[] {
    this.#readings.changed();
    const stale = staleOf(this.#reviews, this);
    for (const root of stale) this.#reviews.delete(root);
    return stale;
  }

  // --- checks

  /** The sources whose checks report facts about a file: the file itself, and sources that read it. */
  rootsOf(file: string): readonly string[] {
    return [
      ...new Set([
        file,
        ...[...this.#reviews, ...this.#good].flatMap(([r, { reads }]) => (reads.has(file) ? [r] : [])),
      ]),
    ];
  }

  /** Runs the next review step of a source; returns true while more steps remain. */
  step(root: string): boolean {
    const known = this.#reviews.get(root) ?? this.#begin(root);
    if (!known || known.review) return false;
    this.#readings.changed();
    let next: IteratorResult<ReviewStep, Review>;
    try {
      next = known.rest.next();
    } catch (fault) {
      // An internal error: nothing is known about this text.
      this.#reviews.delete(root);
      throw fault;
    }
    if (next.done) {
      known.review = next.value;
      return false;
    }
    const { checked, phase, model } = next.value;
    const { diagnostics, model: found } = checked;
    known.steps.push({ phase, model, diagnostics, reads: found?.inputs[0]?.type ?? null });
    if (found) this.#good.set(root, known);
    return true;
  }

  /** Completes the review of a source; null for a file that does not exist. */
  reviewed(root: string): Reviewed | null {
    while (this.step(root));
    return this.#reviews.get(root) ?? null;
  }

  /** Runs the check of the first model in phase infer, unless it has already run. */
  firstStep(root: string): void {
    const known = this.#reviews.get(root);
    if (known === undefined || known.steps.length === 0) this.step(root);
  }

  /** Checks the first model of a source again, since models are not kept; null if the model has errors. */
  modelOf(root: string): FoundModel | null {
    this.firstStep(root);
    const known = this.#reviews.get(root);
    if (!known || known.steps[0]?.diagnostics.some((d) => d.severity === "error")) return null;
    const calls = new Calls();
    // Uses the reviewed texts, even if the files on the disk have changed.
    const [first] = this.#reviewOf(root, calls, new Set(known.reads), new Map(known.texts));
    const { model = null, sources = [] } = first?.checked ?? {};
    return model && { model, calls, sources, texts: known.texts };
  }

  /** The current, possibly incomplete, review of a source. */
  underWay(root: string): Reviewed | null {
    return this.#reviews.get(root) ?? null;
  }

  #begin(root: string): UnderWay | null {
    const text = this.textOf(root);
    if (text === null || this.isLibrary(root)) return null;
    const reads = new Set([root]);
    const texts = new Map([[root, text]]);
    const facts = new Facts((file) => texts.has(file));
    const rest = this.#reviewOf(root, facts, reads, texts);
    const started: UnderWay = { number: this.#begun++, steps: [], facts, reads, texts, rest, review: null };
    this.#reviews.set(root, started);
    return started;
  }

  /**
   * Records in `reads` every file that the review reads or looks for, and in `texts` each file's text, once. Thus all
   * steps see the same texts.
   */
  #reviewOf(
    root: string,
    witness: Witness,
    reads: Set<string>,
    texts: Map<string, string>,
  ): Generator<ReviewStep, Review> {
    const folder = parentOf(root);
    const nameOf = (path: string): string => inFolder(folder, path);
    const read: Read = (path) => {
      const file = nameOf(path);
      const refused = this.host.refusal(file, folder);
      const before = reads.has(file);
      reads.add(file);
      if (refused !== null) return { refused };
      if (before) return texts.get(file) ?? null;
      const text = this.textOf(file);
      if (text !== null) texts.set(file, text);
      return text;
    };
    const set = this.settings.set ?? {};
    return review({ file: root, text: texts.get(root)! }, { set, parse: this.#trees.parse, nameOf, witness, read });
  }

  /** Facts about a place, from the current review and the last good one, each with the place's offset then. */
  *factsAt(file: string, offset: number): Generator<{ readonly facts: Facts; readonly start: number }> {
    for (const { facts, to } of this.factsOf(file)) {
      const start = to(offset);
      if (start !== null) yield { facts, start };
    }
  }

  /** Facts about a file, with maps between current and earlier offsets; null for a new or removed place. */
  factsOf(file: string): readonly {
    readonly root: string;
    readonly facts: Facts;
    readonly to: (now: number) => number | null;
    readonly from: (then: number) => number | null;
  }[] {
    const now = this.textOf(file);
    if (now === null) return [];
    return this.#toldOf(file).map(({ root, known: { facts }, then }) => {
      if (then === now) return { root, facts, to: same, from: same };
      const [to, from] = [differenceOf(now, then), differenceOf(then, now)];
      return { root, facts, to: mover(to), from: mover(from) };
    });
  }

  /** A key that changes whenever the facts about a file change; each review step adds facts. */
  factsKey(file: string): string {
    return this.#toldOf(file)
      .map(({ known: { number, steps } }) => `${number}:${steps.length}`)
      .join();
  }

  /** Reviews with facts about a file, each with the file's text at that time. */
  #toldOf(file: string): readonly { readonly root: string; readonly known: UnderWay; readonly then: string }[] {
    return this.rootsOf(file).flatMap((root) => {
      const [current, good] = [this.#reviews.get(root), this.#good.get(root)];
      // A review with errors may be incomplete, so the last good review is used, too.
      return [...new Set([current, good])].flatMap((known) => {
        const then = known?.texts.get(file);
        return known && then !== undefined && known.steps.length > 0 ? [{ root, known, then }] : [];
      });
    });
  }
}

const same = (offset: number): number => offset;
const mover =
  (difference: Difference) =>
  (offset: number): number | null =>
    movedBy(difference, offset);
