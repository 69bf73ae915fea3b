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
  { say }: ViewContext,
  device: () => Remote<DeviceCalls>,
  { onTrained, tiny }: TrainOptions,
): View {
  let source: Source | null = null;
  let running: AbortController | null = null;
  const area = h("textarea", { rows: 6, "aria-label": "Text to learn", spellcheck: "false" }, text);
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
  const curve = new Curve("Loss", "bits a byte");
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
  const panel = h("div", {}, note, h("div", { class: "prompt" }, area), bar, status, curve.element);

  async function start(): Promise<void> {
    if (!source || running) return;
    const controller = new AbortController();
    running = controller;
    button.textContent = "Stop";
    delete panel.dataset["state"];
    curve.start();
    let name = "";
    let [first, last] = [0, 0];
    const onEvent = (event: TrainEvent): void => {
      if (event.kind === "stage") status.textContent = `${event.text} …`;
      else if (event.kind === "ready") name = `${event.device}; ${short(event.weights)} numbers`;
      else {
        last = event.loss / Math.LN2;
        if (event.step === 1) first = last;
        curve.add(last);
        status.textContent =
          `${name}; step ${event.step}: ${last.toFixed(3)} bits a byte, ` +
          `${short(Math.round(event.tokens / event.seconds))} bytes a second`;
      }
    };
    const ask = {
      source: { text: source.text, set: source.set },
      text: area.value,
      steps: whole(steps, 1),
      batch: whole(batch, 1),
      context: whole(context, 2),
      learningRate: Math.max(1e-6, rate.valueAsNumber || 1e-3),
    };
    try {
      const done = await device().call("train", ask, { onEvent, signal: controller.signal });
      const end =
        `${done.stopped ? "stopped after" : "done:"} ${done.steps} steps, from ${first.toFixed(3)} to ` +
        `${last.toFixed(3)} bits a byte`;
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
  return {
    id: "train",
    label: "Train",
    panel,
    show: async (shown) => void ((source = shown), (shrink.hidden = tiny() === null)),
  };
}

const whole = (input: HTMLInputElement, least: number): number =>
  Math.max(least, Math.floor(input.valueAsNumber) || least);
