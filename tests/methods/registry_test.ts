import { assertEquals, assertThrows } from "@std/assert";
import {
  describeParameters,
  findScore,
  findScores,
  parseParameters,
  resolveParameters,
  SCORES,
} from "../../methods/mod.ts";
import { UserError } from "../../runtime/mod.ts";

const ALL = "msp, max_logit, energy, odin, grad_norm, react, dice, dice_react, ash, scale, line, " +
  "lhact, gen, knn, mahalanobis, rmds, ssd, vim, feature_norm, mcm, neg_label, csp";

Deno.test("SCORES lists every score under a name of its own", () => {
  assertEquals(SCORES.map((method) => method.name).join(", "), ALL);
});

Deno.test("findScore() takes other spellings and names the nearest one", () => {
  assertEquals(findScore(" Max-Logit ").name, "max_logit");
  assertThrows(
    () => findScore("mahalanobs"),
    UserError,
    `Cannot find the method "mahalanobs"; did you mean "mahalanobis"; there are ${ALL}`,
  );
  assertThrows(() => findScore("xyzzyxyzzy"), UserError, `"xyzzyxyzzy"; there are ${ALL}`);
});

Deno.test("findScores() takes a list, all, and each name once", () => {
  assertEquals(findScores("vim,msp,vim").map((method) => method.name), ["vim", "msp"]);
  assertEquals(findScores("ALL").length, SCORES.length);
  assertThrows(() => findScores(" , "), UserError, "names between commas");
  assertThrows(() => findScores("msp,enrgy"), UserError, 'did you mean "energy"');
});

Deno.test("parseParameters() gathers values, and the last one wins", () => {
  assertEquals(parseParameters([]), {});
  assertEquals(
    parseParameters(["knn.k=10", "gen.gamma=1e-2", "gen.top=5", "knn.k=20"]),
    { knn: { k: 20 }, gen: { gamma: 0.01, top: 5 } },
  );
  assertEquals(parseParameters(["ash.variant=S"]), { ash: { variant: 2 } });
  assertEquals(parseParameters(["ash.variant=1"]), { ash: { variant: 1 } });
});

for (
  const [text, says] of [
    ["knn.k", 'Cannot read the parameter "knn.k": METHOD.NAME=VALUE was expected'],
    ["k=5", 'Cannot read the parameter "k=5"'],
    ["kn.k=5", 'there is no method "kn"; did you mean "knn"'],
    ["knn.kk=5", 'Cannot set "knn.kk": "knn" has k; did you mean "k"'],
    ["msp.t=5", 'Cannot set "msp.t": "msp" has no parameters'],
    ["knn.k=five", 'Cannot set "knn.k" to "five": it must be a whole number from 1 to 1024'],
    ["knn.k=", 'Cannot set "knn.k" to ""'],
    ["knn.k=0", 'Cannot set "knn.k" to 0: it must be a whole number from 1 to 1024'],
    ["knn.k=2.5", 'Cannot set "knn.k" to 2.5'],
    ["react.percentile=101", "to 101: it must be a number from 0 to 100"],
    ["energy.temperature=0", "to 0: it must be a number above 0"],
    ["ash.variant=x", 'Cannot set "ash.variant" to "x": it must be one of b, p, s'],
    ["ash.variant=3", 'Cannot set "ash.variant" to 3: it must be one of b, p, s'],
    ["gen.gamma=Infinity", "to Infinity: it must be a number above 0"],
  ] as const
) {
  Deno.test(`parseParameters() refuses "${text}"`, () => {
    assertThrows(() => parseParameters([text]), UserError, says);
  });
}

Deno.test("describeParameters() names choices and leaves numbers", () => {
  assertEquals(describeParameters(findScore("ash"), { variant: 0, percentile: 65 }), {
    variant: "b",
    percentile: 65,
  });
});

Deno.test("resolveParameters() fills in defaults and leaves out what follows from the data", () => {
  assertEquals(resolveParameters(findScore("knn")), { k: 50 });
  assertEquals(resolveParameters(findScore("vim")), {});
  assertEquals(resolveParameters(findScore("vim"), { dim: 3 }), { dim: 3 });
  assertThrows(() => resolveParameters(findScore("vim"), { dims: 3 }), UserError, '"dim"');
});
