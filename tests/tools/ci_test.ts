// .ci/run with a ./run that prints what Deno prints.
import { assertEquals } from "@std/assert";
import { join } from "node:path";

const CI = join(import.meta.dirname!, "..", "..", ".ci", "run");

async function lastLine(script: string): Promise<{ code: number; line: string }> {
  const root = await Deno.makeTempDir();
  try {
    await Deno.mkdir(join(root, ".ci"));
    await Deno.copyFile(CI, join(root, ".ci", "run"));
    await Deno.writeTextFile(join(root, "run"), `#!/bin/sh\n[ "$1" = test ] || exit 9\n${script}`);
    await Deno.chmod(join(root, "run"), 0o755);
    const { code, stdout } = await new Deno.Command(join(root, ".ci", "run"), {}).output();
    return { code, line: new TextDecoder().decode(stdout).trimEnd().split("\n").at(-1)! };
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

const test = (name: string, fn: () => Promise<void>) =>
  Deno.test({ name, fn, ignore: Deno.build.os === "windows" });

test(".ci/run closes with the sum over all test runs", async () => {
  const script = `echo "ok | 12 passed (3 steps) | 0 failed | 1 ignored (2s)"
echo "a test that says: ok | 99 passed"
echo "ok | 5 passed | 0 failed | 7 filtered out (1m2s)"`;
  assertEquals(await lastLine(script), { code: 0, line: "17 passed, 0 failed" });
});

test(".ci/run fails with the tests", async () => {
  const script = 'echo "FAILED | 10 passed (1 step) | 2 failed (1 step) (2s)"; exit 1';
  assertEquals(await lastLine(script), { code: 1, line: "10 passed, 2 failed" });
});

test(".ci/run counts a check that failed before the tests", async () => {
  const script = 'echo "error: Found 3 not formatted files" >&2; exit 1';
  assertEquals(await lastLine(script), { code: 1, line: "0 passed, 1 failed" });
});

test(".ci/run does not take silence for success", async () => {
  assertEquals(await lastLine("exit 0"), { code: 1, line: "0 passed, 1 failed" });
});

test(".ci/run runs the tests once more when the process dies after they have passed", async () => {
  const died = 'echo "ok | 3 passed | 0 failed (1ms)"; ';
  const once = `${died}[ -e again ] || { touch again; exit 134; }`;
  assertEquals(await lastLine(once), { code: 0, line: "3 passed, 0 failed" });
  assertEquals(await lastLine(`${died}exit 134`), { code: 1, line: "3 passed, 1 failed" });
});

test(".ci/run gives the tests nothing to read from", async () => {
  const script = 'if read -r line; then exit 1; fi; echo "ok | 1 passed | 0 failed (1ms)"';
  assertEquals(await lastLine(script), { code: 0, line: "1 passed, 0 failed" });
});
