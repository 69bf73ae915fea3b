// The script of a page that contains a model: continues a text, with each token shaded by the number of layers that
// computed it.
import { ModcError } from "../../ground/base/errors.js";
import type { GeneratedText, Summary } from "../generate/index.js";
import { createModel, type LoadedModel, type LoadProgress } from "./model.js";
import type { TokenizerPart } from "./text.js";

/** The data in the page: each file of the package as a data URL. */
interface Contents {
  readonly model: string;
  /** The number of layers, and of layers that compute every token. */
  readonly layers: number;
  readonly always: number;
  readonly files: Readonly<Record<string, string>>;
}

/** The page's element with this id. */
function named<T extends HTMLElement>(id: string, kind: new () => T): T {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`the page has no ${id}`);
  return element;
}

/** Starts the page; called once after it was loaded. */
export function start(tokenizer: TokenizerPart | null): void {
  // as the build writes it
  const contents = JSON.parse(named("contents", HTMLScriptElement).textContent ?? "") as Contents;
  const model = createModel(contents.model, contents.files, tokenizer ? { tokenizer: async () => tokenizer } : {});
  const form = named("form", HTMLFormElement);
  const [prompt, button, status, output, seed, temperature, most] = [
    named("prompt", HTMLTextAreaElement),
    named("go", HTMLButtonElement),
    named("status", HTMLElement),
    named("output", HTMLElement),
    named("seed", HTMLInputElement),
    named("temperature", HTMLInputElement),
    named("most", HTMLInputElement),
  ];
  const say = (text: string, fault = false): void => {
    status.textContent = text;
    status.classList.toggle("fault", fault);
  };
  let loading: Promise<LoadedModel> | null = null;
  let running: AbortController | null = null;

  const load = (): Promise<LoadedModel> => {
    loading ??= model.load({ use: "generate", onProgress: (progress) => say(progressText(progress)) }).then(
      (loaded) => {
        // The next generation loads the model again.
        void loaded.lost.then(() => (loading = null));
        return loaded;
      },
      (error: unknown) => {
        loading = null;
        throw error;
      },
    );
    return loading;
  };

  const generate = async (signal: AbortSignal): Promise<void> => {
    output.replaceChildren(span(prompt.value, "prompt"));
    const loaded = await load();
    say(`generating on ${loaded.device} …`);
    const sampling =
      temperature.valueAsNumber > 0 ? { temperature: temperature.valueAsNumber, seed: seed.valueAsNumber || 0 } : {};
    const tokens = loaded.generate(prompt.value, { sampling, maxTokens: most.valueAsNumber || 1, signal });
    for (;;) {
      const next = await tokens.next();
      if (next.done) return say(summaryText(next.value));
      if (next.value.text !== "") output.append(shaded(next.value, contents));
    }
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (running) return running.abort();
    const own = (running = new AbortController());
    button.textContent = "Stop";
    generate(own.signal)
      .catch((error: unknown) => (own.signal.aborted ? say("stopped") : say(faultText(error), true)))
      .finally(() => {
        running = null;
        button.textContent = "Generate";
      });
  });
  prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  button.disabled = false;
  say("ready: everything is in this page, and nothing leaves it");
}

function span(text: string, name: string): HTMLSpanElement {
  const element = document.createElement("span");
  element.textContent = text;
  element.className = name;
  return element;
}

/** The number of shades in the page's style sheet. */
const SHADES = 8;

function shaded({ text, depth }: GeneratedText, { layers, always }: Contents): HTMLSpanElement {
  if (depth === null) return span(text, "token");
  const share = (depth - always) / Math.max(1, layers - always);
  const element = span(text, `token depth-${Math.max(0, Math.min(SHADES, Math.round(SHADES * share)))}`);
  element.title = `${depth} of ${layers} layers`;
  return element;
}

const progressText = ({ stage, done, total }: LoadProgress): string =>
  `${{ download: "checking files", kernels: "compiling kernels", weights: "writing weights" }[stage]}: ` +
  `${Math.round((100 * done) / Math.max(1, total))}%`;

function summaryText({ generatedTokens, generation, firstToken, flops }: Summary): string {
  const speed =
    generation > 0 ? `, ${((1000 * Math.max(0, generatedTokens - 1)) / generation).toFixed(0)} tokens/s` : "";
  const cost = flops ? `, ${((100 * flops.own) / flops.dense).toFixed(0)}% of the operations of a dense model` : "";
  return `${generatedTokens} tokens, the first after ${firstToken.toFixed(0)} ms${speed}${cost}`;
}

function faultText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const hint = error instanceof ModcError && error.hint !== null ? ` (${error.hint})` : "";
  return `${error.message}${hint}`;
}
