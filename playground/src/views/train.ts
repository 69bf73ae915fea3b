// The training tab: trains a model on a pasted text, and draws the loss of each step.
import { ModcError } from "../../../src/ground/base/errors.js";
import text from "../../../examples/moby-dick.txt?raw";
import type { DeviceCalls, TrainEvent } from "../device/protocol.js";
import { field, h } from "../dom.js";
import type { Source } from "../source.js";
import type { Remote } from "../worker/remote.js";
import { Curve } from "./curve.js";
import { short } from "./numbers.js";
import { webgpuNote } from "./webgpu.js";
import type { View, ViewContext } from "./view.js";

export interface TrainOptions {
  /** Called when trained weights are available. */
  readonly onTrained: () => void;
  /** Makes the model small enough to train quickly; null if no such sizes are known. */
  readonly tiny: () => (() => void) | null;
}

export function trainView(
  { compiler, say }: ViewContext,
  device: () => Remote<DeviceCalls>,
  { onTrained, tiny }: TrainOptions,
): View {
  let source: Source | null = null;
  let running: AbortController | null = null;
  let classes = USUAL_CLASSES;
  let pairs = false;
  const area = h("textarea", { rows: 6, "aria-label": "Text to learn", spellcheck: "false" }, text);
  const records = h(
    "textarea",
    { rows: 6, "aria-label": "Records to learn", spellcheck: "false", hidden: true },
    SAMPLE,
  );
  const told = h("p", { class: "note", hidden: true });
  const number = (value: number, min: number, max: number, step: number | string = 1): HTMLInputElement =>
    h("input", { type: "number", value, min, max, step });
  const [steps, batch, context, rate] = [
    number(100, 1, 100_000),
    number(4, 1, 256),
    number(64, 2, 4096),
    number(0.003, 0, 1, "any"),
  ];
  const button = h(
    "button",
    { type: "button", class: "primary", onclick: () => (running ? running.abort() : void start()) },
    "Train",
  );
  const shrink = h("button", { type: "button", onclick: () => tiny()?.() }, "Make the model tiny");
  const status = h("p", { class: "note told" });
  const curve = new Curve("Loss");
  const note = webgpuNote("train");
  button.disabled = note !== null;
  const bar = h(
    "div",
    { class: "bar" },
    button,
    field("Steps", steps),
    field("Sequences", batch),
    field("Bytes of each", context),
    field("Learning rate", rate),
    shrink,
  );
  const panel = h("div", {}, note, told, h("div", { class: "prompt" }, area, records), bar, status, curve.element);

  async function start(): Promise<void> {
    if (!source || running) return;
    const controller = new AbortController();
    running = controller;
    button.textContent = "Stop";
    delete panel.dataset["state"];
    curve.start();
    let name = "";
    let unit = "";
    let [first, last] = [0, 0];
    const onEvent = (event: TrainEvent): void => {
      if (event.kind === "stage") status.textContent = `${event.text} …`;
      else if (event.kind === "ready") {
        name = `${event.device}; ${short(event.weights)} numbers`;
        unit = `bits a ${event.per}`;
      } else {
        last = event.loss / Math.LN2;
        if (event.step === 1) first = last;
        curve.add(last, unit);
        status.textContent =
          `${name}; step ${event.step}: ${last.toFixed(3)} ${unit}, ` +
          `${short(Math.round(event.tokens / event.seconds))} tokens a second`;
      }
    };
    const ask = {
      source: { text: source.text, set: source.set },
      text: pairs ? records.value : area.value,
      classes,
      steps: whole(steps, 1),
      batch: whole(batch, 1),
      context: whole(context, 2),
      learningRate: Math.max(1e-6, rate.valueAsNumber || 1e-3),
    };
    try {
      const done = await device().call("train", ask, { onEvent, signal: controller.signal });
      const end =
        `${done.stopped ? "stopped after" : "done:"} ${done.steps} steps, from ${first.toFixed(3)} to ` +
        `${last.toFixed(3)} ${unit}`;
      status.textContent = `${name}; ${end}. ${done.steps > 0 ? "Run can use the trained weights." : ""}`;
      panel.dataset["state"] = "done";
      say(`Training ${end}`);
      if (done.steps > 0) onTrained();
    } catch (error) {
      const hint = error instanceof ModcError && error.hint !== null ? ` ${error.hint}.` : "";
      say(error instanceof Error ? error.message : String(error));
      status.replaceChildren(
        h("span", { class: "fault" }, `${error instanceof Error ? error.message : String(error)}.`),
        hint,
      );
      panel.dataset["state"] = "failed";
    } finally {
      running = null;
      button.textContent = "Train";
    }
  }
  async function show(shown: Source): Promise<void> {
    source = shown;
    shrink.hidden = tiny() === null;
    const lesson = await compiler.call("lesson", shown);
    const form = await compiler.call("form", shown);
    if (source !== shown) return;
    classes = form?.classes ?? USUAL_CLASSES;
    pairs = (lesson?.texts?.length ?? 0) > 0;
    area.hidden = lesson !== null && lesson.texts !== null;
    records.hidden = !pairs;
    told.hidden = !area.hidden;
    const lines = pairs ? `Each line is a record: ${lesson!.texts!.join(" => ")}.` : "";
    const made = lesson?.made ?? [];
    const stripes = made.length > 0 ? ` The page makes ${made.join(" and ")}: stripes for each class.` : "";
    told.textContent = `${lines}${stripes}`;
  }
  return { id: "train", label: "Train", panel, show };
}

/** Classes of made records for a model without any. */
const USUAL_CLASSES = 10;

/** Words of the text, each with its letters from back to front. */
const SAMPLE = [...new Set(text.match(/[a-z]{3,8}/gi))]
  .map((word) => `${word} => ${Array.from(word).reverse().join("")}`)
  .join("\n");

const whole = (input: HTMLInputElement, least: number): number =>
  Math.max(least, Math.floor(input.valueAsNumber) || least);
