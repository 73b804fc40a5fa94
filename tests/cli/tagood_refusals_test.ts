import { assertEquals, assertStringIncludes } from "@std/assert";
import { encodeSafetensors, readSafetensors } from "../../data/mod.ts";
import type { HostArray } from "../../onnx/mod.ts";
import {
  COLOUR_SIDECAR,
  colourTagger,
  prepared,
  SMALL,
  TAGS,
  train,
  WASM,
  withObjects,
  writeTagger,
} from "./_colours.ts";
import {
  assertRefused,
  featureArrays,
  listFiles,
  ood,
  type Run,
  succeed,
  type Workshop,
  writeFeatureFile,
} from "./_workshop.ts";

/** A command line, its exit code, and what its one sentence says. */
type Case = readonly [argv: readonly string[], code: number, message: string];

/** Runs command lines that must be refused and leave nothing behind. */
async function refuseAll(shop: Workshop, command: readonly string[], cases: readonly Case[]) {
  const before = listFiles(shop.path);
  for (const [argv, code, message] of cases) {
    const run: Run = await ood(...command, ...argv);
    assertRefused(run, { code, message });
    assertEquals(listFiles(shop.path), before, argv.join(" "));
  }
}

/** A copy of a feature file, changed. */
async function change(
  from: string,
  to: string,
  edit: (arrays: Record<string, HostArray>, metadata: Record<string, string>) => void,
): Promise<void> {
  const { tensors, metadata } = await readSafetensors(from);
  const arrays = Object.fromEntries(
    Object.entries(tensors).map(([key, { data, shape }]) => [key, { data, shape } as HostArray]),
  );
  const text = { ...metadata };
  edit(arrays, text);
  await Deno.writeFile(to, encodeSafetensors(arrays, text));
}

Deno.test("ood tagood features refuses taggers and vocabularies in one sentence", async () => {
  await using shop = await prepared("train", "grey");
  const { file } = shop;
  await withObjects(shop, "train");
  const { outputs, tags: _, ...rest } = COLOUR_SIDECAR;
  const { attention: __, ...mute } = outputs!;
  const taggers: Record<string, unknown> = {
    mute: { ...rest, outputs: mute, tags: TAGS },
    short: { ...rest, outputs, tags: TAGS.slice(1) },
    nameless: { ...rest, outputs },
    bare: { preprocessing: rest.preprocessing },
    shaky: { ...COLOUR_SIDECAR, outputs: { ...outputs, attention: "shaky" } },
  };
  const model = colourTagger();
  for (const [name, sidecar] of Object.entries(taggers)) {
    await writeTagger(file(`${name}.onnx`), { model, sidecar });
  }
  const vocabulary = JSON.parse(await Deno.readTextFile(file("v.json")));
  const edited = async (name: string, tags: readonly string[]) => {
    const classes = vocabulary.classes.map((entry: { class: string }) =>
      entry.class === "leaf" ? { ...entry, tags } : entry
    );
    await Deno.writeTextFile(file(name), JSON.stringify({ ...vocabulary, classes }));
  };
  await edited("typo.json", ["geren"]);
  await edited("uncovered.json", []);
  await change(file("train.st"), file("mute.st"), (arrays) => delete arrays["attention"]);
  await change(file("train.st"), file("nan.st"), ({ attention }) => {
    attention!.data[3 * TAGS.length * 16 + 2] = NaN;
  });
  const known = ["--vocabulary", file("v.json")];
  const images = (name: string) => [
    ...["--images", file("train"), "--model", file(`${name}.onnx`), ...known],
  ];
  const features = (name: string) => ["--features", file(`${name}.st`), ...known];
  const trainSet = features("train");
  await refuseAll(shop, ["tagood", "features", "--out", file("o")], [
    [[], 2, "The option --features FILE is required"],
    [[...trainSet, "--images", "x"], 2, "The options --features and --images exclude each other"],
    [[...trainSet, "--model", "m.onnx"], 2, "The option --model needs --images"],
    [[...trainSet, "--strict"], 2, "The option --strict needs --images"],
    [["--images", file("train"), ...known], 2, "The option --images needs --model, the tagger"],
    [
      [...trainSet, "--tau", "1.5"],
      2,
      'The option --tau must be a number from 0 to 1: it is "1.5"',
    ],
    [[...trainSet, "--untagged", "all"], 2, "--untagged must be one of none, likeliest"],
    [[...trainSet, "--tag-threshold", "0.5"], 2, "The option --tag-threshold is for classifiers"],
    [trainSet.slice(0, 2), 2, "The option --vocabulary FILE is required for a tagger"],
    [images("none"), 1, 'none.onnx": there is no such file'],
    [images("mute"), 1, 'mute.onnx": its sidecar names no output "attention"'],
    [images("short"), 1, '4 tags are listed and "tag_logits" [N, 5] has 5'],
    [images("nameless"), 1, 'nameless.onnx": it does not name its tags; list them as "tags"'],
    [images("bare"), 1, 'bare.onnx": it is no tagger (its sidecar names no tokens, tag_logits and'],
    [
      [...images("shaky"), ...["--device", "reference"]],
      1,
      'a NaN or an infinity in "attention" for the image "cherry/00.png"',
    ],
    [
      [...images("t"), "--one-tag", "--labels", "none"],
      1,
      `Cannot use each image's own tag of "${file("train")}": its images have no labels`,
    ],
    [features("no"), 1, 'no.st": there is no such file'],
    [features("mute"), 1, 'mute.st": it has no "attention"; name the tagger\'s outputs in its'],
    [features("nan"), 1, 'nan.st": "attention" has a NaN in row 3 ("cherry/03.png")'],
    [["--features", file("train.objects"), ...known], 1, "its object tokens are chosen already"],
    [[...features("grey"), "--one-tag"], 1, 'grey.st": its images have no labels'],
    [
      ["--features", file("train.st"), "--vocabulary", file("typo.json")],
      1,
      'the tagger has no tag "geren", which stands for the class "leaf"; did you mean "green"',
    ],
    [
      ["--features", file("train.st"), "--vocabulary", file("uncovered.json")],
      1,
      'no tag stands for the class "leaf"; name tags of the tagger in "tags", or allow classes ' +
      "without any (--allow-uncovered)",
    ],
    [
      ["--features", file("train.st"), "--vocabulary", file("no.json")],
      1,
      'no.json": there is no such file; "ood tagood vocab" makes one',
    ],
  ]);
  const nowhere = [...trainSet, "--out", file("no/o")];
  assertRefused(await ood("tagood", "features", ...nowhere), { code: 1, message: "no/o" });

  // What is allowed explicitly leaves a class without an image; a constant map keeps everything.
  const allowed = ["--vocabulary", file("uncovered.json"), "--allow-uncovered"];
  const { out } = await succeed(
    ...["tagood", "features", "--features", file("train.st"), "--out", file("o"), ...allowed],
  );
  assertStringIncludes(out, "; 8 (33.3 %) without a tag of a known class");
  assertRefused(
    await ood("tagood", "train", "--objects", file("o"), "--out", file("d.st"), ...SMALL),
    { code: 1, message: `"${file("o")}" has no image with an object of 1 of 3 classes: leaf` },
  );
  await change(file("train.st"), file("flat.st"), ({ attention }) => attention!.data.fill(0.1));
  const flat = await succeed(
    ...["tagood", "features", ...features("flat"), "--out", file("o"), "--json"],
  );
  assertEquals(JSON.parse(flat.out).tokens, 24 * 16);
});

Deno.test("ood tagood train refuses settings and object tokens in one sentence", async () => {
  await using shop = await prepared("train", "test", "grey");
  const { file } = shop;
  await withObjects(shop, "train", "test", "grey");
  await change(file("test.objects"), file("unlabelled"), ({ labels }) => labels!.data.fill(-1, 2));
  await change(file("test.objects"), file("wider"), (arrays) => {
    const [rows = 0] = arrays["object_tokens"]!.shape;
    arrays["object_tokens"] = { data: new Float32Array(7 * rows), shape: [rows, 7] };
  });
  await change(file("train.objects"), file("silent"), (_, metadata) => delete metadata["objects"]);
  await change(file("train.objects"), file("damaged"), (_, metadata) => {
    metadata["objects"] = '{"kind":"tagger"}';
  });
  await change(file("train.objects"), file("others"), (_, metadata) => {
    metadata["label_names"] = '["cherry", "leaf", "lake"]';
  });
  await Deno.writeTextFile(file("half.st.checkpoint"), "half");
  const train = ["tagood", "train", "--out", file("d.st")];
  const objects = ["--objects", file("train.objects")];
  const small = [...objects, ...SMALL];
  const ofFile = (name: string) => ["--objects", file(name), ...SMALL];
  const validated = (name: string) => [...small, "--validation", file(name)];
  await refuseAll(shop, train, [
    [[], 2, "The option --objects FILE is required"],
    [[...objects, "--width", "10", "--heads", "4"], 2, "a width of 10 cannot be shared by 4 heads"],
    [[...objects, "--width", "6", "--heads", "2", "--variant", "code"], 2, "has no 4 equal parts"],
    [[...small, "--patience", "2"], 2, "The option --patience needs --validation"],
    [[...small, "--variant", "mine"], 2, "--variant must be one of paper, code"],
    [[...small, "--epochs", "0"], 2, "the number of epochs must be a whole number from 1: it is 0"],
    [[...small, "--dropout", "1"], 2, "the dropout must be 0 to below 1: it is 1"],
    [[...small, "--centre-rate", "0"], 2, "γ₂ (the centre rate) must be above 0 and at most 1"],
    [[...small, "--device", "wasm"], 2, "--device must be one of auto, webgpu, reference"],
    [[...small, "--resume"], 1, `there is no unfinished training in "${file("d.st")}.checkpoint"`],
    [[...small, "--batch", "100"], 1, "a batch takes 100 images and there are 24; name a smaller"],
    [ofFile("no"), 1, 'no": there is no such file'],
    [
      ofFile("train.st"),
      1,
      'train.st": it has no "object_tokens"; a file from ood tagood features',
    ],
    [ofFile("grey.objects"), 1, 'grey.objects" has no labels; find the objects of labelled images'],
    [ofFile("silent"), 1, 'silent": it does not say how its tokens were chosen'],
    [ofFile("damaged"), 1, 'damaged": "objects" of its metadata is damaged'],
    [validated("test.st"), 1, 'test.st": it has no "object_tokens"'],
    [validated("others"), 1, `the classes of "${file("others")}" are not those of "`],
    [validated("unlabelled"), 1, `9 of 11 images of "${file("unlabelled")}" have no label`],
    [validated("wider"), 1, `the tokens of "${file("wider")}" are 7 wide and those of "`],
  ]);
  const half = ["tagood", "train", ...small, "--out", file("half.st")];
  await refuseAll(shop, half, [
    [[], 1, `an unfinished training is in "${file("half.st")}.checkpoint"; go on with --resume`],
    [["--resume"], 1, 'half.st.checkpoint": the file has 4 bytes'],
  ]);
});

Deno.test("TagOOD detectors and sets that do not fit are refused in one sentence", async () => {
  await using shop = await prepared("train", "test", "grey");
  const { file } = shop;
  await withObjects(shop, "train", "test", "grey");
  await train(shop, "--epochs", "1", "--width", "6");
  await writeFeatureFile(file("plain.st"), featureArrays(30));
  await succeed(
    ...["fit", "--method", "energy", "--train", file("plain.st"), "--out", file("energy.st")],
    ...["--device", "reference"],
  );
  await change(file("test.objects"), file("wider"), (arrays) => {
    const [rows = 0] = arrays["object_tokens"]!.shape;
    arrays["object_tokens"] = { data: new Float32Array(7 * rows), shape: [rows, 7] };
  });
  await change(file("test.st"), file("elsewhere.st"), (_, metadata) => {
    metadata["model_hash"] = "5eaf00d";
    metadata["model"] = "other.onnx";
  });
  await change(file("test.st"), file("nan.st"), ({ attention }) => {
    attention!.data[0] = NaN;
  });
  const detector = ["--detector", file("d.st")];
  const id = ["--id", file("test.objects")];
  const grey = ["--ood", `grey=${file("grey.objects")}`];
  const sets = [...detector, ...id, ...grey];
  await refuseAll(shop, ["tagood", "eval", "--html", file("r.html")], [
    [detector, 2, "The option --id FILE is required"],
    [[...sets, "--distances", "cosine,l1"], 2, 'some of cosine, euclidean, kl: "l1" is none'],
    [[...sets, "--ood", `id=${file("grey.st")}`], 2, '--ood must not name a set "id"'],
    [[...sets, "--ood", `far=${file("no")}`], 1, 'no": there is no such file'],
    [[...sets, "--tau", "0"], 1, 'test.objects": its tokens are chosen already'],
    [
      [...sets, "--variant", "code"],
      1,
      "it compares 4 equal parts of a feature, and this detector",
    ],
    [
      ["--detector", file("energy.st"), ...id, ...grey],
      1,
      'energy.st": it is a detector of "energy", and one from ood tagood train was expected',
    ],
    [["--detector", file("train.objects"), ...id, ...grey], 1, "it is no detector"],
    [
      [...detector, ...grey, "--id", file("wider")],
      1,
      "its tokens are 7 wide and the model takes 6",
    ],
    [[...detector, ...grey, "--id", file("plain.st")], 1, 'plain.st": it has '],
    [[...detector, ...grey, "--id", file("elsewhere.st")], 1, "come from the model other.onnx"],
    [[...detector, ...grey, "--id", file("nan.st")], 1, 'has a NaN in row 0 ("cherry/00.png")'],
    [[...sets, "--json", file("no/r.json")], 1, "no/r.json"],
  ]);
  await refuseAll(shop, ["calibrate", "--device", "reference", "--out", file("c.st")], [
    [["--detector", file("energy.st"), ...id], 1, "it has object tokens, which only detectors"],
    [[...detector, "--id", file("plain.st")], 1, 'plain.st" has no "tokens"'],
    [[...detector, "--id", file("wider")], 1, "its tokens are 7 wide and the model takes 6"],
  ]);
  await succeed("calibrate", ...detector, ...id, "--device", "reference");
  const { outputs, ...rest } = COLOUR_SIDECAR;
  const { attention: _, ...mute } = outputs!;
  await writeTagger(file("mute.onnx"), { sidecar: { ...rest, outputs: mute } });
  await refuseAll(shop, ["score", ...detector, ...WASM], [
    [["--features", file("nan.st")], 1, 'has a NaN in row 0 ("cherry/00.png")'],
    [
      ["--model", file("mute.onnx"), "--images", file("grey")],
      1,
      'the sidecar names no "attention"',
    ],
  ]);
  await refuseAll(shop, ["fit", "--train", file("train.st"), "--out", file("f.st")], [
    [["--method", "tagood"], 2, "its projection model is trained, by ood tagood train"],
  ]);
  await refuseAll(shop, ["export", ...detector, "--out", file("x.onnx")], [
    [["--model", "models/cifar10-resnet20.onnx"], 1, "fitted to features of another model, t.onnx"],
  ]);
});

Deno.test("ood tagood ablate refuses what it cannot compare in one sentence", async () => {
  await using shop = await prepared("train", "test", "grey");
  const { file } = shop;
  await withObjects(shop, "train");
  await writeFeatureFile(file("plain.st"), featureArrays(30));
  const vocabulary = ["--vocabulary", file("v.json")];
  const of = (train: string, id: string, ...more: string[]) => [
    ...["--train", file(train), "--id", file(id), "--ood", `grey=${file("grey.st")}`],
    ...[...SMALL, ...more],
  ];
  const usual = of("train.st", "test.st", ...vocabulary);
  await refuseAll(shop, ["tagood", "ablate", "--html", file("a.html")], [
    [[], 2, "The option --train FILE is required"],
    [[...usual, "--tau", "0.4"], 2, "--tau must be one of --taus, 0, 0.3, 0.5, 0.7: it is 0.4"],
    [
      [...usual, "--taus", "0,,0.5"],
      2,
      '--taus must list different numbers from 0 to 1: it is "0,',
    ],
    [[...usual, "--taus", "0.5,0.5"], 2, "--taus must list different numbers from 0 to 1"],
    [[...usual, "--taus", "0.5,2"], 2, "--taus must list different numbers from 0 to 1"],
    [[...usual, "--seeds", "0"], 2, "--seeds must be a whole number from 1"],
    [[...usual, "--width", "6"], 2, "--width must be a multiple of 4"],
    [[...usual, "--patience", "1"], 2, "The option --patience needs --validation"],
    [[...usual, "--ood", `id=${file("grey.st")}`], 2, '--ood must not name a set "id"'],
    [of("train.st", "test.st"), 2, "The option --vocabulary FILE is required for a tagger"],
    [[...usual, "--tag-threshold", "0.2"], 2, "The option --tag-threshold is for classifiers"],
    [of("train.objects", "test.st", ...vocabulary), 1, "its object tokens are chosen already"],
    [of("train.st", "train.objects", ...vocabulary), 1, "its object tokens are chosen already"],
    [of("train.st", "plain.st", ...vocabulary), 1, 'plain.st": it has '],
    [of("grey.st", "test.st", ...vocabulary), 1, 'the images of "'],
    [[...usual, "--work", file("v.json")], 1, `Cannot make the folder "${file("v.json")}"`],
    [[...usual, "--batch", "100"], 1, "a batch takes 100 images and there are 24"],
    [
      [...usual, "--tau", "1", "--taus", "1"],
      1,
      'train.st at τ 1" has no image with an object of 3 of 3 classes: cherry, leaf, sea; look at ' +
      "their tags in the vocabulary, or lower τ",
    ],
  ]);
});
