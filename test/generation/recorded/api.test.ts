// The public types of generation, sessions and serving are what they were; a change that is meant to change them comes
// with the file that `npx vitest run test/generation/recorded/api.test.ts -u` writes.
import { join } from "node:path";
import { expect, it } from "vitest";
import { publicTypes } from "./api.js";

it("public types are what they were", async () => {
  const root = join(import.meta.dirname, "../../..");
  await expect(publicTypes(root, ["./generate", "./session", "./serve"])).toMatchFileSnapshot("api.txt");
});
