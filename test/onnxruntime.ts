// What ONNX's checker and runtime say of exported graphs; where Python has neither, such tests are skipped, and say so.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PythonServer, pythonWith } from "./python.js";

/** The Python that has both; undefined where none has. */
export const onnxPython = pythonWith("onnx", "onnxruntime");
const server = new PythonServer(onnxPython, new URL("onnx_answers.py", import.meta.url));

export const hasOnnx = onnxPython !== undefined;
/** A suffix for test names, which says why the tests are skipped. */
export const onnxNote = hasOnnx
  ? ""
  : " (skipped: python3 has no onnx and onnxruntime; on Debian they are python3-onnx and python3-onnxruntime)";

/** Calls the script's function `answer` for each job. */
export const askOnnx = <Answer>(script: URL, jobs: readonly unknown[]): Promise<readonly Answer[]> =>
  server.ask(script, jobs);

/** The packages of `bench/`, which measures onnxruntime-node. */
export const nodePackages = fileURLToPath(new URL("../bench/node_modules", import.meta.url));
export const hasOnnxNode = existsSync(join(nodePackages, "onnxruntime-node"));
export const onnxNodeNote = hasOnnxNode
  ? ""
  : " (without onnxruntime-node: bench/ has no packages; `npm ci` there brings it)";
