// Generations are what they were, bit for bit: tokens, log-probabilities, routes and counts of every kind of model,
// with caches in rows and in pages. `texts.txt` holds a line for each; a change that is meant to change them says so in
// its commit, with the file that `SOAK=1 npx vitest run test/generation/recorded -u` writes.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Device } from "../../../src/runtime/index.js";
import { sparingDevice } from "../../device.js";
import { soaking } from "../../soak.js";
import { CASES, lineOf, nameOf } from "./cases.js";

/** Models of the short run. */
const SHORT = ["dense", "mixture of depths", "a live share"];

let device: Device;
beforeAll(async () => {
  device = await sparingDevice();
});
afterAll(() => device.destroy());

it("generations are what they were", { tags: "long", timeout: 300_000 }, async ({ skip }) => {
  const file = join(import.meta.dirname, "texts.txt");
  const { name, driver, subgroups } = device.info;
  const head = `On ${name}, ${driver}, subgroups of ${subgroups?.[0] ?? "unknown size"}`;
  const lines: string[] = [];
  const cases = CASES.filter(({ model }) => soaking || SHORT.includes(model));
  const recorded = soaking ? [] : readFileSync(file, "utf8").split("\n");
  // Other devices round otherwise.
  if (!soaking && recorded[0] !== head) skip(`recorded ${recorded[0]}, this is ${head}`);
  for (const own of cases) lines.push(await lineOf(device, own));
  if (soaking) await expect(`${[head, ...lines].join("\n")}\n`).toMatchFileSnapshot("texts.txt");
  else
    expect(lines).toEqual(
      cases.map((own) => recorded.find((line) => line.startsWith(`${nameOf(own)}: `)) ?? nameOf(own)),
    );
});
