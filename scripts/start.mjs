#!/usr/bin/env node
// `npm start`: sets the checkout up, then shows a Mixture-of-Depths model being compiled and run on a passage of
// Moby-Dick.
import { setupOrExit } from "./setup.mjs";

setupOrExit();
const { demo } = await import("../dist/src/cli/demo.js");
await demo();
