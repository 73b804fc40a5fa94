import { assertEquals } from "@std/assert";
import { nearestName } from "../../runtime/mod.ts";

Deno.test("nearestName() takes each kind of mistake for one", () => {
  const names = ["gen", "energy", "react"];
  for (const word of ["gne", "ge", "genn", "gem"]) {
    assertEquals(nearestName(word, names), "gen", word);
  }
  assertEquals(nearestName("enrgyy", names), "energy");
});

Deno.test("nearestName() does not tell upper from lower case", () => {
  assertEquals(nearestName("REACT", ["mds", "ReAct"]), "ReAct");
});

Deno.test("nearestName() prefers the nearest, and the first of equals", () => {
  assertEquals(nearestName("layer4/relus", ["layer4/relus22", "layer4/relu"]), "layer4/relu");
  assertEquals(nearestName("label", ["labels", "label"]), "label");
});

Deno.test("nearestName() suggests nothing when more than a third is wrong", () => {
  assertEquals(nearestName("knn", ["msp", "kl"]), undefined);
  assertEquals(nearestName("logits", ["labels", "log"]), undefined);
  assertEquals(nearestName("energy", []), undefined);
});

Deno.test("nearestName() suggests nothing when no letter is right", () => {
  assertEquals(nearestName("", ["x", "y"]), undefined);
  assertEquals(nearestName("k", ["x", "kl"]), "kl");
});
