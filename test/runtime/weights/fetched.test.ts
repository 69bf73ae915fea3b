// Weights from an address or a response: read as they come, held against the model first, and told of clearly where
// they cannot be had.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { compile } from "../../../src/compiler/compile.js";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { createGenerator } from "../../../src/generation/generate/index.js";
import { load, WeightsError, writeSafetensors, type WeightsInput } from "../../../src/runtime/index.js";
import { locateWeights } from "../../../src/runtime/weights/weights.js";
import { openResponse } from "../../../src/runtime/weights/fetched.js";
import { TRUNCATED } from "../../../src/runtime/weights/formats/safetensors.js";
import { testDevice } from "../../device.js";

const SOURCE = `model M() {
  weight w: f32[2, 3]
  weight b: f32[2] = zeros()
  forward(x: f32[B, 3]) -> f32[B, 2] { x @ transpose(w) + b }
}`;
const program = compile(SOURCE).program!;
const f32 = (...values: number[]): Uint8Array => new Uint8Array(new Float32Array(values).buffer);
/** The bias stands first: not in the order in which weights are read. */
const FILE = writeSafetensors([
  { key: "b", dtype: "F32", shape: [2], data: f32(10, 20) },
  { key: "w", dtype: "F32", shape: [2, 3], data: f32(1, 2, 3, 4, 5, 6) },
]);

type Answer = (response: ServerResponse, request: IncomingMessage) => void;
/** A model that says the next token. */
const NEXT =
  "model G() {\n  weight table: f32[4, 4]\n  forward(tokens: u32[B, T <= 8]) -> f32[B, T, 4] { table[tokens] }\n}";
const NEXT_FILE = writeSafetensors([
  { key: "table", dtype: "F32", shape: [4, 4], data: f32(0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0) },
]);
let nextAsked = 0;
const answers: Readonly<Record<string, Answer>> = {
  "/w.safetensors": (r) => void r.writeHead(200, { "content-length": FILE.length }).end(FILE),
  "/in-pieces": (r) => {
    r.writeHead(200);
    for (let i = 0; i < FILE.length; i += 7) r.write(FILE.subarray(i, i + 7));
    r.end();
  },
  "/gzip": (r) => {
    const packed = gzipSync(FILE);
    r.writeHead(200, { "content-encoding": "gzip", "content-length": packed.length }).end(packed);
  },
  "/next": (r) => {
    nextAsked++;
    r.writeHead(200).end(NEXT_FILE);
  },
  "/moved": (r) => void r.writeHead(302, { location: "/w.safetensors" }).end(),
  "/page": (r) =>
    void r
      .writeHead(200, { "content-type": "text/html" })
      .end("<!doctype html><title>a page for every address</title>"),
  "/pointer": (r) => void r.writeHead(200).end("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"),
  "/secret": (r) => void r.writeHead(403).end("no"),
  "/short": (r) => void r.writeHead(200).end(FILE.subarray(0, FILE.length - 4)),
  "/short-told": (r) =>
    void r.writeHead(200, { "content-length": FILE.length - 4 }).end(FILE.subarray(0, FILE.length - 4)),
  "/long": (r) => void r.writeHead(200).end(Buffer.concat([FILE, new Uint8Array(3)])),
  "/broken": (r) => {
    r.writeHead(200, { "content-length": FILE.length });
    r.write(FILE.subarray(0, FILE.length - 4), () => r.destroy());
  },
  "/claims": (r) => {
    r.writeHead(200);
    r.write(new Uint8Array([255, 224, 245, 5, 0, 0, 0, 0])); // a header of 99,999,999 bytes
    r.end();
  },
  "/stalls": (r) => {
    r.writeHead(200, { "content-length": FILE.length });
    r.write(FILE.subarray(0, FILE.length - 4));
  },
};

let server: Server;
let at = "";
const folder = mkdtempSync(join(tmpdir(), "modc-fetched-"));
beforeAll(async () => {
  writeFileSync(join(folder, "w.safetensors"), FILE);
  server = createServer((request, response) => {
    const answer = answers[request.url!];
    if (answer) answer(response, request);
    else response.writeHead(404).end("<h1>nothing here</h1>");
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  at = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true, force: true });
});
afterEach(() => vi.unstubAllGlobals());

/** All weights, through the calls that `load` makes. */
async function read(input: WeightsInput, signal?: AbortSignal): Promise<readonly number[][]> {
  const values = await locateWeights(program, input, 0, signal);
  try {
    const all: number[][] = [];
    for (const weight of program.weights) all.push(Array.from(await values.values(weight)));
    return all;
  } finally {
    await values.close();
  }
}
const WEIGHTS = [
  [1, 2, 3, 4, 5, 6],
  [10, 20],
];

const fault = async (input: WeightsInput | Promise<WeightsInput>, signal?: AbortSignal): Promise<WeightsError> => {
  const outcome = await read(await input, signal).catch((error: unknown) => error);
  expect(outcome).toBeInstanceOf(WeightsError);
  return outcome as WeightsError;
};

describe("weights from an address", () => {
  it("are those of the file: by text or URL, by HTTP or file, packed, in pieces, moved", async () => {
    expect(await read(`${at}/w.safetensors`)).toEqual(WEIGHTS);
    expect(await read(new URL(`${at}/in-pieces`))).toEqual(WEIGHTS);
    expect(await read(`${at}/gzip`)).toEqual(WEIGHTS);
    expect(await read(`${at}/moved`)).toEqual(WEIGHTS);
    expect(await read(pathToFileURL(join(folder, "w.safetensors")))).toEqual(WEIGHTS);
    expect(await read(pathToFileURL(join(folder, "w.safetensors")).href)).toEqual(WEIGHTS);
  });

  it("run", async () => {
    const session = await load(program, await testDevice(), `${at}/w.safetensors`);
    const { output } = await session.run({ x: [[1, 1, 1]] });
    expect(Array.from(output!.data)).toEqual([16, 35]);
    session.dispose();
  });

  it.each([
    ["/nothing", /\/nothing cannot be fetched: the server answered 404 Not Found/, "is the address right?"],
    ["/secret", /the server answered 403 Forbidden/, "the server refuses access to it"],
    [
      "/page",
      /is not a safetensors file: the server sent a page \(text\/html\)/,
      "many servers send a page if a file does not exist",
    ],
    ["/pointer", /looks like a pointer file of Git LFS/, "serve the file itself"],
    ["/short", /is truncated: it ends at byte \d+/, TRUNCATED],
    ["/short-told", /ends at byte 32 of the data, the file holds 28: it is truncated/, TRUNCATED],
    ["/long", /bytes after byte \d+ belong to no tensor/, null],
    ["/broken", /broke off after \d+ bytes: /, "load it again, or fetch it completely first and pass its bytes"],
    ["/claims", /is truncated: it ends at byte 8/, TRUNCATED],
  ])("%s is told", async (path, message, hint) => {
    const { message: told, hint: mend } = await fault(`${at}${path}`);
    expect(told).toMatch(message);
    expect(mend).toBe(hint);
  });

  it.each([
    ["<!doctype html><title>a page</title>", /\.safetensors is not a safetensors file: it looks like a page of HTML$/],
    ["version https://git-lfs.github.com/spec/v1\n", /file: it looks like a pointer file of Git LFS/],
    ["PK\x03\x04....data.pkl", /: it looks like a file of torch\.save$/],
    ["no weights at all", /: its header would have \d+ bytes, the format allows 100000000$/],
  ])("and of a file, by path or address: %s", async (text, message) => {
    const path = join(folder, "instead.safetensors");
    writeFileSync(path, text);
    for (const place of [path, pathToFileURL(path).href])
      expect(await fault(place)).toMatchObject({
        message: expect.stringMatching(message),
        hint: expect.stringMatching(/^(download|fetch) the file itself|^is it a complete|^save the weights/),
      });
  });

  it("are read whatever their header's length is, also where it begins like a page", async () => {
    const spaces = " ".repeat((0x3c - FILE[0]! + 256) % 256);
    const header = new TextDecoder().decode(FILE.subarray(8, 8 + FILE[0]!)) + spaces;
    const padded = Buffer.concat([Buffer.alloc(8), Buffer.from(header), FILE.subarray(8 + FILE[0]!)]);
    padded.writeBigUInt64LE(BigInt(header.length));
    expect(String.fromCharCode(padded[0]!)).toBe("<");
    const opened = await openResponse(new Response(padded));
    expect([...opened.tensors.keys()].sort()).toEqual(["b", "w"]);
    await opened.close();
  });

  it("that do not fit are told from the header, before room is made for them", async () => {
    const header = new TextEncoder().encode(
      `{"w":{"dtype":"F32","shape":[1048576,1024],"data_offsets":[0,4294967296]}}`,
    );
    const file = new Uint8Array(8 + header.length);
    new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
    file.set(header, 8);
    // and never more
    const stream = new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(file) });
    expect((await fault(new Response(stream))).message).toContain("wrong shape");
  });

  it("of a server that is not there say so", async () => {
    const closed = createServer();
    await new Promise<void>((resolve) => void closed.listen(0, "127.0.0.1", resolve));
    const { port } = closed.address() as AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    const { message, hint } = await fault(`http://127.0.0.1:${port}/w.safetensors`);
    expect(message).toMatch(/cannot be reached: connect ECONNREFUSED/);
    expect(hint).toBe("is the address right, and the server up?");
  });

  it("end with the signal", async () => {
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 50);
    await expect(read(`${at}/stalls`, stop.signal)).rejects.toThrow(expect.objectContaining({ name: "AbortError" }));
    await expect(read(`${at}/w.safetensors`, AbortSignal.abort())).rejects.toThrow(
      expect.objectContaining({ name: "AbortError" }),
    );
  });
});

describe("in a page", () => {
  it("a text is an address, and another origin that does not answer is told of as such", async () => {
    const asked: string[] = [];
    vi.stubGlobal("process", undefined);
    vi.stubGlobal("location", { href: "https://here.example/app/", origin: "https://here.example" });
    vi.stubGlobal("fetch", async (url: string) => {
      asked.push(url);
      if (url.startsWith("https:")) throw new TypeError("Failed to fetch");
      return new Response(FILE.slice());
    });
    expect(await read("models/w.safetensors")).toEqual(WEIGHTS);
    const foreign = await fault("https://there.example/w.safetensors");
    expect(foreign.message).toBe("https://there.example/w.safetensors cannot be reached: Failed to fetch");
    expect(foreign.hint).toContain(
      "it must allow pages of https://here.example to read the file: Access-Control-Allow-Origin",
    );
    expect((await fault("https://here.example/w.safetensors")).hint).toBe("is the address right, and the server up?");
    expect(asked.length).toBe(3);
  });
});

/** A stream that enqueues a chunk at each pull. */
function streamOf(
  chunks: readonly Uint8Array[],
  cancel: () => void | Promise<void> = () => {},
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const left = [...chunks];
  return new ReadableStream({
    pull(controller) {
      const chunk = left.shift();
      if (chunk) controller.enqueue(chunk as Uint8Array<ArrayBuffer>);
      else controller.close();
    },
    cancel,
  });
}

describe("a response", () => {
  it("gives its weights once", async () => {
    const response = await fetch(`${at}/w.safetensors`);
    expect(await read(response)).toEqual(WEIGHTS);
    const { message, hint } = await fault(response);
    expect(message).toMatch(/has nothing to read any more/);
    expect(hint).toBe("give its URL: a response can be read only once");
  });

  it("that failed is told of, and one that nobody may read", async () => {
    expect((await fault(fetch(`${at}/nothing`))).message).toMatch(/the server answered 404/);
    const bodiless = {
      ok: false,
      status: 404,
      statusText: "Not Found",
      type: "basic",
      url: "",
      headers: new Headers(),
      bodyUsed: false,
      body: null,
    };
    expect((await fault(bodiless)).message).toMatch(/the server answered 404/);
    const locked = new Response(FILE.slice());
    locked.body!.getReader();
    expect((await fault(locked)).hint).toBe("give its URL: a response can be read only once");
    const opaque = {
      ok: false,
      status: 0,
      statusText: "",
      type: "opaque",
      url: "",
      headers: new Headers(),
      bodyUsed: false,
      body: null,
    };
    expect((await fault(opaque)).hint).toBe("fetch it without mode: no-cors");
  });

  it("lets tensors go that are not wanted, and keeps all others where they are to be read again", async () => {
    const source = await openResponse(new Response(FILE.slice()), { keep: true });
    source.only(["w"]);
    expect([await source.read("w"), await source.read("w")]).toEqual([f32(1, 2, 3, 4, 5, 6), f32(1, 2, 3, 4, 5, 6)]);
    await expect(source.read("b")).rejects.toThrow(/was already passed in the stream/);
    await source.close();
  });

  it("may end in a chunk without bytes, and may refuse to be let go", async () => {
    expect(await read(new Response(streamOf([FILE, new Uint8Array(0)])))).toEqual(WEIGHTS);
    const more = [new Uint8Array(1), new Uint8Array(1)];
    const { message } = await fault(
      new Response(streamOf([NEXT_FILE, ...more], () => Promise.reject(new Error("no way back")))),
    );
    expect(message).toMatch(/does not fit the model/);
    const source = await openResponse(new Response(streamOf([FILE, ...more], () => new Promise<void>(() => {}))));
    await source.close();
  });

  it("serves both programs of a generation, as an address does that is asked for once", async () => {
    const { generation } = compileGeneration(NEXT);
    const device = await testDevice();
    for (const [weights, recover] of [
      [new Response(NEXT_FILE.slice())],
      [new Response(NEXT_FILE.slice()), null],
      [`${at}/next`],
    ] as const) {
      const generator = await createGenerator(generation!, device, weights, recover === null ? { recover } : {});
      const tokens: number[] = [];
      for await (const { token } of generator.generate([[0]], { maxTokens: 5 })) tokens.push(token);
      expect(tokens).toEqual([1, 2, 3, 0, 1]);
      generator.dispose();
    }
    expect(nextAsked).toBe(1);
  });

  it("is let go where a generator cannot be made of it", async () => {
    const { generation } = compileGeneration(NEXT);
    const cancelled = vi.fn<() => void>();
    await expect(
      createGenerator(generation!, await testDevice(), new Response(streamOf([FILE, FILE, FILE], cancelled))),
    ).rejects.toThrow(/does not fit/);
    expect(cancelled).toHaveBeenCalledOnce();
  });
});
