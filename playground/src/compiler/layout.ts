// Lays out the parts of a model from top to bottom for drawing.
import { graphlib, layout } from "@dagrejs/dagre";
import type { Cluster, Part, Parts, Wire } from "./picture.js";

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Picture {
  readonly model: string;
  readonly width: number;
  readonly height: number;
  /** Boxes with their centres at x and y. */
  readonly parts: readonly (Part & Box)[];
  readonly clusters: readonly (Cluster & Box)[];
  readonly wires: readonly (Wire & {
    readonly points: readonly { readonly x: number; readonly y: number }[];
    readonly label: Box | null;
  })[];
  /** The number of parts if they are too many to draw; else null. */
  readonly tooMany: number | null;
}

/** The limit on drawn parts. */
export const MOST_PARTS = 400;
/** Width of a character in the picture's font. */
const CHARACTER = 7.3;
const LINE = 17;

export function layOut({ model, parts, wires, clusters }: Parts): Picture {
  if (parts.length > MOST_PARTS)
    return { model, width: 0, height: 0, parts: [], clusters: [], wires: [], tooMany: parts.length };
  const graph = new graphlib.Graph({ compound: true });
  graph.setGraph({ rankdir: "TB", nodesep: 28, ranksep: 26, edgesep: 14, marginx: 12, marginy: 12 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { id, title } of clusters) graph.setNode(id, { label: title });
  for (const part of parts) {
    graph.setNode(part.id, sizeOf(part));
    if (part.cluster !== null) graph.setParent(part.id, part.cluster);
  }
  for (const { from, to, shape, kind } of wires)
    graph.setEdge(
      from,
      to,
      kind === "choice" ? {} : { width: shape.length * CHARACTER * 0.85, height: LINE, labelpos: "c" },
    );
  layout(graph);
  const { width = 0, height = 0 } = graph.graph() as { width?: number; height?: number };
  const boxOf = (id: string): Box => {
    const { x = 0, y = 0, width = 0, height = 0 } = graph.node(id) as Partial<Box>;
    return { x, y, width, height };
  };
  return {
    model,
    width,
    height,
    parts: parts.map((part) => ({ ...part, ...boxOf(part.id) })),
    clusters: clusters.map((cluster) => {
      const { x, y, width, height } = boxOf(cluster.id);
      return {
        ...cluster,
        x,
        y: y - LINE / 2,
        width: Math.max(width, cluster.title.length * CHARACTER + 16),
        height: height + LINE,
      };
    }),
    wires: wires.map((wire) => {
      const edge = graph.edge(wire.from, wire.to) as { points?: { x: number; y: number }[] } & Partial<Box>;
      const label =
        edge.x === undefined || wire.kind === "choice"
          ? null
          : { x: edge.x, y: edge.y ?? 0, width: edge.width ?? 0, height: edge.height ?? 0 };
      return { ...wire, points: edge.points ?? [], label };
    }),
    tooMany: null,
  };
}

function sizeOf({ kind, title, subtitle, cost }: Part): { readonly width: number; readonly height: number } {
  if (kind === "sign") return { width: Math.max(26, title.length * CHARACTER + 12), height: 26 };
  if (kind === "put") return { width: 44, height: 26 };
  const lines = 1 + Number(subtitle !== "") + Number(cost !== null);
  const width = Math.max(title.length, subtitle.length * 0.9, cost === null ? 0 : 22) * CHARACTER + 24;
  return { width: Math.max(width, 80), height: lines * LINE + 12 };
}
