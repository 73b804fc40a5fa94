import { assertEquals } from "@std/assert";
import {
  assertRefused,
  listFiles,
  ood,
  succeed,
  type Workshop,
  workshop,
  writeFeatureFiles,
} from "./_workshop.ts";

/** A command line in a folder with feature files and a detector, and how it is refused. */
interface Case {
  readonly argv: readonly string[];
  readonly code: 1 | 2;
  readonly message: string;
}

const FILE = (name: string) => `DIR/${name}`;
const HERE = ["--device", "reference"];
const SETS = ["--train", FILE("train.safetensors"), "--id", FILE("id.safetensors")];
const EVAL = ["eval", ...SETS, "--ood", `near=${FILE("near.safetensors")}`, ...HERE];
const FIT = ["fit", "--method", "energy", "--train", FILE("train.safetensors"), ...HERE];
const DETECTOR = ["--detector", FILE("fitted.safetensors")];
const SCORE = ["score", ...DETECTOR, "--features", FILE("near.safetensors"), ...HERE];
const CALIBRATE = ["calibrate", ...DETECTOR, "--id", FILE("id.safetensors"), ...HERE];

const USAGE: readonly (readonly [argv: readonly string[], message: string])[] = [
  [["evall"], 'Unknown command "evall"; did you mean eval'],
  [["frobnicate"], 'Unknown command "frobnicate"; `ood --help` lists them'],
  [["help", "scor"], 'Unknown command "scor"; did you mean score'],
  [["eval", "--trian", "x"], "Unknown option --trian; did you mean --train"],
  [["doctor", "stray"], 'Unexpected argument "stray"'],
  [["inspect"], "MODEL.onnx is missing"],
  [["eval", ...SETS], "The option --ood NAME=FILE is required"],
  [["fit", "--method", "msp"], "The option --train FILE is required"],
  [["extract", "--out", "x"], "The option --model FILE is required"],
  [[...EVAL, "--seed"], "The option --seed needs a value"],
  [[...EVAL, "--json", "--html", "x"], "The option --json needs a value"],
  [[...EVAL, "--bootstrap", "-1"], 'a whole number from 0 to 100000: it is "-1"'],
  [[...EVAL, "--seed", "1.5"], "--seed must be a whole number"],
  [[...EVAL, "--convention", "openod"], "--convention must be one of default, openood"],
  [[...EVAL, "--device", "cuda"], "--device must be one of auto, webgpu, wasm, reference"],
  [[...EVAL, "--variant", "matmul=fast"], "must give matmul one of naive, register, tiled"],
  [[...EVAL, "--methods", "enrgy"], 'Cannot find the method "enrgy"; did you mean "energy"'],
  [[...EVAL, "--param", "knn.kk=5"], 'Cannot set "knn.kk": "knn" has k; did you mean "k"'],
  [[...EVAL, "--param", "knn.k=0"], 'Cannot set "knn.k" to 0: it must be a whole number'],
  [[...EVAL, "--param", "knn.k=ten"], 'Cannot set "knn.k" to "ten"'],
  [[...EVAL, "--param", "knn=5"], "METHOD.NAME=VALUE was expected"],
  [
    [...EVAL, "--methods", "msp", "--param", "knn.k=5"],
    'a parameter of "knn", which is not asked for, only msp',
  ],
  [[...EVAL, "--group", "all=near"], 'cannot average "all"'],
  [[...EVAL, "--group", "g=near,fra"], 'there is no OOD set "fra", only near'],
  [[...EVAL, "--ood", FILE("far.safetensors")], "--ood must be NAME=VALUE"],
  [[...EVAL, "--ood", `near=${FILE("far.safetensors")}`], 'names "near" twice'],
  [[...EVAL, "--ood", `id=${FILE("far.safetensors")}`], 'must not name a set "id"'],
  [[...EVAL, "--images", "near=DIR"], "--images needs --html"],
  [
    [...EVAL, "--images", "nera=DIR", "--html", FILE("r.html")],
    'names the set "nera", and there are only id, near',
  ],
  [[...FIT, "--method", "enrgy", "--out", FILE("d")], 'did you mean "energy"'],
  [[...FIT, "--out", FILE("d"), "--param", "vim.dim=3"], 'a parameter of "vim"'],
  [[...FIT, "--out", FILE("d"), "--acceptance", "2"], "--acceptance must be a number from"],
  [[...CALIBRATE, "--acceptance", "0"], "--acceptance must be a number from"],
  [["score", ...DETECTOR], "Either --features, or --model and --images"],
  [[...SCORE, "--images", "DIR"], "--features excludes --model and --images"],
  [
    ["export", ...DETECTOR, "--out", FILE("x.onnx"), "--with-features"],
    "--with-features needs --model",
  ],
  [["demo", "--bootstrap", "many"], "--bootstrap must be a whole number"],
];

const FAILURES: readonly (readonly [argv: readonly string[], message: string])[] = [
  [[...EVAL, "--val", FILE("no.safetensors")], 'no.safetensors": there is no such file'],
  [["eval", "--train", "DIR", ...EVAL.slice(3)], "it is a folder, and a .safetensors file"],
  [[...EVAL, "--ood", `same=${FILE("id.safetensors")}`], "holds the same data as"],
  [[...EVAL, "--methods", "vim", "--param", "vim.dim=99"], 'Cannot set "vim.dim" to 99'],
  [[...EVAL, "--param", "vim.dim=99"], 'Cannot set "vim.dim" to 99'],
  [[...EVAL, "--json", FILE("none/o.json")], 'there is no folder "DIR/none"'],
  [[...EVAL, "--scores", "DIR"], 'Cannot write "DIR": it is a folder, and a file was expected'],
  [[...EVAL, "--csv", FILE("none/o.csv")], 'there is no folder "DIR/none"'],
  [[...EVAL, "--html", FILE("none/o.html")], 'there is no folder "DIR/none"'],
  [
    [...EVAL, "--images", "near=DIR/none", "--html", FILE("r.html")],
    'none": there is no such file or folder',
  ],
  [[...FIT, "--out", FILE("none/d")], 'there is no folder "DIR/none"'],
  [[...FIT, "--out", "DIR"], "it is a folder, and a file was expected"],
  [[...SCORE], "the detector has no threshold; `ood calibrate` gives it one"],
  [[...SCORE, "--csv", FILE("none/o.csv")], 'there is no folder "DIR/none"'],
  [
    ["score", "--detector", FILE("id.safetensors"), ...SCORE.slice(3)],
    "it is no detector; a file from the fit command was expected",
  ],
  [[...CALIBRATE, "--out", FILE("none/d")], 'there is no folder "DIR/none"'],
  [["export", ...DETECTOR, "--out", FILE("none/x.onnx")], 'there is no folder "DIR/none"'],
  [["export", ...DETECTOR, "--out", "DIR"], "it is a folder, and a file was expected"],
  [
    ["export", ...DETECTOR, "--out", FILE("x.onnx"), "--model", FILE("no.onnx")],
    'no.onnx": there is no such file',
  ],
  [["inspect", "DIR"], 'Cannot read "DIR": it is a folder and a file was expected'],
  [["demo", "--out", FILE("id.safetensors")], 'Cannot make the folder "DIR/id.safetensors"'],
];

const CASES: readonly Case[] = [
  ...USAGE.map(([argv, message]): Case => ({ argv, message, code: 2 })),
  ...FAILURES.map(([argv, message]): Case => ({ argv, message, code: 1 })),
];

async function prepare(): Promise<Workshop> {
  const shop = await workshop();
  await writeFeatureFiles(shop.path);
  const train = ["--train", shop.file("train.safetensors")];
  const out = ["--out", shop.file("fitted.safetensors")];
  await succeed("fit", "--method", "energy", ...train, ...out, ...HERE);
  return shop;
}

for (const { argv, code, message } of CASES) {
  Deno.test(`ood ${argv.join(" ")} ends with ${code} and one sentence`, async () => {
    await using shop = await prepare();
    const before = listFiles(shop.path);
    const run = await ood(...argv.map((arg) => arg.replaceAll("DIR", shop.path)));
    const hidden = { ...run, notes: run.notes.replaceAll(shop.path, "DIR") };
    assertRefused(hidden, { code, message });
    assertEquals(listFiles(shop.path), before);
  });
}

Deno.test("ood without a command prints the overview where errors go", async () => {
  const { code, out, notes } = await ood();
  assertEquals([code, out, notes.startsWith("ood: find inputs")], [2, "", true]);
});
