// Prints the package.json of a package. A rebuild keeps the version and everything that the owner added.
import type { Manifest } from "../../generation/packaged/manifest.js";
import { escapedName } from "../../ground/base/shown.js";
import { ModcError, type FaultOptions } from "../../ground/base/errors.js";

/** The folder cannot be written, or holds files that would be lost. */
export class FolderError extends ModcError<"cannot-write"> {
  override readonly name = "FolderError";

  constructor(message: string, options: FaultOptions = {}) {
    super("cannot-write", message, options);
  }
}

export const PACKAGE_JSON = "package.json";

export interface PackageFields {
  /** The package's name for npm. */
  readonly name: string;
  /** The package's version; null keeps the version of the earlier build, or 1.0.0. */
  readonly packageVersion: string | null;
  /** The file name of the source: `moby.mod`. */
  readonly source: string;
  readonly model: string;
  /** The names of the package's files. */
  readonly files: readonly string[];
}

/** The package in the folder before this build. */
export interface EarlierPackage {
  readonly manifest: Manifest;
  /** The text of its package.json; null if the file is gone. */
  readonly packageJson: string | null;
}

type Fields = Readonly<Record<string, unknown>>;

const FIRST_VERSION = "1.0.0";

/** The text of package.json. Throws FolderError if the owner changed a field that a package needs. */
export function packageJsonText(fields: PackageFields, earlier: EarlierPackage | null): string {
  const current = fieldsOf(fields);
  const before = earlier && fieldsIn(earlier);
  if (!before) return printed(current);
  const version = fields.packageVersion ?? before.version ?? FIRST_VERSION;
  return printed({ ...merged({ ...current, version }, before, listedFiles(filesIn(earlier.manifest))), version });
}

/** The name of an earlier build's package, if its owner changed it from the name derived from the model. */
export function keptName(earlier: EarlierPackage | null, nameOf: (model: string) => string): string | null {
  const name = earlier && fieldsIn(earlier)?.name;
  return typeof name === "string" && name !== nameOf(earlier!.manifest.model) ? name : null;
}

const printed = (fields: Fields): string => `${JSON.stringify(fields, null, 2)}\n`;

const fieldsOf = ({ name, packageVersion, source, model, files }: PackageFields): Fields => ({
  name,
  version: packageVersion ?? FIRST_VERSION,
  description: `The model ${model}, compiled from ${source} by modc`,
  type: "module",
  sideEffects: false,
  exports: {
    ".": { types: "./index.d.ts", default: "./index.js" },
    "./worker": { types: "./worker.d.ts", default: "./worker.js" },
    "./package.json": "./package.json",
  },
  types: "./index.d.ts",
  files: listedFiles(files),
  engines: { node: ">=20.19" },
  peerDependencies: { webgpu: ">=0.3.0" },
  peerDependenciesMeta: { webgpu: { optional: true } },
});

/** Matches a description that a build wrote. */
const OWN_DESCRIPTION = /^The model \w+, compiled from .* by modc$/s;

/** The top-level entries of the package, as npm's field `files` lists them. */
const listedFiles = (files: readonly string[]): readonly string[] =>
  [...new Set(files.map((file) => file.split("/")[0]!))].filter(
    (file) => file !== "README.md" && file !== PACKAGE_JSON,
  );

const filesIn = ({ files }: Manifest): readonly string[] => files.map(({ name }) => name);

function fieldsIn({ packageJson }: EarlierPackage): Fields | null {
  if (packageJson === null) return null;
  try {
    const parsed: unknown = JSON.parse(packageJson);
    if (isFields(parsed)) return parsed;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
  }
  throw new FolderError(`the ${PACKAGE_JSON} of the earlier build is not a JSON object`, {
    hint: "repair it, or move it away, and try again",
  });
}

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** `before` with the fields that a build sets. `listed`: the entries that the earlier build wrote to `files`. */
function merged(made: Fields, before: Fields, listed: readonly string[], path = ""): Fields {
  const out: Record<string, unknown> = { ...before, ...made };
  // keeps the order of fields; `fromEntries` accepts any key, `__proto__` included
  return Object.fromEntries(
    [...new Set([...Object.keys(before), ...Object.keys(made)])].map((key) => {
      const [now, earlierField] = [made[key], before[key]];
      if (!Object.hasOwn(made, key) || !Object.hasOwn(before, key)) return [key, out[key]];
      return [
        key,
        path === "" && key in CHANGING
          ? CHANGING[key]!(now, earlierField, listed)
          : same(now, earlierField, path + key),
      ];
    }),
  );
}

/** How to merge top-level fields whose values differ from build to build. */
const CHANGING: Readonly<Record<string, (made: unknown, before: unknown, listed: readonly string[]) => unknown>> = {
  name: (made) => made,
  version: (made) => made,
  description: (made, before) => (typeof before === "string" && !OWN_DESCRIPTION.test(before) ? before : made),
  files: (made, before, listed) => {
    const added = Array.isArray(before) ? before.filter((file: unknown) => !listed.includes(String(file))) : [];
    return [...new Set([...(made as readonly unknown[]), ...added])]; // a list, by `fieldsOf`
  },
};

function same(made: unknown, before: unknown, path: string): unknown {
  if (isFields(made) && isFields(before)) return merged(made, before, [], `${path}.`);
  if (made === before) return made;
  throw new FolderError(
    `${PACKAGE_JSON} has ${escapedName(JSON.stringify(before))} as ${path}, but a package needs ` +
      escapedName(JSON.stringify(made)),
    { hint: "change it back, or name another folder" },
  );
}
