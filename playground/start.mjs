#!/usr/bin/env node
// `npm run playground`: makes the checkout ready, builds the site and serves it; with `--build <folder>` it only
// builds. Plain Node, for nothing may be installed yet.
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { setupOrExit } from "../scripts/setup.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const USAGE = "usage: npm run playground -- [--port <number>] [--build <folder>]";

const options = given();
setupOrExit({ driver: false });
const { buildPlayground } = await import("./build.mjs");
const { servePlayground } = await import("./serve.mjs");
const folder =
  options.build === undefined
    ? join(root, "playground", "dist")
    : resolve(process.env.INIT_CWD ?? process.cwd(), options.build);
try {
  if (await buildPlayground(folder)) process.stderr.write(`playground: built ${folder}\n`);
  if (options.build === undefined)
    process.stdout.write(`${(await servePlayground(folder, Number(options.port ?? 0))).url}\n`);
} catch (error) {
  process.stderr.write(`playground: ${error.message}\n`);
  process.exit(1);
}

function given() {
  let values;
  try {
    ({ values } = parseArgs({ options: { build: { type: "string" }, port: { type: "string" } } }));
    if (
      values.port !== undefined &&
      !(Number.isInteger(Number(values.port)) && Number(values.port) >= 0 && Number(values.port) <= 65535)
    )
      throw new Error(`the port is ${values.port}: it must be a whole number up to 65535`);
  } catch (error) {
    process.stderr.write(`playground: ${error.message}\n${USAGE}\n`);
    process.exit(2);
  }
  return values;
}
