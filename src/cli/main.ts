#!/usr/bin/env node
// The program `modc`: a command line on the streams of its process.
import { handleStreams } from "./terminal.js";

// Before anything is loaded whose lines a trace may show.
if (process.env["MODC_DEBUG"]) process.setSourceMapsEnabled(true);

handleStreams();
const { runCli } = await import("./run-cli.js");
process.exitCode = await runCli(process.argv.slice(2));
