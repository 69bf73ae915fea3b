// The package.json of a package. A build over an earlier one keeps the version, and all that its owner added.
import type { Manifest } from "../../generation/packaged/manifest.js";
import { escapedName } from "../../ground/base/shown.js";
import { FolderError } from "./errors.js";

export const PACKAGE_JSON = "package.json";

export interface PackageFields {
  /** The package's name for npm. */
  readonly name: string;
  /** Its version; null keeps the earlier build's, or 1.0.0. */
  readonly packageVersion: string | null;
  /** The name of the source: `moby.mod`. */
  readonly source: string;
  readonly model: string;
  /** The names of its files. */
  readonly files: readonly string[];
}

/** The package that a folder holds before the build. */
export interface EarlierPackage {
  readonly manifest: Manifest;
  /** The text of its package.json; null if the file is gone. */
  readonly packageJson: string | null;
}

type Fields = Readonly<Record<string, unknown>>;

const FIRST_VERSION = "1.0.0";

/** Throws FolderError if a field that a package needs was given another value in the earlier build. */
export function packageJsonText(fields: PackageFields, earlier: EarlierPackage | null): string {
  const made = fieldsOf(fields);
  const before = earlier && fieldsIn(earlier);
  if (!before) return printed(made);
  const version = fields.packageVersion ?? before.version ?? FIRST_VERSION;
  return printed({ ...merged({ ...made, version }, before, listedFiles(filesIn(earlier.manifest))), version });
}

/** The name of an earlier build, if it is not the one that the model's name gives. */
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

/** A description that a build wrote. */
const OWN_DESCRIPTION = /^The model \w+, compiled from .* by modc$/s;

/** Files and folders at the top of the package, as npm lists them. */
const listedFiles = (files: readonly string[]): readonly string[] =>
  [...new Set(files.map((file) => file.split("/")[0]!))].filter(
    (file) => file !== "README.md" && file !== PACKAGE_JSON,
  );

const filesIn = ({ files }: Manifest): readonly string[] => files.map(({ name }) => name);

function fieldsIn({ packageJson }: EarlierPackage): Fields | null {
  if (packageJson === null) return null;
  try {
    const found: unknown = JSON.parse(packageJson);
    if (isFields(found)) return found;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
  }
  throw new FolderError(`the ${PACKAGE_JSON} of the earlier build is not a JSON object`, {
    hint: "mend it, or move it away and try again",
  });
}

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The fields of `before` with those that a build sets. `listed`: the entries that the earlier build put in `files`. */
function merged(made: Fields, before: Fields, listed: readonly string[], path = ""): Fields {
  const out: Record<string, unknown> = { ...before, ...made };
  // in the order in which they are; `fromEntries` takes any key as a field
  return Object.fromEntries(
    [...new Set([...Object.keys(before), ...Object.keys(made)])].map((key) => {
      const [own, theirs] = [made[key], before[key]];
      if (!Object.hasOwn(made, key) || !Object.hasOwn(before, key)) return [key, out[key]];
      return [
        key,
        path === "" && key in CHANGING ? CHANGING[key]!(own, theirs, listed) : same(own, theirs, path + key),
      ];
    }),
  );
}

/** How fields of the top that differ from build to build are merged. */
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
    `${PACKAGE_JSON} has ${escapedName(JSON.stringify(before))} as ${path}, and a package needs ` +
      escapedName(JSON.stringify(made)),
    { hint: "change it back, or name another folder" },
  );
}
