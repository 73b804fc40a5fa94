import { assert, assertEquals } from "@std/assert";
import { COLUMN_VARIANTS } from "../../kernels/column_reduce/mod.ts";
import { groupsOf, planLists } from "../../kernels/_ragged.ts";

Deno.test("planLists() covers every element within the loops of an adapter", () => {
  for (const variant of COLUMN_VARIANTS) {
    for (const lists of [0, 1, 3, 128, 100_000]) {
      for (const rows of [0, 1, 8843, 300_000, 20_000_000]) {
        for (const columns of [1, 3, 25, 128, 997]) {
          const plan = planLists({ lists, rows, columns, variant });
          assertEquals(columns % plan.groups, 0);
          assertEquals(plan.workers, Math.max(1, lists) * plan.shares);
          assertEquals(plan.items, plan.workers * columns / plan.groups);
          // A list of all rows and padding of all rows.
          const turns = Math.ceil(rows / plan.shares) + Math.ceil(rows / plan.workers);
          assert(turns <= 60_001, `${turns} turns`);
        }
      }
    }
  }
});

Deno.test("planLists() spreads few lists over more invocations, but leaves each some rows", () => {
  const sizes = { rows: 9000, columns: 128, variant: "tree" } as const;
  assertEquals(planLists({ ...sizes, lists: 128 }).shares, 16);
  assertEquals(planLists({ ...sizes, lists: 1 }).shares, 2048);
  assertEquals(planLists({ ...sizes, lists: 9000 }).shares, 1);
});

Deno.test("groupsOf() takes the largest divisor up to eight", () => {
  assertEquals([1, 8, 128, 99, 12, 11, 25].map(groupsOf), [1, 8, 8, 3, 6, 1, 5]);
});
