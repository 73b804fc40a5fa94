import { assertEquals, assertStringIncludes } from "@std/assert";
import { formatDuration, Terminal, type TextSink } from "../../cli/_terminal.ts";

function sink(isTerminal: boolean): TextSink & { text: string } {
  return {
    isTerminal,
    text: "",
    write(text) {
      this.text += text;
    },
  };
}

function clock(): { now: () => number; pass: (ms: number) => void } {
  let time = 0;
  return { now: () => time, pass: (ms) => time += ms };
}

Deno.test("progress on a terminal shows a bar, the rate and the time left", () => {
  const notes = sink(true);
  const time = clock();
  const progress = new Terminal(sink(true), notes)
    .progress("extract", 100, { unit: "images", now: time.now });
  time.pass(2000);
  progress.update(50);
  assertStringIncludes(notes.text, "████████████░░░░░░░░░░░░ 50/100 images, 25.0/s, 2.0 s left");
  progress.finish();
  assertEquals(notes.text.endsWith("\n"), true);
});

Deno.test("progress into a pipe is plain lines, and silent when it was quick", () => {
  const notes = sink(false);
  const time = clock();
  const terminal = new Terminal(sink(false), notes);
  const quick = terminal.progress("fit", 10, { now: time.now });
  quick.update(10);
  quick.finish();
  assertEquals(notes.text, "");
  const slow = terminal.progress("fit", 10, { now: time.now });
  time.pass(6000);
  slow.update(5);
  assertEquals(notes.text, "fit: 5/10 items, 0.83/s, 6.0 s left\n");
});

Deno.test("results and remarks go to different streams", () => {
  const out = sink(false);
  const notes = sink(false);
  const terminal = new Terminal(out, notes);
  terminal.note("working");
  terminal.printJson({ auroc: 0.9 });
  assertEquals(JSON.parse(out.text), { auroc: 0.9 });
  assertEquals(notes.text, "working\n");
});

Deno.test("formatDuration() speaks as people do", () => {
  assertEquals([0.42, 12.4, 185].map(formatDuration), ["0.4 s", "12 s", "3 min 05 s"]);
});
