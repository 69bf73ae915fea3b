// Prints the public types of the entry points of the package: the exported names, their declarations, and the
// declarations that these need, without comments.
import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

/** A name of a file of declarations. */
interface Place {
  readonly file: string;
  readonly name: string;
}

interface Declarations {
  /** Texts by name; functions may have several. */
  readonly texts: ReadonlyMap<string, readonly string[]>;
  readonly imports: ReadonlyMap<string, Place>;
  /** What it exports, by the names outside. */
  readonly exports: ReadonlyMap<string, Place>;
}

/** Wings whose own tests hold their types. */
const OTHERS = /\/src\/(?:ground|language|compiler|runtime|models)\//;

const read = new Map<string, Declarations>();

function declarationsOf(file: string): Declarations {
  let known = read.get(file);
  if (!known) read.set(file, (known = parsed(file, readFileSync(file, "utf8"))));
  return known;
}

function parsed(file: string, source: string): Declarations {
  const [texts, imports, exports] = [new Map<string, string[]>(), new Map<string, Place>(), new Map<string, Place>()];
  const text = source
    // Constructors that only modc itself calls.
    .replaceAll(/\/\*\* Use `[^`]+`\. \*\/\s*constructor\([\s\S]*?\);/g, "")
    .replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
  const at = (path: string): string => resolve(dirname(file), path.replace(/\.js$/, ".d.ts"));
  for (const [, kind, all, names, path] of text.matchAll(
    /^(import|export) (?:type )?(?:(\*)|\{([^}]*)\}) from "(\.[^"]+)"/gm,
  )) {
    if (all) for (const [name, place] of declarationsOf(at(path!)).exports) exports.set(name, place);
    for (const part of names?.split(",") ?? []) {
      const [, name, as] = /^\s*(?:type )?(\w+)(?: as (\w+))?\s*$/.exec(part) ?? [];
      if (name) (kind === "import" ? imports : exports).set(as ?? name, { file: at(path!), name });
    }
  }
  for (const lines = text.split("\n"); lines.length > 0;) {
    const line = lines.shift()!;
    const [, exported, name] =
      /^(export )?(?:declare )?(?:abstract )?(?:class|interface|type|function|const) (\w+)/.exec(line) ?? [];
    if (!name) continue;
    let own = line;
    const depth = (): number => own.replaceAll(/[^[({]/g, "").length - own.replaceAll(/[^\])}]/g, "").length;
    while ((depth() > 0 || !/[;}]\s*$/.test(own)) && lines.length > 0) own += `\n${lines.shift()!}`;
    texts.set(name, [...(texts.get(name) ?? []), own.replaceAll(/\n\s*(?=\n)/g, "")]);
    if (exported) exports.set(name, { file, name });
  }
  return { texts, imports, exports };
}

/** The text of entry points, by the types that package.json names for them. */
export function publicTypes(root: string, entries: readonly string[]): string {
  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    exports: Readonly<Record<string, { readonly types: string }>>;
  };
  const found = new Set<string>();
  const heads: string[] = [];
  const seen = new Set<string>();
  const add = ({ file, name }: Place): void => {
    if (OTHERS.test(file) || seen.has(`${file} ${name}`)) return;
    seen.add(`${file} ${name}`);
    const { texts, imports, exports: out } = declarationsOf(file);
    const own = texts.get(name);
    if (!own) {
      const from = out.get(name);
      if (from && from.file !== file) add(from);
      return;
    }
    for (const text of own) {
      found.add(text.replace(/^export (?:declare )?/, ""));
      for (const [word] of text.matchAll(/\b[A-Z]\w*\b/g)) {
        const from = imports.get(word) ?? (texts.has(word) ? { file, name: word } : null);
        if (from) add(from);
      }
    }
  };
  for (const entry of entries) {
    const index = declarationsOf(join(root, exports[entry]!.types));
    heads.push(`modc${entry.slice(1)}: ${[...index.exports.keys()].toSorted().join(", ")}`);
    for (const place of index.exports.values()) add(place);
  }
  const nameOf = (text: string): string => /^(?:abstract )?\w+ (\w+)/.exec(text)?.[1] ?? text;
  const byName = [...found].toSorted((a, b) => (nameOf(a) + a < nameOf(b) + b ? -1 : 1));
  return `${[...heads, ...byName].join("\n\n")}\n`;
}
