// Links that contain a program: its text, parameters and phase, packed into the fragment of an address. The contents
// are untrusted input and never run as code of the page.
import type { Phase } from "../../src/language/check/model/model.js";
import type { Source } from "./source.js";

/** The link contains no valid program. */
export class LinkError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "LinkError";
  }
}

const KEY = "#program=";
/** The maximum length of a link, in characters, that browsers and mail programs support. */
export const MOST_CHARACTERS = 64_000;
/** The limit on unpacked bytes, so that a small link cannot fill the memory. */
export const MOST_BYTES = 512 * 1024;
const PHASES: readonly Phase[] = ["infer", "generate", "train"];

export const holdsProgram = (hash: string): boolean => hash.startsWith(KEY);

/** The fragment for a program. Throws LinkError if it is too long. */
export async function linkOf({ text, set, phase }: Source): Promise<string> {
  const packed = await through(
    new TextEncoder().encode(JSON.stringify({ text, set, phase })),
    new CompressionStream("deflate-raw"),
    Infinity,
  );
  const hash = KEY + base64(packed);
  if (hash.length > MOST_CHARACTERS)
    throw new LinkError(`the program is too long for a link: ${hash.length} characters, ${MOST_CHARACTERS} at most`);
  return hash;
}

/** The program in a fragment, read as untrusted input. Throws LinkError. */
export async function programOf(hash: string): Promise<Source> {
  if (!holdsProgram(hash)) throw new LinkError("the link contains no program");
  if (hash.length > MOST_CHARACTERS) throw new LinkError("the link is too long");
  const given = await unpacked(hash.slice(KEY.length));
  if (typeof given !== "object" || given === null) throw damaged();
  const { text, set, phase } = given as { readonly text?: unknown; readonly set?: unknown; readonly phase?: unknown };
  const known = PHASES.find((p) => p === phase);
  if (typeof text !== "string" || known === undefined || typeof set !== "object" || set === null || Array.isArray(set))
    throw damaged();
  const entries = Object.entries(set);
  if (!entries.every((entry): entry is [string, string] => typeof entry[1] === "string")) throw damaged();
  return { text, set: Object.fromEntries(entries), phase: known };
}

const damaged = (): LinkError => new LinkError("the link is damaged: it contains no program");

async function unpacked(text: string): Promise<unknown> {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) throw damaged();
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    const plain = await through(bytes, new DecompressionStream("deflate-raw"), MOST_BYTES);
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(plain));
  } catch (error) {
    throw error instanceof LinkError ? error : damaged();
  }
}

/** Passes bytes through a stream. Throws LinkError if the output exceeds `most` bytes. */
async function through(
  bytes: Uint8Array<ArrayBuffer>,
  stream: CompressionStream | DecompressionStream,
  most: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const reader = new Blob([bytes]).stream().pipeThrough(stream).getReader();
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    size += next.value.length;
    if (size > most) {
      await reader.cancel();
      throw new LinkError(`the program of the link is too long: more than ${most} bytes`);
    }
    pieces.push(next.value);
  }
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

/** URL-safe base64 (base64url) without padding. */
function base64(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
