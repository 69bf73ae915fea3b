// Where the package `webgpu` is found: beside modc, else beside the program that uses it.
import { expect, it } from "vitest";
import { dawnUrl } from "../../../src/runtime/device/dawn-node.js";

it("is found from the working directory where modc is linked from a folder without it", () => {
  expect(dawnUrl("file:///nowhere/modc/dist/dawn-node.js")).toBe(dawnUrl());
  expect(dawnUrl()).toMatch(/\/node_modules\/webgpu\/index\.js$/);
});
