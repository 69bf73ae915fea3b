// The files of docs/serving for containers and clusters, held against the server that they start.
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { runningCommands } from "../../../src/tools/cli/tree/running.js";
import { ask, scripted } from "./asked.js";

const read = (name: string): string => readFileSync(new URL(`../../../docs/${name}`, import.meta.url), "utf8");
const [manifest, container, page] = [
  read("serving/kubernetes.yaml"),
  read("serving/Containerfile"),
  read("serving.md"),
];
const KEY = "a-key-of-tests";
const { server } = scripted("x", { keys: [KEY] });

it("start servers with keys, by options that there are", () => {
  for (const file of [manifest, container]) {
    const words = /^(?:CMD| +args:) \[(.*)\]$/m
      .exec(file)![1]!
      .split(", ")
      .map((word) => word.replaceAll('"', ""));
    const given = words.filter((word) => word.startsWith("--"));
    const known = runningCommands.serve.options.map(({ long }) => long);
    expect(given.filter((option) => !known.includes(option))).toEqual([]);
    expect(given).toContain("--api-key");
  }
});

it("what a cluster asks without a key is answered without one", async () => {
  const probed = [...manifest.matchAll(/httpGet: \{ path: (\S+),/g)].map(([, path]) => path!);
  const scraped = /prometheus\.io\/scrape: "true"/.test(manifest) ? ["/metrics"] : [];
  expect(probed).toHaveLength(3);
  for (const path of [...probed, ...scraped]) expect([path, (await ask(server, path)).status]).toEqual([path, 200]);
});

it("Prometheus is told to send a key, to the port that the manifest names", async () => {
  const [, config] = /## Metrics[^]*?```yaml\n([^]*?)```/.exec(page)!;
  expect(config).toMatch(/^ {4}authorization: \{ credentials_file: /m); // as a bearer's, unless a type is given
  expect((await ask(server, "/metrics", undefined, { headers: { authorization: `Bearer ${KEY}` } })).status).toBe(200);
  const [, app] = /pod_label_app\], regex: (\w+)/.exec(config!)!;
  const [, port] = /pod_container_port_name\], regex: (\w+)/.exec(config!)!;
  expect(manifest).toContain(`labels: { app: ${app} }`);
  expect(manifest).toContain(`containerPort: 8080, name: ${port} }`);
});
