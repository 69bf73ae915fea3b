// What an exported graph computes in onnxruntime-node: a job on standard input, its results on standard output.
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

const { path, packages, runs } = JSON.parse(await text(process.stdin));
const ort = createRequire(`${packages}/`)("onnxruntime-node");
const session = await ort.InferenceSession.create(path, { executionProviders: ["cpu"], intraOpNumThreads: 1 });

const kinds = new Map(session.inputMetadata.map(({ name, type }) => [name, type]));
const tensor = (name, { shape, data }) =>
  kinds.get(name) === "int64"
    ? new ort.Tensor("int64", BigInt64Array.from(data, BigInt), shape)
    : new ort.Tensor("float32", Float32Array.from(data), shape);

const answers = [];
for (const given of runs) {
  const results = await session.run(
    Object.fromEntries(Object.entries(given).map(([name, x]) => [name, tensor(name, x)])),
  );
  const shown = ({ dims, data }) => ({ shape: dims, data: Array.from(data, Number) });
  answers.push(Object.fromEntries(Object.entries(results).map(([name, x]) => [name, shown(x)])));
}
process.stdout.write(JSON.stringify(answers));
