// The playground's own server: the site's files, nothing outside its folder, and no request that ends it.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { servePlayground } from "../../playground/serve.mjs";

const folder = mkdtempSync(join(tmpdir(), "modc-serve-"));
let served: Awaited<ReturnType<typeof servePlayground>>;
beforeAll(async () => {
  mkdirSync(join(folder, "site", "assets"), { recursive: true });
  writeFileSync(join(folder, "secret.txt"), "secret");
  writeFileSync(join(folder, "site", "index.html"), "<title>site</title>");
  writeFileSync(join(folder, "site", "assets", "a.js"), "export {};");
  served = await servePlayground(join(folder, "site"));
});
afterAll(async () => {
  await served.close();
  rmSync(folder, { recursive: true, force: true });
});

/** The status of an answer to a path as it stands: clients would mend it. */
const statusOf = (path: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(served.url).port), "127.0.0.1", () =>
      socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`),
    );
    let answer = "";
    socket.on("data", (data) => (answer += String(data)));
    socket.on("end", () => resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1])));
    socket.on("error", reject);
  });

it("serves the site, by types that browsers take", async () => {
  const page = await fetch(served.url);
  expect([page.status, page.headers.get("content-type"), await page.text()]).toEqual([
    200,
    "text/html; charset=utf-8",
    "<title>site</title>",
  ]);
  expect((await fetch(`${served.url}assets/a.js`)).headers.get("content-type")).toBe("text/javascript");
});

it.each([
  "/../secret.txt",
  "/%2e%2e/secret.txt",
  "/..%2fsecret.txt",
  "/assets/..%2f..%2fsecret.txt",
  "/%E0%A4%A",
  "/nothing",
  "/assets",
  "//x:99999/",
  "/%00",
])("answers %s with 404, and goes on", async (path) => {
  expect(await statusOf(path)).toBe(404);
  expect(await statusOf("/")).toBe(200);
});
