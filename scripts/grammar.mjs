// Writes what is generated from the grammar. Run it after a change there: node --import tsx scripts/grammar.mjs
import { writeFileSync } from "node:fs";
import { generated } from "../grammar/generate.ts";

for (const { path, text } of generated()) writeFileSync(new URL(`../${path}`, import.meta.url), text);
