#!/usr/bin/env node
// The program `modc`: a command line on the streams of its process.
import { runCli } from "./run-cli.js";
import { handleStreams } from "./terminal.js";

handleStreams();
process.exitCode = await runCli(process.argv.slice(2));
