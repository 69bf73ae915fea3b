// The README of a built package.
import type { Generation } from "../../runtime/program/generation.js";
import type { Programs } from "../../generation/packaged/programs.js";

export interface ReadmeInput {
  readonly name: string;
  readonly source: string;
  readonly programs: Programs;
  readonly version: string;
  /** The size of the weights in words, for readers. */
  readonly weights: string;
  /** Whether the model has a chat template. */
  readonly chat: boolean;
}

export function readme({ name, source, programs: { run, generation }, version, weights, chat }: ReadmeInput): string {
  const parameters = run.parameters.map((p) => `${p.name} = ${p.value}`).join(", ");
  const inputs = run.inputs.map((i) => `${i.name}: …`).join(", ");
  const result = run.outputs.find((o) => o.role === "result")?.name ?? "output";
  return `# ${name}

The model \`${run.model}\` of ${source}${parameters === "" ? "" : ` (${parameters})`}, compiled by modc ${version}:
kernels in WGSL and ${weights} of weights. It runs on any platform with WebGPU.

\`\`\`js
import model from "${name}";

const loaded = await model.load({ onProgress: ({ stage, done, total }) => console.log(stage, done, total) });
const { ${result} } = await loaded.run({ ${inputs} });
console.log(${result}.shape, ${result}.data);${generation === null ? "" : generating(generation, chat)}
loaded.dispose();
\`\`\`

- In Node (20.19 or later) also install \`webgpu\`, or pass your own device to \`load\`. A page needs nothing else; if
  you serve the folder, import \`./index.js\` from it.
- \`manifest.json\` has the SHA-256 of every file; loaded files are checked against it. A broken download is resumed.
- It evaluates no text as code, so it runs under a content security policy of \`default-src 'self'\`.
- Types of inputs and results are in \`index.d.ts\`, kernels as text in \`kernels/\`.
`;
}

function generating({ given, beside = [] }: Generation, chat: boolean): string {
  const inputs = [...(given?.inputs ?? []).map(({ name }) => name), ...beside].map((name) => `${name}: …`);
  const further = inputs.length === 0 ? "" : `inputs: { ${inputs.join(", ")} }, `;
  const next = beside.length === 0 ? "" : `next: () => ({ ${beside.map((name) => `${name}: …`).join(", ")} }), `;
  return `

const prompt = ${chat ? '[{ role: "user", content: "…" }]' : '"…"'};
const options = { ${further}${next}maxTokens: 100, sampling: { temperature: 0.8, seed: 1 } };
for await (const { text } of loaded.generate(prompt, options)) console.log(text);`;
}
