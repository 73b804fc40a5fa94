import { assertEquals, assertThrows } from "@std/assert";
import { RowStore } from "../../data/row_store.ts";
import { UserError } from "../../runtime/mod.ts";

const ROWS = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);

Deno.test("a RowStore gives the same rows from memory and from a file", async () => {
  const folder = await Deno.makeTempDir();
  for (const memoryBytes of [8, 7]) {
    using store = RowStore.open({ rows: 4, rowBytes: 2, memoryBytes, folder });
    assertEquals(store.path === undefined, memoryBytes === 8);
    store.write(1, ROWS.subarray(2));
    assertEquals([...store.gather([3, 0, 1, 1])], [7, 8, 0, 0, 3, 4, 3, 4]);
    const into = new Uint8Array(3);
    store.gather([2], into.subarray(0, 2));
    assertEquals([...into], [5, 6, 0]);
  }
  // A folder that is not empty is not removed.
  await Deno.remove(folder);
});

Deno.test("a RowStore refuses half rows, rows beyond its end, and folders that are not there", () => {
  using store = RowStore.open({ rows: 4, rowBytes: 2 });
  assertThrows(() => store.write(0, ROWS.subarray(0, 3)), RangeError, "3 bytes");
  assertThrows(() => store.write(3, ROWS.subarray(0, 4)), RangeError, "from row 3");
  assertThrows(
    () => RowStore.open({ rows: 1, rowBytes: 1, memoryBytes: 0, folder: "no such folder" }),
    UserError,
    "there is no such file or folder",
  );
});
