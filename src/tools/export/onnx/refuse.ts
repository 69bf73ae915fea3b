// Refuses by name what has no form in ONNX.
import { ExportError } from "../refused.js";

/** Throws ExportError: `what`, of the block at `path`, cannot be exported. */
export function refuse(what: string, path: string): never {
  throw new ExportError(`${what}${path === "" ? "" : ` (in ${path})`} has no form in ONNX yet`);
}
