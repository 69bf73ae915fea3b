// Holds a run of a command on a device against the reference.
import type { Graph } from "../../../compiler/ir/graph.js";
import { compareRun, type Verdict } from "../../verify/compare.js";
import { runOnReference, type Job, type Values } from "./execute.js";

export const verifyRun = (job: Job, graph: Graph, values: Values): Promise<Verdict> =>
  compareRun(job.program, job.given, values, (forced) => runOnReference(job, graph, forced));
