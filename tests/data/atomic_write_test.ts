import { assert, assertEquals, assertRejects } from "@std/assert";
import { temporaryFolder } from "../_support/images.ts";
import { ioError } from "../../data/_io_error.ts";
import { AtomicFile, writeFileAtomic } from "../../data/atomic_write.ts";
import { UserError } from "../../runtime/errors.ts";

function listing(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map((entry) => entry.name).sort();
}

Deno.test("writeFileAtomic() writes text, bytes and streams, and leaves nothing else", async () => {
  await using folder = await temporaryFolder();
  await writeFileAtomic(`${folder.path}/text`, "é");
  await writeFileAtomic(`${folder.path}/bytes`, new Uint8Array([1, 2]));
  await writeFileAtomic(`${folder.path}/stream`, new Blob(["ab", "cd"]).stream());
  assertEquals([...await Deno.readFile(`${folder.path}/text`)], [0xc3, 0xa9]);
  assertEquals([...await Deno.readFile(`${folder.path}/bytes`)], [1, 2]);
  assertEquals(await Deno.readTextFile(`${folder.path}/stream`), "abcd");
  assertEquals(listing(folder.path), ["bytes", "stream", "text"]);
});

Deno.test("writeFileAtomic() keeps the old file when the new one fails", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a`;
  await writeFileAtomic(path, "old");
  async function* failing(): AsyncIterable<Uint8Array> {
    yield new Uint8Array(10);
    await Promise.resolve();
    throw new RangeError("no more");
  }
  await assertRejects(() => writeFileAtomic(path, failing()), RangeError, "no more");
  assertEquals(await Deno.readTextFile(path), "old");
  assertEquals(listing(folder.path), ["a"]);
});

Deno.test("AtomicFile shows nothing under its name before commit()", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a`;
  await using file = await AtomicFile.open(path);
  await file.write(new Uint8Array(3));
  assert(!listing(folder.path).includes("a"));
  await file.commit();
  assertEquals(listing(folder.path), ["a"]);
  await assertRejects(() => file.write(new Uint8Array(1)), TypeError, "committed");
});

Deno.test("AtomicFile.write() keeps the order of calls that are not awaited", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a`;
  await using file = await AtomicFile.open(path);
  const writes = Array.from({ length: 50 }, (_, i) => file.write(new Uint8Array(i).fill(i)));
  await Promise.all(writes);
  await file.commit();
  const expected = Array.from({ length: 50 }, (_, i) => new Array<number>(i).fill(i)).flat();
  assertEquals([...await Deno.readFile(path)], expected);
});

Deno.test("AtomicFile.open() says in one sentence why it cannot write", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  const missing = await assertRejects(() => AtomicFile.open(`${path}/no/a`), UserError);
  assertEquals(missing.message, `Cannot write "${path}/no/a": there is no folder "${path}/no"`);
  const isFolder = await assertRejects(() => AtomicFile.open(path), UserError);
  assertEquals(isFolder.message, `Cannot write "${path}": it is a folder, and a file was expected`);
  await Deno.writeTextFile(`${path}/file`, "");
  await assertRejects(
    () => AtomicFile.open(`${path}/file/a`),
    UserError,
    "a part of its path is not a folder",
  );
});

Deno.test({
  name: "AtomicFile.open() names a folder that is not writable",
  // The superuser may write anywhere.
  ignore: Deno.build.os === "windows" || Deno.uid() === 0,
  fn: async () => {
    await using folder = await temporaryFolder();
    await Deno.mkdir(`${folder.path}/closed`, { mode: 0o555 });
    await assertRejects(
      () => AtomicFile.open(`${folder.path}/closed/a`),
      UserError,
      "is not writable",
    );
  },
});

Deno.test("ioError() gives the reason of common failures in a few words", () => {
  const say = (code: string) =>
    ioError("write", "a", Object.assign(new Error("os error"), { code })).message;
  assertEquals(say("ENOSPC"), 'Cannot write "a": no space is left on the device');
  assertEquals(say("EROFS"), 'Cannot write "a": the file system is read-only');
  assertEquals(say("EOTHER"), 'Cannot write "a": os error');
});
