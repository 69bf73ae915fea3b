#!/usr/bin/env node
// The program `modc`: a command line on the streams of its process.
import { end, handleStreams } from "./terminal/ending.js";

// Before anything is imported that a stack trace may show.
if (process.env["MODC_DEBUG"]) process.setSourceMapsEnabled(true);

handleStreams();
const { runCli } = await import("./run-cli.js");
await end(await runCli(process.argv.slice(2)));
