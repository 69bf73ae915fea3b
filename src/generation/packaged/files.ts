// Reads the files of a built package, over the network in a page and from disk in Node, and checks each against its
// hash before use.
import { inNode } from "../../runtime/device/device.js";
import { formatBytes } from "../../runtime/device/errors.js";
import type { FileCache } from "./cache.js";
import { PackageError } from "./errors.js";
import { sha256 } from "./hash.js";
import { MANIFEST, type Manifest, unsealed } from "./manifest.js";

/** The location of each file of a package, by its name in the package. */
export type Places = Readonly<Record<string, URL | string>>;

export interface FileOptions {
  readonly places: Places;
  readonly signal: AbortSignal | undefined;
  /** Keeps weights; null or absent: they are fetched. */
  readonly cache?: FileCache | null;
  /** Called with the bytes of a file received so far. */
  readonly progress: (file: string, bytes: number) => void;
}

/** Attempts at an interrupted download, each of which resumes where the last one stopped. */
const ATTEMPTS = 4;
/** Milliseconds before the second attempt; each later one waits twice as long. */
const PAUSE = 250;
const MOST_MANIFEST_BYTES = 64 * 1024 * 1024;

/** The package's manifest; throws PackageError. */
export async function readManifest(options: FileOptions): Promise<Manifest> {
  const text = textOf(MANIFEST, await contents(MANIFEST, MOST_MANIFEST_BYTES, options));
  if (text.startsWith("<"))
    throw new PackageError("download-failed", MANIFEST, `the server answers with a page in place of ${MANIFEST}`, {
      hint: hintOf(200, String(options.places[MANIFEST]), MANIFEST) ?? "copy the whole folder of the package to it",
    });
  return unsealed(text);
}

/** A file's bytes. Throws PackageError where it cannot be read, or does not match its hash. */
export async function readFile(
  manifest: Manifest,
  name: string,
  options: FileOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const file = manifest.files.find((f) => f.name === name);
  if (!file) throw new PackageError("bad-package", name, `the manifest names no file ${name}`);
  const cache = manifest.shards.includes(name) ? options.cache : null;
  const kept = await cache?.read(file);
  if (kept && (await sha256(kept)) === file.sha256) return kept;
  const bytes = await contents(name, file.bytes, options);
  const found = await sha256(bytes);
  if (bytes.length !== file.bytes || found !== file.sha256)
    throw new PackageError(
      "corrupted",
      name,
      `${name} is not the file that was built: it has ${bytes.length} bytes of hash ${found.slice(0, 12)}…, not ` +
        `${file.bytes} of ${file.sha256.slice(0, 12)}…`,
      { hint: "copy the package again, or clear its cached files" },
    );
  await cache?.write(file, bytes);
  return bytes;
}

export function textOf(name: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new PackageError("corrupted", name, `${name} is not text`, { cause });
  }
}

/** The contents of a file, cut after `most` bytes, so that a longer file does not match its hash. */
async function contents(name: string, most: number, options: FileOptions): Promise<Uint8Array<ArrayBuffer>> {
  const place = options.places[name];
  if (place === undefined) throw new PackageError("bad-package", name, `the package has no ${name}`);
  const url = String(place);
  // A bundler may inline small files as data URLs, which a page's content security policy may forbid to fetch.
  if (url.startsWith("data:")) return fromDataUrl(name, url);
  if (url.startsWith("file:") && inNode()) return fromDisk(name, url);
  return download(name, url, most, options);
}

function fromDataUrl(name: string, url: string): Uint8Array<ArrayBuffer> {
  const comma = url.indexOf(",");
  const [head, body] = [url.slice(5, comma), url.slice(comma + 1)];
  if (comma < 0) throw new PackageError("corrupted", name, `${name} is a data URL without data`);
  try {
    if (!head.endsWith(";base64")) return new TextEncoder().encode(decodeURIComponent(body));
    return Uint8Array.from(atob(body), (c) => c.charCodeAt(0));
  } catch (cause) {
    throw new PackageError("corrupted", name, `${name} is a broken data URL`, { cause });
  }
}

async function fromDisk(name: string, url: string): Promise<Uint8Array<ArrayBuffer>> {
  const { readBytes } = await import("./files-node.js");
  try {
    return await readBytes(new URL(url));
  } catch (cause) {
    throw new PackageError(
      "download-failed",
      name,
      `cannot read ${name}: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}

/** The bytes received so far, over several attempts. */
interface Received {
  pieces: Uint8Array[];
  bytes: number;
}

async function download(
  name: string,
  url: string,
  most: number,
  options: FileOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const received: Received = { pieces: [], bytes: 0 };
  for (let attempt = 1; ; attempt++) {
    options.signal?.throwIfAborted();
    try {
      await receive(name, url, received, most, options);
      return joined(received);
    } catch (cause) {
      options.signal?.throwIfAborted();
      if (cause instanceof PackageError) throw cause;
      if (attempt === ATTEMPTS)
        throw new PackageError(
          "download-failed",
          name,
          `the download of ${name} broke off ${ATTEMPTS} times, the last time after ` +
            `${formatBytes(received.bytes)}: ${cause instanceof Error ? cause.message : String(cause)}`,
          {
            hint: "load again when the connection is back",
            cause,
          },
        );
      await pause(PAUSE * 2 ** (attempt - 1), options.signal);
    }
  }
}

/** Receives the rest of the file; rejects where the connection ends first. */
async function receive(
  name: string,
  url: string,
  received: Received,
  most: number,
  { signal, progress }: FileOptions,
): Promise<void> {
  const response = await fetch(url, {
    ...(signal ? { signal } : {}),
    ...(received.bytes > 0 ? { headers: { Range: `bytes=${received.bytes}-` } } : {}),
  });
  if (!response.ok)
    throw new PackageError(
      "download-failed",
      name,
      `cannot fetch ${name}: the server answers ${response.status} ${response.statusText}`.trimEnd(),
      { hint: hintOf(response.status, url, name) },
    );
  // A server without range requests sends the file from its beginning.
  if (response.status !== 206) Object.assign(received, { pieces: [], bytes: 0 } satisfies Received);
  const reader = response.body?.getReader();
  if (!reader) throw new Error("the answer has no body");
  const announced =
    response.headers.get("content-encoding") === null ? Number(response.headers.get("content-length") ?? NaN) : NaN;
  const end = received.bytes + announced;
  while (received.bytes <= most) {
    const { done, value } = await reader.read();
    if (done) {
      if (received.bytes < end) throw new Error(`it ended after ${received.bytes} of ${end} bytes`);
      return;
    }
    received.pieces.push(value);
    received.bytes += value.length;
    progress(name, received.bytes);
  }
  await reader.cancel();
}

/** Two remedies for Vite's server for development, null for other servers. */
function hintOf(status: number, url: string, name: string): string | null {
  // It refuses files out of the project, which it names `/@fs/…`.
  const [, path] = /^[^?]*\/@fs(\/[^?]*)/.exec(url) ?? [];
  if (status === 403 && path !== undefined)
    return (
      "the package is a link out of the project, where Vite serves no files: allow its folder in vite.config.js by " +
      `server: { fs: { allow: [".", ${JSON.stringify(decodeURI(path).slice(0, -name.length - 1))}] } }, or copy the ` +
      "package into the project by npm install --install-links"
    );
  // Versions before 8 bundle dependencies without the files that they name.
  return url.includes("/.vite/deps/")
    ? "Vite has moved the package's code away from its files: give its name in vite.config.js to " +
        "optimizeDeps: { exclude: [ … ] }"
    : null;
}

function joined({ pieces, bytes }: Received): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

const pause = (milliseconds: number, signal: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
