// The settings of training: the table of docs/training.md is what `trainOptions` says. `UPDATE=1` writes it anew.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { TRAIN_OPTIONS } from "../../src/tools/train/options.js";

const file = fileURLToPath(new URL("../../docs/training.md", import.meta.url));

const rows = TRAIN_OPTIONS.map(([name, { flag, usually, doc, resumable }]) => {
  const flags = name === "live" ? "`--live`, `--live-schedule`" : `\`${flag}\``;
  return `| ${flags} | \`${name}\` | ${usually} | ${doc}${resumable ? "; *may change*" : ""} |`;
});
const table = `| option | setting | default | |\n|---|---|---|---|\n${rows.join("\n")}`;

it("docs/training.md has the table of all settings", () => {
  const page = readFileSync(file, "utf8");
  const written = page.replace(/(## Settings\n\n[^|]*?\n\n)[\s\S]*?(?=\n\n## )/, (_, before: string) => before + table);
  if (process.env["UPDATE"]) writeFileSync(file, written);
  expect(page).toBe(written);
});
