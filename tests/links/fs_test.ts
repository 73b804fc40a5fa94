// Holds of the stand-in and of the real package alike.
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as fs from "@std/fs";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";

async function inFolder(body: (root: string) => Promise<void>): Promise<void> {
  const root = await Deno.realPath(await Deno.makeTempDir());
  try {
    await body(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

/** root/a.txt, root/b.png, root/sub/c.png, root/sub/deep/d.txt, root/link -> sub */
async function plant(root: string): Promise<void> {
  await Deno.mkdir(join(root, "sub", "deep"), { recursive: true });
  for (const name of ["a.txt", "b.png", "sub/c.png", "sub/deep/d.txt"]) {
    await Deno.writeTextFile(join(root, name), name);
  }
  await Deno.symlink("sub", join(root, "link"));
}

async function walked(root: string, options?: fs.WalkOptions): Promise<string[]> {
  const entries = await Array.fromAsync(fs.walk(root, options));
  const paths = entries.map((entry) => relative(root, entry.path)).sort();
  const sync = [...fs.walkSync(root, options)].map((entry) => relative(root, entry.path)).sort();
  assertEquals(sync, paths);
  return paths;
}

Deno.test("walk() gives a directory and all below it", () =>
  inFolder(async (root) => {
    await plant(root);
    const all = ["", "a.txt", "b.png", "link", "sub", "sub/c.png", "sub/deep", "sub/deep/d.txt"];
    assertEquals(await walked(root), all);
    const first = (await Array.fromAsync(fs.walk(pathToFileURL(root)))).at(0);
    assertEquals([first?.path, first?.isDirectory], [root, true]);
  }));

Deno.test("walk() leaves out what the options leave out", () =>
  inFolder(async (root) => {
    await plant(root);
    assertEquals(await walked(root, { exts: ["png"] }), ["b.png", "sub/c.png"]);
    assertEquals(await walked(root, { includeDirs: false, includeSymlinks: false, maxDepth: 1 }), [
      "a.txt",
      "b.png",
    ]);
    assertEquals(await walked(root, { includeFiles: false, includeSymlinks: false }), [
      "",
      "sub",
      "sub/deep",
    ]);
    assertEquals(await walked(root, { skip: [/deep/], match: [/\.txt$/] }), ["a.txt"]);
    assertEquals(await walked(root, { maxDepth: -1 }), []);
  }));

Deno.test("walk() follows links when asked to", () =>
  inFolder(async (root) => {
    await plant(root);
    const options = { followSymlinks: true, exts: [".png"] };
    assertEquals(await walked(root, options), ["b.png", "sub/c.png", "sub/c.png"]);
    assertEquals(await walked(root, { ...options, canonicalize: false }), [
      "b.png",
      "link/c.png",
      "sub/c.png",
    ]);
  }));

Deno.test("walk() throws on a folder that is not there", () =>
  inFolder(async (root) => {
    const absent = join(root, "absent");
    await assertRejects(() => Array.fromAsync(fs.walk(absent)), Deno.errors.NotFound);
    assertThrows(() => [...fs.walkSync(absent)], Deno.errors.NotFound);
  }));

Deno.test("ensureDir() makes what is missing and refuses a file in the way", () =>
  inFolder(async (root) => {
    await fs.ensureDir(join(root, "x", "y"));
    await fs.ensureDir(join(root, "x", "y"));
    fs.ensureDirSync(join(root, "x", "z"));
    assertEquals(await walked(root), ["", "x", "x/y", "x/z"]);
    await Deno.symlink("x", join(root, "link"));
    await fs.ensureDir(join(root, "link"));
    await Deno.writeTextFile(join(root, "file"), "");
    await assertRejects(() => fs.ensureDir(join(root, "file")), Error, "got 'file'");
    assertThrows(() => fs.ensureDirSync(join(root, "file")), Error, "got 'file'");
  }));

Deno.test("exists() says what is there", () =>
  inFolder(async (root) => {
    await plant(root);
    const cases: [string, fs.ExistsOptions | undefined, boolean][] = [
      ["a.txt", undefined, true],
      ["absent", undefined, false],
      ["a.txt", { isFile: true }, true],
      ["a.txt", { isDirectory: true }, false],
      ["link", { isDirectory: true }, true],
      ["a.txt", { isReadable: true }, true],
    ];
    for (const [name, options, expected] of cases) {
      assertEquals(await fs.exists(join(root, name), options), expected, name);
      assertEquals(fs.existsSync(join(root, name), options), expected, name);
    }
    await Deno.chmod(join(root, "a.txt"), 0o000);
    assertEquals(await fs.exists(join(root, "a.txt"), { isReadable: true }), false);
    const both = { isFile: true, isDirectory: true };
    await assertRejects(() => fs.exists(root, both), TypeError);
  }));

Deno.test("emptyDir() leaves an empty folder", () =>
  inFolder(async (root) => {
    await plant(root);
    await fs.emptyDir(join(root, "sub"));
    fs.emptyDirSync(join(root, "new"));
    assertEquals(await walked(root), ["", "a.txt", "b.png", "link", "new", "sub"]);
  }));

Deno.test("copy() copies trees and does not overwrite unasked", () =>
  inFolder(async (root) => {
    await plant(root);
    await fs.copy(join(root, "sub"), join(root, "twin"), { preserveTimestamps: true });
    assertEquals(await walked(join(root, "twin")), ["", "c.png", "deep", "deep/d.txt"]);
    assertEquals(await Deno.readTextFile(join(root, "twin", "c.png")), "sub/c.png");
    const [one, two] = await Promise.all(
      ["sub", "twin"].map((name) => Deno.stat(join(root, name, "c.png"))),
    );
    assertEquals(two!.mtime, one!.mtime);
    await fs.copy(join(root, "link"), join(root, "link2"));
    assertEquals(await Deno.readLink(join(root, "link2")), "sub");
    const again = () => fs.copy(join(root, "sub"), join(root, "twin"));
    await assertRejects(again, Deno.errors.AlreadyExists);
    await Deno.writeTextFile(join(root, "sub", "c.png"), "new");
    await fs.copy(join(root, "sub"), join(root, "twin"), { overwrite: true });
    assertEquals(await Deno.readTextFile(join(root, "twin", "c.png")), "new");
    await assertRejects(() => fs.copy(root, root), Error, "same");
    await assertRejects(() => fs.copy(root, join(root, "sub", "x")), Error, "subdirectory");
    await assertRejects(() => fs.copy(join(root, "sub"), join(root, "a.txt")), Error, "overwrite");
  }));
