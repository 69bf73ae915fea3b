import { readFileSync } from "node:fs";
import { check } from "../../src/check/check.js";
import { lower } from "../../src/lower/lower.js";
import { optimize } from "../../src/passes/index.js";
import { printGraph } from "../../src/ir/print.js";
import { formatDiagnostics } from "../../src/diagnostics/format.js";
const [file, phase] = process.argv.slice(2) as [string, "infer"];
const text = readFileSync(file, "utf8");
const c = check({ file, text }, { phase, read: () => null });
console.log(formatDiagnostics(c.diagnostics, c.sources));
if (c.model) { const g = lower(c.model); const o = optimize(g, { verify: true }); console.log(printGraph(o, { place: null })); }
