// Messages whose headers cannot be read end the server with a message; all others reach it unchanged.
import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { serveClient, CheckedFrames } from "../../../src/tools/cli/lsp/connection.js";
import { hostIn } from "../../../src/tools/cli/lsp/host.js";

const message = (body: object, length?: string): string => {
  const text = JSON.stringify({ jsonrpc: "2.0", ...body });
  return `Content-Length: ${length ?? Buffer.byteLength(text)}\r\n\r\n${text}`;
};
const INITIALIZE = { id: 1, method: "initialize", params: { processId: null, rootUri: null, capabilities: {} } };
const SHUTDOWN = message({ id: 2, method: "shutdown" }) + message({ method: "exit" });

/** Serves a client that sends this text. */
async function served(text: string): Promise<{ readonly status: number; readonly answers: string }> {
  const [input, output] = [new PassThrough(), new PassThrough()];
  const answers: Buffer[] = [];
  output.on("data", (chunk: Buffer) => void answers.push(chunk));
  const ended = serveClient({ input, output, host: hostIn({}), version: "0.0.0" });
  input.write(text);
  return { status: await ended, answers: Buffer.concat(answers).toString() };
}

describe("a message is refused, and the server ends,", () => {
  it.each([
    ["a length that is not a number", message(INITIALIZE, "abc"), 'Content-Length is "abc"'],
    ["a length with more than digits", message(INITIALIZE, "12 bytes"), 'Content-Length is "12 bytes"'],
    ["a negative length", message(INITIALIZE, "-3"), 'Content-Length is "-3"'],
    ["a length beyond any source", message(INITIALIZE, "99999999999"), "more than 67108864"],
    ["no length", "Foo: 3\r\n\r\n{}", "0 Content-Length"],
    ["two lengths", "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "2 Content-Length"],
    ["a line without a name", "hello\r\n\r\n", "not a list of fields"],
    ["a header without end", "x".repeat(10_000), "more than 4096 bytes"],
  ])("if it has %s", async (_, bad, reason) => {
    await expect(served(bad + message(INITIALIZE) + SHUTDOWN)).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining(reason),
    });
  });
});

it("a body that is not JSON does not stop the server", async () => {
  const { status, answers } = await served(`Content-Length: 3\r\n\r\n{,}${message(INITIALIZE)}${SHUTDOWN}`);
  expect([status, answers]).toEqual([0, expect.stringContaining('"capabilities"')]);
});

it("messages pass unchanged, however they are cut into chunks", async () => {
  const text = message(INITIALIZE) + message({ method: "é".repeat(300) }) + `content-length:2\r\nX: y\r\n\r\n{}`;
  for (const size of [1, 2, 3, 7, 64, 1000]) {
    const frames = new CheckedFrames();
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += size) frames.write(bytes.subarray(at, at + size));
    frames.end();
    expect(Buffer.concat(await frames.toArray()).toString()).toBe(text);
  }
});
