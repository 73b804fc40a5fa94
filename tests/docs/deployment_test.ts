import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { encodePng, memoryFeatures, syntheticImage } from "../../data/mod.ts";
import {
  type EmbeddedDetector,
  embedDetector,
  type EmbedFeatures,
  type Verdict,
} from "../../methods/embed.ts";
import { calibrate, Detector, energy, exportJoined, saveDetector } from "../../methods/mod.ts";
import { loadSidecar, readModel } from "../../onnx/mod.ts";
import { type Gpu, Host } from "../../runtime/mod.ts";
import { bundle, forOlderEngines } from "../../tools/_bundle.ts";
import { gpuTest, openTestGpu } from "../_support/gpu.ts";

const ROOT = new URL("../../", import.meta.url);
const MODEL = fileURLToPath(new URL("models/cifar10-resnet20.onnx", ROOT));
const PAGE = await Deno.readTextFile(new URL("docs/deployment.md", ROOT));
const PHOTO = syntheticImage({ kind: "stripes", width: 64, height: 48, seed: 3, index: 0 });

/** The first program under a heading of the page. */
function program(heading: string): string {
  const section = PAGE.split(/^## /m).find((text) => text.startsWith(`${heading}\n`));
  const [, code] = /^```(?:ts|js)(?: ignore)?\n(.*?)^```$/ms.exec(section ?? "") ?? [];
  assert(code !== undefined, `no program under "${heading}"`);
  return code;
}

/** A folder with all that the page's programs read. */
async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const train = memoryFeatures({ logits: { data: new Float32Array(10), shape: [1, 10] } });
    const fitted = await energy.fit({ train, context: new Host() });
    const detector = new Detector(fitted, {
      metadata: { preprocessing: JSON.stringify((await loadSidecar(MODEL))!.preprocessing) },
      calibration: calibrate(Float32Array.from({ length: 20 }, (_, i) => i)),
    });
    await saveDetector(detector, `${folder}/detector.safetensors`);
    const joined = exportJoined(detector, await readModel(MODEL));
    await Deno.writeFile(`${folder}/joined.onnx`, joined.bytes);
    await Deno.writeFile(`${folder}/photo.rgb`, new Uint8Array(PHOTO.data));
    const code = await forOlderEngines(await bundle("methods/embed.ts", fileURLToPath(ROOT)));
    await Deno.writeTextFile(`${folder}/embed.js`, code);
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Starts a program of the folder. */
function start(folder: string, args: readonly string[]): Deno.ChildProcess {
  const config = fileURLToPath(new URL("deno.json", ROOT));
  const [command, ...rest] = args;
  return new Deno.Command("deno", {
    args: [command!, "--frozen", "--config", config, ...rest],
    cwd: folder,
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** The port that a server names when it begins to listen. */
async function portOf(server: Deno.ChildProcess): Promise<number> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const bytes of server.stderr) {
    text += decoder.decode(bytes);
    const [, port] = /:(\d+)\//.exec(text) ?? [];
    if (port !== undefined) return Number(port);
  }
  throw new Error(`The server ended: ${text}`);
}

const REASON_REGEXP = /the threshold 1\.00, which 95 % of in-distribution images reach$/;

// esbuild's process and pipes of ended servers live a moment longer than their last answer.
const SLACK = { sanitizeOps: false, sanitizeResources: false };

Deno.test({
  name: "the service of docs/deployment.md judges uploads and refuses what is no image",
  ...SLACK,
  fn: () =>
    inFolder(async (folder) => {
      await Deno.writeTextFile(`${folder}/service.ts`, program("A service"));
      const permissions = ["--allow-read", "--allow-env", "--allow-sys", "--allow-net=127.0.0.1"];
      const server = start(folder, ["run", ...permissions, "service.ts", "0"]);
      try {
        const url = `http://127.0.0.1:${await portOf(server)}/`;
        const upload = (body: BodyInit) => fetch(url, { method: "POST", body });
        const good = await upload(await encodePng(PHOTO));
        assertEquals(good.status, 200);
        const verdict: Verdict = await good.json();
        assertMatch(verdict.reason, REASON_REGEXP);
        assertEquals(verdict.isInDistribution, verdict.score >= 1);
        const bad = await upload("not an image");
        assertEquals(bad.status, 400);
        assertMatch((await bad.json()).error, /^Cannot .*"upload"/);
        const other = await fetch(url);
        assertEquals(other.status, 405);
        await other.body?.cancel();
      } finally {
        server.kill();
        await server.status;
      }
    }),
});

Deno.test({
  name: "the worker of docs/deployment.md judges rows of logits",
  ...SLACK,
  fn: () =>
    inFolder(async (folder) => {
      await Deno.writeTextFile(`${folder}/worker.js`, program("An edge worker"));
      const server = start(folder, [
        "serve",
        ...["--allow-read", "--host", "127.0.0.1", "--port", "0", "worker.js"],
      ]);
      try {
        const url = `http://127.0.0.1:${await portOf(server)}/`;
        const ask = (body: string) => fetch(url, { method: "POST", body });
        const rows = [[9, 0, 0, 0, 0, 0, 0, 0, 0, 0], [-9, -9, -9, -9, -9, -9, -9, -9, -9, -9]];
        const verdicts: Verdict[] = await (await ask(JSON.stringify(rows))).json();
        assertEquals(verdicts.map(({ isInDistribution }) => isInDistribution), [true, false]);
        for (const wrong of ["[[1]]", "no JSON"]) {
          const answer = await ask(wrong);
          assertEquals(answer.status, 400);
          await answer.body?.cancel();
        }
      } finally {
        server.kill();
        await server.status;
      }
    }),
});

Deno.test({
  name: "the Node program of docs/deployment.md prints the reason",
  ...SLACK,
  fn: () =>
    inFolder(async (folder) => {
      await Deno.writeTextFile(`${folder}/node.mjs`, program("Node"));
      const permissions = ["--allow-read", "--allow-env", "--allow-sys", "--allow-ffi"];
      const { stdout, stderr } = await start(folder, ["run", ...permissions, "node.mjs"]).output();
      const said = new TextDecoder().decode(stdout).trim();
      assertMatch(said, REASON_REGEXP, new TextDecoder().decode(stderr));
    }),
});

gpuTest("the judge of docs/deployment.md outlives its device", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/judge.ts`;
    const code = program("When the device is lost");
    await Deno.writeTextFile(path, `${code}\nexport { lastingJudge };\n`);
    const { lastingJudge }: {
      lastingJudge(
        open: () => Promise<EmbeddedDetector>,
      ): (features: EmbedFeatures) => Promise<Verdict[]>;
    } = await import(path);
    const bytes = await Deno.readFile(`${folder}/detector.safetensors`);
    const opened: Gpu[] = [];
    const judge = lastingJudge(async () => {
      const gpu = await openTestGpu();
      opened.push(gpu);
      return await embedDetector(bytes, { gpu });
    });
    const features = { logits: new Float32Array(10) };
    const before = await judge(features);
    opened[0]!.device.destroy();
    await opened[0]!.device.lost;
    const after = await Promise.all([judge(features), judge(features)]);
    assertEquals(after, [before, before]);
    assertEquals(opened.length, 2);
    for (const gpu of opened) gpu[Symbol.dispose]();
  });
});
