// ./run with a deno and an npm that only say what they were asked for.
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "node:path";

const RUN = join(import.meta.dirname!, "..", "..", "run");
const UTILITIES =
  "sh dirname sort sed head find mktemp mkdir rm mv id uname cat printf tail env chmod cp rmdir";

const DENO = (version: string) =>
  `#!/bin/sh
if [ "$1" = --version ]; then echo "deno ${version} (stable, release)"; exit; fi
printf '<%s>' "$@"; echo
echo "registry=\${NPM_CONFIG_REGISTRY-} cert=\${DENO_CERT-} runtime=\${XDG_RUNTIME_DIR-}"
echo "init=\${INIT_CWD-}"
`;

/** An npm that knows settings, and installs the deno that stands in $FAKE_DENO. */
const NPM = `#!/bin/sh
case $1 in
  config) printf 'registry=https://npm.example/\\ncafile=/certs/ca.pem\\nhttps-proxy=null\\n' ;;
  install)
    if [ -n "\${NPM_FAILS-}" ]; then echo "npm error no network" >&2; exit 1; fi
    mkdir -p node_modules/deno node_modules/.bin
    cp "$FAKE_DENO" node_modules/deno/deno
    cp "$FAKE_DENO" node_modules/.bin/deno
    ;;
esac
`;

interface Machine {
  /** The version of the deno on PATH. */
  readonly deno?: string;
  readonly npm?: boolean;
  readonly env?: Record<string, string>;
}

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

type Run = (args: readonly string[], env?: Record<string, string>) => Promise<Outcome>;

/** A machine that has the usual utilities and nothing else, with ./run in a folder with a space. */
async function onMachine(
  { deno, npm = false, env = {} }: Machine,
  body: (run: Run, root: string) => Promise<void>,
): Promise<void> {
  const base = await Deno.realPath(await Deno.makeTempDir());
  const bin = join(base, "bin");
  const root = join(base, "the project");
  try {
    await Promise.all([bin, root, join(base, "home")].map((folder) => Deno.mkdir(folder)));
    for (const name of UTILITIES.split(" ")) await linkUtility(name, bin);
    await Deno.copyFile(RUN, join(root, "run"));
    await plant(join(base, "fake_deno"), DENO("2.9.6"));
    if (deno !== undefined) await plant(join(bin, "deno"), DENO(deno));
    if (npm) await plant(join(bin, "npm"), NPM);
    await body(async (args, more = {}) => {
      const { code, stdout, stderr } = await new Deno.Command(join(root, "run"), {
        args: [...args],
        cwd: base,
        clearEnv: true,
        env: {
          PATH: bin,
          HOME: join(base, "home"),
          TMPDIR: base,
          FAKE_DENO: join(base, "fake_deno"),
          VK_DRIVER_FILES: "any",
          ...env,
          ...more,
        },
      }).output();
      const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).replaceAll(base, "BASE");
      return { code, out: text(stdout), err: text(stderr) };
    }, root);
  } finally {
    await Deno.remove(base, { recursive: true });
  }
}

async function linkUtility(name: string, bin: string): Promise<void> {
  for (const folder of ["/bin", "/usr/bin", "/usr/local/bin"]) {
    try {
      await Deno.stat(join(folder, name));
    } catch {
      continue;
    }
    return await Deno.symlink(join(folder, name), join(bin, name));
  }
}

async function plant(path: string, text: string): Promise<void> {
  await Deno.writeTextFile(path, text);
  await Deno.chmod(path, 0o755);
}

/** What stands in .deno/. */
async function installed(root: string): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir(join(root, ".deno")));
  return entries.map(({ name }) => name).sort();
}

const test = (name: string, fn: () => Promise<void>) =>
  Deno.test({ name, fn, ignore: Deno.build.os === "windows" });

test("run hands the task and its arguments to the deno on PATH, quietly", () =>
  onMachine({ deno: "2.9.0" }, async (run) => {
    const { code, out, err } = await run(["ood", "score", "two words", "$HOME", ""]);
    assertEquals([code, err], [0, ""]);
    const task = "<task><--quiet><--config><BASE/the project/deno.json>";
    assertStringIncludes(out, `${task}<ood><score><two words><$HOME><>\n`);
  }));

test("run lists the tasks when it is given none", () =>
  onMachine({ deno: "2.10.1" }, async (run) => {
    for (const args of [[], ["--help"]]) {
      const { code, out } = await run(args);
      assertEquals(code, 0);
      assertStringIncludes(out, "Usage: ./run TASK");
      assertStringIncludes(out, "<task><--config><BASE/the project/deno.json>\n");
    }
  }));

test("run says in one sentence what is missing when there is neither deno nor npm", async () => {
  for (const machine of [{}, { deno: "2.8.9" }]) {
    await onMachine(machine, async (run) => {
      const { code, out, err } = await run(["demo"]);
      assertEquals([code, out], [1, ""]);
      assertMatch(err, /^run: Deno 2\.9\.0 or newer is needed and npm is missing: .*\n$/);
    });
  }
});

test("run installs deno once and leaves nothing half done", () =>
  onMachine({ deno: "1.46.3", npm: true }, async (run, root) => {
    const first = await run(["demo"]);
    assertEquals(first.code, 0, first.err);
    assertStringIncludes(first.err, "run: installing deno 2.9.6 from npm into .deno/ (once)");
    assertStringIncludes(first.out, "<demo>");
    assertEquals((await run(["demo"])).err, "");
    assertEquals(await installed(root), ["deno-2.9.6", "npm_settings"]);
  }));

test("run installs one deno when two runs begin at once", () =>
  onMachine({ npm: true }, async (run, root) => {
    const outcomes = await Promise.all([run(["demo"]), run(["demo"]), run(["demo"])]);
    assertEquals(outcomes.map(({ code }) => code), [0, 0, 0], JSON.stringify(outcomes));
    assertEquals(await installed(root), ["deno-2.9.6", "npm_settings"]);
    const whole = await Array.fromAsync(Deno.readDir(join(root, ".deno", "deno-2.9.6")));
    assertEquals(whole.map(({ name }) => name).sort(), ["node_modules", "package.json"]);
    assertEquals((await run(["demo"])).code, 0);
  }));

test("run stops with npm's words when npm fails", () =>
  onMachine({ npm: true, env: { NPM_FAILS: "1" } }, async (run, root) => {
    const { code, err } = await run(["demo"]);
    assertEquals(code, 1);
    assertStringIncludes(err, "npm error no network");
    assertStringIncludes(err, "run: npm could not install deno@2.9.6");
    assertEquals(await installed(root), []);
  }));

test("run hands npm's settings on, and the user's own before them", () =>
  onMachine({ deno: "2.9.6", npm: true }, async (run) => {
    const npm = await run(["demo"]);
    assertStringIncludes(npm.out, "registry=https://npm.example/ cert=/certs/ca.pem");
    const own = await run(["demo"], { NPM_CONFIG_REGISTRY: "https://own.example/" });
    assertStringIncludes(own.out, "registry=https://own.example/ cert=/certs/ca.pem");
  }));

test("run gives Vulkan a private folder and forgets where a task around it was called", () =>
  onMachine({ deno: "2.9.6" }, async (run) => {
    const { out } = await run(["demo"], { INIT_CWD: "/elsewhere" });
    assertMatch(out, /runtime=BASE\/oodgpu-\d+\n/);
    assertStringIncludes(out, "init=\n");
    const given = await run(["demo"], { XDG_RUNTIME_DIR: "/given" });
    assertStringIncludes(given.out, "runtime=/given\n");
  }));
