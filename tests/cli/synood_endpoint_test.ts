import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { decodeImage } from "../../data/mod.ts";
import { loadContexts } from "../../methods/mod.ts";
import { decodeBase64 } from "../_support/base64.ts";
import { encodeRgbPng, makeImage, writeTree } from "../_support/images.ts";
import { Process } from "./_process.ts";
import { deafAddress, RawServer, says, VisionServer } from "./_vision_server.ts";
import {
  assertRefused,
  listFiles,
  ood,
  succeed,
  type Workshop,
  workshop,
  writeImages,
} from "./_workshop.ts";

/** A folder with images of two classes, each another. */
async function pictures(each = 3): Promise<Workshop> {
  const shop = await workshop();
  await writeImages(shop.file("in/cat"), each, 1);
  await writeImages(shop.file("in/tree_frog"), each, 9);
  return shop;
}

/** A command line that asks a server. */
function asking({ file }: Workshop, url: string, ...more: string[]): string[] {
  return [
    ...["synood", "contexts", "--images", file("in"), "--out", file("c.json")],
    ...["--endpoint", url, "--model", "see-1", "--backoff", "0.002", ...more],
  ];
}

Deno.test("ood synood contexts asks about each image once, with its class and within its size", async () => {
  await using shop = await pictures();
  await writeTree(shop.file("in"), {
    "cat/large.png": await encodeRgbPng(makeImage(90, 60)),
    "cat/same.png": await Deno.readFile(shop.file("in/cat/000.png")),
    "cat/text.png": "no image",
    "top.png": await encodeRgbPng(makeImage(4, 4)),
  });
  await using server = new VisionServer(({ number }) =>
    says(number % 2 === 0 ? '["grass", "a cat", "Sky"]' : "- grass\n- sky")
  );
  const run = await succeed(...asking(shop, server.url, "--image-size", "30", "--parallel", "3"));
  assertEquals(server.perImage, Array(8).fill(1));
  assertEquals(new Set(server.asked.map(({ path }) => path)), new Set(["/v1/chat/completions"]));
  assert(server.asked.every(({ underWay }) => underWay <= 3));
  const classes = server.asked.map(({ question }) => /other than ([^?]*)\?/.exec(question)![1]);
  assertEquals(new Set(classes), new Set(["cat", "tree frog", "the main object"]));
  assertStringIncludes(server.asked[0]!.question, "at most 8 of them");
  const { model, temperature, max_tokens: tokens } = server.asked[0]!.body;
  assertEquals([model, temperature, tokens], ["see-1", 0, 300]);
  const sizes = await Promise.all(server.asked.map(async ({ image }) => {
    const [, base64] = /^data:image\/png;base64,(.*)$/.exec(image)!;
    const { width, height } = await decodeImage(decodeBase64(base64!));
    return `${width}x${height}`;
  }));
  assert(sizes.includes("30x20") && sizes.includes("4x4"), sizes.join());
  assertMatch(
    run.out,
    /^Wrote .*c\.json: 10 images, \d+ elements, \d\.\d an image; 1 without any\n/,
  );
  assertMatch(run.out, /\nMost frequent: .*grass 9/);
  assertStringIncludes(run.notes, "Skipped cat/text.png: it is text, not an image");
  assertStringIncludes(run.notes, "Asked about 8 images; answers about 1 were there already");
  const { images, source } = await loadContexts(shop.file("c.json"));
  assertEquals(images["cat/same.png"], images["cat/000.png"]);
  assertEquals(images["cat/text.png"], []);
  assert(
    Object.entries(images).every(([name, list]) =>
      !name.startsWith("cat/") || !list.some((element) => /cat/.test(element))
    ),
  );
  const { kind, endpoint, model: named } = source;
  assertEquals([kind, endpoint, named], [
    ...["endpoint", `${server.url}/v1/chat/completions`, "see-1"],
  ]);

  // Nothing is asked twice, and the same comes out.
  const again = await succeed(...asking(shop, server.url, "--image-size", "30", "--json"));
  assertEquals(server.asked.length, 8);
  const { asked, known, counts } = JSON.parse(again.out);
  assertEquals([asked, known, counts.images], [0, 9, 10]);
  assertEquals((await loadContexts(shop.file("c.json"))).images, images);
  // Another question, another model and a damaged answer are.
  await Deno.writeTextFile(shop.file("q.txt"), "What is around {class}? {most}\n");
  const limited = ["--image-size", "30", "--limit", "2"];
  await succeed(...asking(shop, server.url, ...limited, "--question", shop.file("q.txt")));
  assertEquals(server.asked.at(-1)!.question, "What is around cat? 8");
  await succeed(...asking(shop, server.url, ...limited, "--model", "see-2"));
  assertEquals(server.asked.length, 12);
  const [answer] = listFiles(shop.file("c.cache"))[0]!.split(" ");
  await Deno.writeTextFile(answer!, '{"version":1,"ans');
  await succeed(...asking(shop, server.url, "--image-size", "30"));
  assert(server.asked.length <= 13);
});

Deno.test("ood synood contexts counts answers that name nothing", async () => {
  await using shop = await pictures(2);
  const answers = ["[]", "", null, ["grass"].map((text) => ({ type: "text", text }))];
  await using server = new VisionServer(({ number }) => says(answers[number]));
  const { out, notes } = await succeed(...asking(shop, server.url, "--parallel", "1"));
  assertStringIncludes(out, "4 images, 1 elements, 0.3 an image; 3 without any");
  assertStringIncludes(notes, "and 3 of all name nothing");
  assertEquals(Object.values((await loadContexts(shop.file("c.json"))).images).flat(), ["grass"]);
});

Deno.test("ood synood contexts asks a busy server again, when it wants to be asked", async () => {
  await using shop = await pictures(2);
  await using server = new VisionServer(({ number }) => {
    if (number === 0) return new Response("slow down", { status: 429 });
    if (number === 1) return new Response("", { status: 429, headers: { "retry-after": "1" } });
    if (number === 2) return new Response("<html>", { status: 503 });
    return says('["grass"]');
  });
  await succeed(...asking(shop, server.url, "--parallel", "1"));
  assertEquals(server.asked.length, 7);
  assertEquals(server.perImage, [4, 1, 1, 1]);
  const waited = server.asked[2]!.time - server.asked[1]!.time;
  assert(waited >= 950, `${waited} ms`);
});

Deno.test("ood synood contexts waits after Retry-After with everything, and not for an hour", async () => {
  await using shop = await pictures(2);
  await using server = new VisionServer(({ number }) =>
    number === 0
      ? new Response("", { status: 429, headers: { "retry-after": "1" } })
      : says('["grass"]')
  );
  await succeed(...asking(shop, server.url, "--parallel", "1"));
  const until = new Date(Date.now() + 3_600_000).toUTCString();
  await using patient = new VisionServer(() =>
    new Response("quota is used up", { status: 429, headers: { "retry-after": until } })
  );
  const run = await ood(...asking(shop, patient.url, "--model", "other", "--parallel", "1"));
  assertRefused(run, { code: 1, message: "it answered 429 and asks to wait 3" });
  assertStringIncludes(run.notes, ": quota is used up");
  assertEquals(patient.asked.length, 1);
});

Deno.test("ood synood contexts says in one sentence why there is no answer", async () => {
  await using shop = await pictures(2);
  const one = ["--parallel", "1", "--limit", "1"];
  const status = (code: number, body: unknown, headers: Record<string, string> = {}) => () =>
    typeof body === "string"
      ? new Response(body, { status: code, headers })
      : Response.json(body, { status: code, headers });
  const hang = Promise.withResolvers<Response>();
  const error = { error: { message: "model\n not loaded." } };
  const cases: [answer: () => Response | Promise<Response>, tries: number, message: string][] = [
    [status(500, error), 3, "it answered 500, 3 times over: model not loaded"],
    [status(502, "<html><body>Bad gateway"), 3, "it answered 502, 3 times over"],
    [status(429, { detail: "slow" }), 3, "it answered 429, 3 times over: slow"],
    [() => hang.promise, 3, "there was no answer within 0.2 s, 3 times over; --timeout allows"],
    [status(400, { error: "no images" }), 1, "it refuses the request (400): no images"],
    [
      status(401, "key sk-x"),
      1,
      "access is denied (401); --key-env names the environment variable",
    ],
    [status(404, error), 1, "there is no such address or no such model (404): model not loaded"],
    [status(418, ""), 1, "it refuses the request (418)"],
    [
      status(302, "", { location: "/api/v1?key=7" }),
      1,
      `it sends us (302) to "`,
    ],
    [status(200, "<!DOCTYPE html><p>Hello"), 1, "it answered with HTML, and JSON was expected"],
    [status(200, ""), 1, "it answered with nothing, and JSON was expected; name an OpenAI-compat"],
    [status(200, "grass"), 1, "it answered with no JSON, and JSON was expected"],
    [status(200, error), 1, "its answer has no choices[0].message: model not loaded"],
    [status(200, { choices: [] }), 1, "its answer has no choices[0].message"],
    [status(200, "x".repeat(5 << 20)), 1, "its answer is longer than 4 MiB"],
  ];
  for (const [answer, tries, message] of cases) {
    await using server = new VisionServer(answer);
    const argv = [
      ...one,
      "--retries",
      "2",
      ...message.includes("0.2 s") ? ["--timeout", "0.2"] : [],
    ];
    const run = await ood(...asking(shop, server.url, ...argv));
    assertRefused(run, { code: 1, message });
    assertStringIncludes(run.notes, `"${server.url}/v1/chat/completions" about "cat/000.png": `);
    assertEquals([message, server.asked.length], [message, tries]);
    assertEquals(run.notes.includes("key=7"), false);
  }
  hang.resolve(says("[]"));
  const quick = [...one, "--retries", "1"];
  const whole = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{";
  for (const bytes of [whole, ""]) {
    await using server = new RawServer(bytes);
    const run = await ood(...asking(shop, server.url, ...quick));
    assertRefused(run, { code: 1, message: "the connection was cut, 2 times over" });
    assertEquals(server.connections, 2);
  }
  const deaf = deafAddress();
  assertRefused(await ood(...asking(shop, deaf, ...quick)), {
    code: 1,
    message:
      `"${deaf}/v1/chat/completions" about "cat/000.png": the connection is refused; does the`,
  });
  await using plain = new VisionServer(() => says("[]"));
  const secure = plain.url.replace("http:", "https:");
  const run = await ood(...asking(shop, secure, ...quick));
  assertRefused(run, { code: 1, message: "there is no secure connection (" });
  assertStringIncludes(run.notes, "DENO_CERT names a file of further certificates");
  assertEquals(listFiles(shop.path).some((name) => name.includes("c.")), false);
});

Deno.test("ood synood contexts --skip-failed goes on without some images, and not without all", async () => {
  await using shop = await pictures(2);
  await using server = new VisionServer(({ number }) => {
    if (number === 1) return Response.json({ error: "too odd" }, { status: 422 });
    return number === 3 ? new Response("", { status: 500 }) : says('["grass"]');
  });
  const argv = asking(shop, server.url, "--parallel", "1", "--retries", "0");
  const strict = await ood(...argv);
  assertRefused(strict, {
    code: 1,
    message: '"cat/001.png": it refuses the request (422): too odd',
  });
  assertStringIncludes(strict.notes, "Answers so far are kept in");
  const { out, notes } = await succeed(...argv, "--skip-failed");
  assertStringIncludes(out, "4 images, 3 elements");
  assertStringIncludes(notes, "No answer about tree_frog/000.png: it answered 500\n");
  await succeed(...argv);
  assertEquals(server.asked.length, 6);
  assertEquals(server.perImage.toSorted(), [1, 1, 2, 2]);
  await using closed = new VisionServer(() => new Response("", { status: 403 }));
  const denied = asking(shop, closed.url, "--skip-failed", "--model", "x", "--parallel", "1");
  assertRefused(await ood(...denied), { code: 1, message: "access is denied (403)" });
  assertEquals(closed.asked.length, 1);
});

Deno.test("ood synood contexts sends a key and neither shows nor keeps it", async () => {
  await using shop = await pictures(1);
  const name = "OODGPU_TEST_KEY";
  const key = "sk/5ecret-0f-mine";
  Deno.env.set(name, ` ${key}\n`);
  try {
    await using server = new VisionServer(({ authorization, number }) => {
      assertEquals(authorization, `Bearer ${key}`);
      // Some servers write slashes with a backslash before them.
      if (number === 0) {
        const text = JSON.stringify({ error: `no ${key}` }).replaceAll("/", "\\/");
        return new Response(text, { status: 400 });
      }
      if (number === 1) return new Response(`bad ${key}`, { status: 401 });
      return says(`["grass", "${key}"]`);
    });
    const argv = asking(shop, server.url, "--key-env", name, "--parallel", "1");
    const runs = [await ood(...argv), await ood(...argv), await ood(...argv, "--json")];
    assertRefused(runs[0]!, { code: 1, message: "it refuses the request (400): no ***" });
    assertRefused(runs[1]!, {
      code: 1,
      message: `access is denied (401); look at the key in ${name}`,
    });
    assertEquals(runs[2]!.code, 0, runs[2]!.notes);
    const files = listFiles(shop.path).map((line) => line.replace(/ \d+$/, ""));
    const texts = await Promise.all(files.map((path) => Deno.readTextFile(path)));
    for (const text of [...texts, ...runs.flatMap(({ out, notes }) => [out, notes])]) {
      assertEquals(text.includes("5ecret"), false, text);
    }
  } finally {
    Deno.env.delete(name);
  }
});

Deno.test({
  name: "ood synood contexts that is killed between images goes on without asking twice",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    await using shop = await pictures(3);
    const third = Promise.withResolvers<void>();
    const forever = Promise.withResolvers<Response>();
    const answered: string[] = [];
    await using server = new VisionServer((asked) => {
      if (asked.number === 2) {
        third.resolve();
        return forever.promise;
      }
      answered.push(asked.image);
      return says('["grass"]');
    });
    const argv = asking(shop, server.url, "--parallel", "1");
    {
      await using run = new Process("--allow-net=127.0.0.1", ...argv);
      await Promise.race([third.promise, run.end()]);
      assertEquals(answered.length, 2, run.notes);
      run.child.kill("SIGKILL");
      await run.end();
    }
    const { notes } = await succeed(...argv);
    forever.resolve(says("[]"));
    assertStringIncludes(notes, "Asked about 4 images; answers about 2 were there already");
    assertEquals(server.asked.length, 7);
    assertEquals([answered.length, new Set(answered).size], [6, 6]);
    assertEquals(Object.keys((await loadContexts(shop.file("c.json"))).images).length, 6);
  },
});

Deno.test({
  name: "ood synood contexts stops at once on Ctrl-C and says how to go on",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    await using shop = await pictures(2);
    const second = Promise.withResolvers<void>();
    const forever = Promise.withResolvers<Response>();
    await using server = new VisionServer(({ number }) => {
      if (number === 0) return says('["grass"]');
      second.resolve();
      return forever.promise;
    });
    const argv = asking(shop, server.url, "--parallel", "1");
    await using run = new Process("--allow-net=127.0.0.1", ...argv);
    await Promise.race([second.promise, run.end()]);
    run.child.kill("SIGINT");
    assertEquals((await run.end()).code, 130, run.notes);
    forever.resolve(says("[]"));
    assertStringIncludes(run.notes, "the same command goes on from there");
    assertEquals(/mistake|^ {4}at /m.test(run.notes), false, run.notes);
  },
});

Deno.test("ood synood contexts may not ask without the permission, and does not ask for it", async () => {
  await using shop = await pictures(1);
  const argv = asking(shop, "http://127.0.0.1:4321/v1");
  await using run = new Process(...argv);
  assertEquals((await run.end()).code, 1, run.notes);
  assertEquals(
    run.notes,
    'ood: Cannot ask "http://127.0.0.1:4321/v1/chat/completions": Deno was started without the ' +
      "permission to reach 127.0.0.1:4321; start it with --allow-net=127.0.0.1:4321, or run " +
      '"deno task synood:contexts"\n',
  );
});
