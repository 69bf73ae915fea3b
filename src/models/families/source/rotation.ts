// The `.mod` source of rotary positions: the parameters and tables of angles, and the rotation of queries and keys.
import { ropeFrequencies } from "../../../ground/numerics/rope.js";
import { floatText, joinNames, type DecoderConfig } from "../description/decoder.js";
import type { Rotary, Rotation } from "../description/rotary.js";

/**
 * The parameter of a layer and its attention that says how the layer rotates: "theta", the base of the angles, 0.0 for
 * no rotation; "turn", the number of a table of angles, −1 for no rotation. Null: all layers rotate by one table, or
 * none rotates.
 */
type Parameter = "theta" | "turn" | null;

function parameterOf({ rotation }: DecoderConfig): Parameter {
  if (rotation === null) return null;
  const isPlain = kindsOf(rotation).every(({ frequencies }) => frequencies === null);
  if (isPlain) return "theta";
  return isUniform(rotation) && !rotation.main.long ? null : "turn";
}

/** The rotations of the tables, in order: the main one, for longer texts the next, then the local one. */
function kindsOf({ main, local }: Rotation): readonly Rotary[] {
  const { long } = main;
  const longer = long && { ...main, frequencies: long.frequencies, scaling: `longrope for longer texts` };
  return [main, ...(longer ? [longer] : []), ...(local === null ? [] : [local])];
}
const isUniform = ({ layers }: Rotation): boolean => layers.every((turn) => turn === "main");

/** Tables of angles, and of the layers' rotations, that no formula of the language can express. */
export function rotationConstants(config: DecoderConfig): readonly string[] {
  const { rotation } = config;
  if (rotation === null) return [];
  const list = (numbers: readonly number[]): string => `[${numbers.map(floatText).join(", ")}]`;
  const { layers, main, local } = rotation;
  const parameter = parameterOf(config);
  const about = `/// Radians a position by which each pair of a head's dimensions turns: `;
  if (parameter === null) return [`${about}${described(main)}.\nconst frequencies = ${list(main.frequencies!)}`];
  if (parameter === "theta") {
    const thetas = layers.map((turn) => (turn === "none" ? 0 : (turn === "main" ? main : local!).theta));
    const text = `/// The base of each layer's angles; 0.0 for no rotation.\nconst thetas = ${list(thetas)}`;
    return isUniform(rotation) ? [] : [text];
  }
  const kinds = kindsOf(rotation);
  const tables = kinds.map((rotary) => rotary.frequencies ?? ropeFrequencies({ width: rotation.columns, ...rotary }));
  const numbers = layers.map((turn) => (turn === "none" ? -1 : turn === "main" ? 0 : 1));
  return [
    `${about}${kinds.map(described).join("; ")}.\nconst frequencies = [${tables.map(list).join(", ")}]`,
    ...(main.long ? [] : [`/// The table of each layer; -1 for no rotation.\nconst turns = [${numbers.join(", ")}]`]),
  ];
}

const described = ({ theta, scaling }: Rotary): string =>
  `theta ${theta}${scaling === null ? "" : `, scaled by ${scaling}`}`;

/** The name of the parameter of a layer and its attention; false: none. */
export const rotationName = (config: DecoderConfig): "theta" | "turn" | false => parameterOf(config) ?? false;

/** The parameter's declaration; false: none. */
export function rotationParameter(config: DecoderConfig): string | false {
  const name = parameterOf(config);
  return name !== null && `${name}: ${name === "theta" ? "float" : "int"}`;
}

/** The model's own parameter; false: none. */
export const rotationDefault = (config: DecoderConfig): string | false =>
  parameterOf(config) === "theta" &&
  isUniform(config.rotation!) &&
  `theta: float = ${floatText(config.rotation!.main.theta)}`;

/** The argument of layer i; false: none. */
export function rotationArgument(config: DecoderConfig): string | false {
  const name = parameterOf(config);
  if (name === null) return false;
  const { long } = config.rotation!.main;
  if (name === "turn") return long ? `if context > ${long.above} then 1 else 0` : "turns[i]";
  return isUniform(config.rotation!) ? "theta" : "thetas[i]";
}

/** The condition under which a layer rotates; null: all do. */
export function rotationCondition(config: DecoderConfig): string | null {
  if (config.rotation?.layers.includes("none") !== true) return null;
  return parameterOf(config) === "turn" ? "turn >= 0" : "theta > 0.0";
}

/** The arguments of `rope` that set the angles. */
function anglesText(config: DecoderConfig & { readonly rotation: Rotation }): string {
  const name = parameterOf(config);
  if (name === "theta") return "theta";
  const scales = kindsOf(config.rotation).map(({ scale }) => scale);
  const scale = scales.every((s) => s === scales[0])
    ? floatText(scales[0]!)
    : `[${scales.map(floatText).join(", ")}][turn]`;
  return joinNames(`frequencies: frequencies${name === "turn" ? "[turn]" : ""}`, scale !== "1.0" && `scale: ${scale}`);
}

/** The rotation of all columns of `x`, whose axes but the last are `axes`. */
export function turnedWhole(config: DecoderConfig, x: string, axes = "b h t"): string {
  const { rotation } = config;
  if (rotation === null) return x;
  // Pairs of neighbours in the checkpoint become halves, for queries and keys alike.
  const halves = rotation.neighbours ? `rearrange(${x}, "${axes} (d two) -> ${axes} (two d)", two: 2)` : x;
  return `rope(${halves}, ${anglesText({ ...config, rotation })})`;
}

/** The rotation of the first columns of `name`, a variable. */
export function turnedPart(config: DecoderConfig, name: string): string {
  const columns = config.rotation!.columns;
  const rotated = turnedWhole(config, `${name}[..., 0:${columns}]`);
  return `concat([${rotated}, ${name}[..., ${columns}:]], axis: -1)`;
}
