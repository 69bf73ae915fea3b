// Shows the results and the routes of a model that runs once.
import type { RouteMap, RunResult } from "../device/protocol.js";
import { h } from "../dom.js";
import { HeatMap } from "./heat.js";
import { percent } from "./numbers.js";
import { patchPictures, type GivenPicture } from "./pixels.js";

/** Classes and numbers that are listed. */
const LISTED = 5;

/** Describes a result in lines of text. */
export function resultLines({ name, shape, data }: RunResult): readonly string[] {
  const head = `${name}: f32[${shape.join(", ")}]`;
  if (shape.length !== 2) {
    const more = data.length > LISTED ? ", …" : "";
    return [
      `${head} = ${data
        .slice(0, LISTED)
        .map((x) => x.toPrecision(4))
        .join(", ")}${more}`,
    ];
  }
  const most = Math.max(...data);
  const weights = data.map((x) => Math.exp(x - most));
  const sum = weights.reduce((a, b) => a + b, 0);
  const best = [...weights.keys()].sort((a, b) => weights[b]! - weights[a]! || a - b).slice(0, LISTED);
  return [head, ...best.map((i) => `${i}: ${percent(weights[i]! / sum)} (score ${data[i]!.toPrecision(4)})`)];
}

/** Maps of routes: squares of the picture if the tokens are such, else columns. */
export function routeMaps(maps: readonly RouteMap[], picture: GivenPicture | null): readonly HTMLElement[] {
  return maps.map((map) => {
    const squares = picture && patchPictures(map, picture);
    if (squares) return squares;
    const heat = new HeatMap();
    heat.start(map.routes.map(({ path }, axis) => ({ path, axis, routed: true })));
    const took = map.routes.map(({ chosen }) => new Set(chosen));
    for (let t = 0; t < map.tokens; t++)
      heat.add(
        String(t % 10),
        took.map((tokens) => tokens.has(t)),
      );
    return h("div", {}, h("p", { class: "note" }, `A column for each token along ${map.axis}.`), heat.element);
  });
}
