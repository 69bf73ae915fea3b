// The files of a package over the network and from disk: resumed where a download breaks off, refused where they are
// not what was built.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PackageError } from "../../../src/generation/packaged/errors.js";
import { readFile, readManifest, type FileOptions, type Places } from "../../../src/generation/packaged/files.js";
import { serve, type Fault, type Served } from "../../browser/serve.js";
import { packageOf, programOf, type BuiltPackage } from "../../tools/build/packages.js";

const program = programOf(
  "model M(n: int = 96) { weight w: f32[n, n] = normal(0.1)\n forward(x: f32[B, T <= 4, n]) -> f32[B, T, n] { x " +
    "@ w } }",
);
const folder = mkdtempSync(join(tmpdir(), "modc-package-"));
let built: BuiltPackage;
const BIG = "weights/00000.bin";

beforeAll(async () => {
  built = await packageOf(program, { shardBytes: 1 << 20 });
  for (const [name, bytes] of built.files) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), bytes);
  }
});
/** A folder with a manifest in a folder of the server. */
function nested(path: string): string {
  mkdirSync(join(folder, path), { recursive: true });
  writeFileSync(join(folder, path, "manifest.json"), "");
  return `${encodeURI(path)}/`;
}
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const optionsAt = (url: string, more: Partial<FileOptions> = {}): FileOptions => {
  const places: Places = Object.fromEntries([...built.files.keys()].map((name) => [name, new URL(name, url)]));
  return { places, signal: undefined, progress: () => {}, ...more };
};

async function over<T>(fault: Fault | undefined, body: (served: Served) => Promise<T>): Promise<T> {
  const served = await serve(folder, fault ? { fault } : {});
  try {
    return await body(served);
  } finally {
    await served.close();
  }
}

const faultOf = async (work: Promise<unknown>): Promise<PackageError> =>
  work.then(
    () => expect.fail("it went well"),
    (error: unknown) => error as PackageError,
  ); // what these throw

/** Sends half of the rest of the big file, and breaks off, so many times. */
function breaksOff(times: number, ranges = true): Fault {
  let left = times;
  return (request, response, file) => {
    if (!file.endsWith("00000.bin")) return false;
    const whole = readFileSync(file);
    const from = ranges ? Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0) : 0;
    response.writeHead(from > 0 ? 206 : 200, { "content-length": whole.length - from });
    if (left-- <= 0) response.end(whole.subarray(from));
    else
      response.write(whole.subarray(from, from + Math.ceil((whole.length - from) / 2)), () =>
        setTimeout(() => response.destroy(), 20),
      );
    return true;
  };
}

it("a manifest with one character changed is refused, wherever it is", async () => {
  const place = join(folder, "manifest.json");
  const whole = readFileSync(place, "utf8");
  for (const at of [10, Math.floor(whole.length / 2), whole.length - 20, whole.length - 2]) {
    writeFileSync(place, `${whole.slice(0, at)}${whole[at] === "1" ? "2" : "1"}${whole.slice(at + 1)}`);
    const fault = await faultOf(readManifest(optionsAt(pathToFileURL(`${folder}/`).href)));
    expect([fault.code, fault.file], String(at)).toEqual(["corrupted", "manifest.json"]);
  }
  writeFileSync(place, whole);
  expect((await readManifest(optionsAt(pathToFileURL(`${folder}/`).href))).model).toBe("M");
});

describe("over the network", () => {
  it("every file comes as it was built, and says how far it is", { tags: "long" }, async () => {
    await over(undefined, async ({ url }) => {
      const seen: number[] = [];
      const options = optionsAt(url, { progress: (file, bytes) => void (file === BIG && seen.push(bytes)) });
      const manifest = await readManifest(options);
      expect(manifest).toEqual(built.manifest);
      for (const { name } of manifest.files)
        expect(await readFile(manifest, name, options), name).toEqual(built.files.get(name));
      expect(seen).toEqual(seen.toSorted((a, b) => a - b));
      expect(seen.at(-1)).toBe(built.files.get(BIG)!.length);
    });
  });

  it("a download that breaks off goes on where it was", async () => {
    await over(breaksOff(2), async ({ url, asked }) => {
      expect(await readFile(built.manifest, BIG, optionsAt(url))).toEqual(built.files.get(BIG));
      const ranges = asked.map((a) => a.range);
      expect(ranges).toHaveLength(3);
      expect(ranges[0]).toBeNull();
      expect(ranges[1]).toMatch(/^bytes=[1-9]\d*-$/);
    });
  });

  it("begins anew where the server knows no ranges", { tags: "long" }, async () => {
    await over(breaksOff(2, false), async ({ url }) => {
      expect(await readFile(built.manifest, BIG, optionsAt(url))).toEqual(built.files.get(BIG));
    });
  });

  it("gives up after four times, and says so", { tags: "long" }, async () => {
    await over(breaksOff(100), async ({ url, asked }) => {
      const fault = await faultOf(readFile(built.manifest, BIG, optionsAt(url)));
      expect([fault.name, fault.code, fault.file]).toEqual(["PackageError", "download-failed", BIG]);
      expect(fault.message).toMatch(
        /^the download of weights\/00000\.bin broke off 4 times, the last time after [\d.]+ KiB: /,
      );
      expect(fault.hint).toBe("load again when the connection is back");
      expect(asked).toHaveLength(4);
    });
  });

  it("a file that is gone is said at once", async () => {
    await over(
      (_, response) => (response.writeHead(404, "Not Found").end(), true),
      async ({ url, asked }) => {
        const fault = await faultOf(readManifest(optionsAt(url)));
        expect([fault.code, fault.message]).toEqual([
          "download-failed",
          "cannot fetch manifest.json: the server answers 404 Not Found",
        ]);
        expect(asked).toHaveLength(1);
      },
    );
  });

  it("says how Vite's server is to serve a package that is a link", async () => {
    await over(
      (_, response) => (response.writeHead(403, "Forbidden").end(), true),
      async ({ url }) => {
        const hint = async (at: string): Promise<string | null> => (await faultOf(readManifest(optionsAt(at)))).hint;
        expect(await hint(url)).toBeNull();
        expect(await hint(new URL(nested("@fs/home/me/my model"), url).href)).toMatch(
          /allow: \["\.", "\/home\/me\/my model"\].*--install-links/,
        );
      },
    );
  });

  it("says so if the server answers with a page in place of the manifest", async () => {
    await over(
      (_, response) => (response.setHeader("content-type", "text/html"), response.end("<!doctype html>"), true),
      async ({ url }) => {
        const at = async (place: string): Promise<readonly (string | null)[]> => {
          const { code, message, hint } = await faultOf(readManifest(optionsAt(place)));
          return [code, message, hint];
        };
        const message = "the server answers with a page in place of manifest.json";
        expect(await at(url)).toEqual(["download-failed", message, "copy the whole folder of the package to it"]);
        expect(await at(new URL(nested("node_modules/.vite/deps"), url).href)).toEqual([
          "download-failed",
          message,
          expect.stringContaining("optimizeDeps: { exclude:"),
        ]);
      },
    );
  });

  it.each([
    ["one bit of it is another", (bytes: Uint8Array) => ((bytes[100]! ^= 1), bytes)],
    ["its end is missing", (bytes: Uint8Array) => bytes.subarray(0, bytes.length - 8)],
    ["more follows", (bytes: Uint8Array) => Uint8Array.from([...bytes, 0, 0])],
  ])("a file is refused where %s", async (_, change) => {
    const fault: Fault = (__, response, file) => {
      if (!file.endsWith("00000.bin")) return false;
      response.end(change(Uint8Array.from(readFileSync(file))));
      return true;
    };
    await over(fault, async ({ url }) => {
      const error = await faultOf(readFile(built.manifest, BIG, optionsAt(url)));
      expect([error.code, error.file]).toEqual(["corrupted", BIG]);
      expect(error.message).toMatch(/^weights\/00000\.bin is not the file that was built: it has \d+ bytes of hash/);
    });
  });

  it("stops when it is told to", async () => {
    await over(breaksOff(100), async ({ url }) => {
      const stop = new AbortController();
      const work = readFile(built.manifest, BIG, optionsAt(url, { signal: stop.signal }));
      setTimeout(() => stop.abort(), 50);
      expect((await faultOf(work)).name).toBe("AbortError");
    });
  });
});

describe("elsewhere", () => {
  it("files are read from disk in Node", { tags: "long" }, async () => {
    const options = optionsAt(pathToFileURL(`${folder}/`).href);
    for (const { name } of built.manifest.files)
      expect(await readFile(built.manifest, name, options), name).toEqual(built.files.get(name));
  });

  it("files that are not there are said", async () => {
    const fault = await faultOf(readManifest(optionsAt("file:///nonexistent/")));
    expect(fault.code).toBe("download-failed");
    expect(fault.message).toMatch(/^cannot read manifest\.json: ENOENT/);
  });

  it.each([
    ["base64", (bytes: Uint8Array) => `data:text/plain;base64,${Buffer.from(bytes).toString("base64")}`],
    ["plain", (bytes: Uint8Array) => `data:text/plain,${encodeURIComponent(Buffer.from(bytes).toString("utf8"))}`],
  ])("files may stand in the code, %s", async (_, url) => {
    const places: Places = { "program.json": url(built.files.get("program.json")!) };
    expect(await readFile(built.manifest, "program.json", { places, signal: undefined, progress: () => {} })).toEqual(
      built.files.get("program.json"),
    );
  });
});
