// Finds a model in the cache that Hugging Face's `huggingface_hub` keeps on disk: `models--owner--name`, in which
// `refs/<revision>` has a commit, and `snapshots/<commit>` has links to `blobs`. Nothing is downloaded. Node only.
import { readdirSync, realpathSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { errnoOf, reasonOf } from "../../ground/base/errno.js";
import { escapedName } from "../../ground/base/shown.js";
import { isInside } from "../../ground/files/inside-node.js";
import { readRegular } from "../../ground/files/regular-node.js";
import { SessionError } from "../../language/diagnostics/errors.js";
import { isFolder } from "../tokenizer/folder-node.js";

const SCHEME = "hf:";
const DEFAULT_REVISION = "main";
const COMMIT = /^[0-9a-f]{40}$/;
const MAX_REF_BYTES = 1024;

/** Whether a path names a model of the hub, in the cache: `hf:owner/name` or `hf:owner/name@revision`. */
export const isHubName = (path: string): boolean => path.startsWith(SCHEME);

/**
 * The folder of a cached model, `hf:owner/name` or `hf:owner/name@revision`; the revision is a branch, a tag or a
 * commit. Throws SessionError for another name, a model or revision that the cache lacks, and a snapshot with a link
 * that leads nowhere or out of the model's part of the cache.
 */
export function snapshotOf(name: string): string {
  const { repository, revision } = parsed(name);
  const cache = cacheFolder();
  const place = placeOf(repository, cache);
  if (!isFolder(place))
    throw new SessionError(`${repository} is not in the cache of Hugging Face, ${escapedName(cache)}`, {
      hint: `download it: hf download ${repository}`,
    });
  const commit = commitOf(place, revision);
  const folder = commit === null ? null : join(place, "snapshots", commit);
  if (commit === null || folder === null || !isFolder(folder))
    throw new SessionError(`the cache of Hugging Face has no revision ${escapedName(revision)} of ${repository}`, {
      hint: lackingHint(place, repository, revision),
    });
  expectOwnFiles(folder, join(realpathSync(place), "snapshots", commit), repository);
  return folder;
}

/** Whether the cache has the default revision of `owner/name`. */
export function isCached(repository: string): boolean {
  const place = placeOf(repository, cacheFolder());
  const commit = commitOf(place, DEFAULT_REVISION);
  return commit !== null && isFolder(join(place, "snapshots", commit));
}

function parsed(name: string): { readonly repository: string; readonly revision: string } {
  const [, repository, revision = DEFAULT_REVISION] =
    /^hf:((?:[\w-][\w.-]*\/)?[\w-][\w.-]*)(?:@([^\\\s\0]+))?$/.exec(name) ?? [];
  // the hub allows neither -- nor .. in a name; the cache writes -- for the slash
  const isName = repository !== undefined && !/--|\.\./.test(repository);
  if (isName && revision.split("/").every((part) => !["", ".", ".."].includes(part))) return { repository, revision };
  throw new SessionError(`${escapedName(name)} does not name a model of Hugging Face's hub`, {
    hint: "write hf:owner/name, or hf:owner/name@revision",
  });
}

/** The folder of all cached models, by the environment variables of `huggingface_hub`. */
function cacheFolder(): string {
  const given = (name: string): string | null => process.env[name]?.replace(/^~(?=[/\\]|$)/, () => homedir()) || null;
  const home = given("HF_HOME") ?? join(given("XDG_CACHE_HOME") ?? join(homedir(), ".cache"), "huggingface");
  return given("HF_HUB_CACHE") ?? given("HUGGINGFACE_HUB_CACHE") ?? join(home, "hub");
}

const placeOf = (repository: string, cache: string): string => join(cache, `models--${repository.replace("/", "--")}`);

/** The commit that a revision stands for; null if the cache does not know the revision. Throws SessionError. */
function commitOf(place: string, revision: string): string | null {
  if (COMMIT.test(revision)) return revision;
  const file = join(place, "refs", revision);
  const broken = (): SessionError => new SessionError(`${file} does not contain a commit`);
  let text: string;
  try {
    text = new TextDecoder().decode(readRegular(file, MAX_REF_BYTES, broken)).trim();
  } catch (fault) {
    const code = errnoOf(fault);
    if (code === "ENOENT" || code === "ENOTDIR" || code === "EISDIR") return null;
    if (code === null) throw fault;
    throw new SessionError(`cannot read ${escapedName(file)}: ${reasonOf(code)}`, { cause: fault });
  }
  if (!COMMIT.test(text)) throw broken();
  return text;
}

const MOST_SHOWN = 5;

function lackingHint(place: string, repository: string, revision: string): string {
  const snapshots = join(place, "snapshots");
  const commits = isFolder(snapshots) ? readdirSync(snapshots).filter((name) => COMMIT.test(name)) : [];
  const option = revision === DEFAULT_REVISION ? "" : ` --revision ${revision}`;
  const download = `hf download ${repository}${option}`;
  if (commits.length === 0) return `download it: ${download}`;
  const shown = commits.slice(0, MOST_SHOWN).map((commit) => `hf:${repository}@${commit}`);
  return `download it with ${download}, or give what is there: ${shown.join(", ")}`;
}

/**
 * Throws SessionError unless all links in the snapshot lead to files of the same repository. `real`: where the folder
 * is if no link replaces it.
 */
function expectOwnFiles(folder: string, real: string, repository: string): void {
  const refuse = (path: string, to: string): never => {
    throw new SessionError(`${escapedName(path)} is a link to ${escapedName(to)}, outside the cache of ${repository}`, {
      hint: "huggingface_hub makes no such links: remove this one, and download the model again",
    });
  };
  if (realpathSync(folder) !== real) refuse(folder, realpathSync(folder));
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) continue;
    const path = join(entry.parentPath, entry.name);
    const target = realPath(path);
    if (target === null)
      throw new SessionError(`${escapedName(path)} is a link to a file that is missing`, {
        hint: `complete the download: hf download ${repository}`,
      });
    if (!isInside(target, real)) refuse(path, target);
  }
}

/** Null for a link that leads nowhere. */
function realPath(path: string): string | null {
  try {
    return realpathSync(path);
  } catch (fault) {
    if (errnoOf(fault) === null) throw fault;
    return null;
  }
}
