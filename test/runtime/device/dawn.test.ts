// Where the package `webgpu` is found: next to modc, or else next to the program that imports modc.
import { expect, it } from "vitest";
import { dawnUrl } from "../../../src/runtime/device/dawn-node.js";

it("is found from the working directory where modc is linked from a folder without it", () => {
  expect(dawnUrl("file:///nowhere/modc/dist/dawn-node.js")).toBe(dawnUrl());
  expect(dawnUrl()).toMatch(/\/node_modules\/webgpu\/index\.js$/);
});
