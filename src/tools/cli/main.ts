#!/usr/bin/env node
// The program `modc`: a command line on the streams of its process.
// Before any other module is loaded: Node maps only stack frames of modules that it loads afterwards.
if (process.env["MODC_DEBUG"]) process.setSourceMapsEnabled(true);

const { end, handleStreams } = await import("./terminal/ending.js");
handleStreams();
const { runCli } = await import("./run-cli.js");
await end(await runCli(process.argv.slice(2)));
