import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { scoreSet } from "../../cli/_scoring.ts";
import { Terminal, type TextSink } from "../../cli/_terminal.ts";
import { memoryFeatures } from "../../data/mod.ts";
import { chooseExecutor, maxLogit } from "../../methods/mod.ts";

const SET = memoryFeatures({
  logits: { data: new Float32Array([1, 2, 4, 3, 0, 5]), shape: [3, 2] },
});

function sink(): TextSink & { text: string } {
  return {
    isTerminal: true,
    text: "",
    write(text) {
      this.text += text;
    },
  };
}

Deno.test("scoreSet() gives a score for each row and shows how far it is", async () => {
  using executor = await chooseExecutor("reference");
  const notes = sink();
  const fitted = await maxLogit.fit({ train: SET, context: executor.context });
  const { signal } = new AbortController();
  const run = { executor, terminal: new Terminal(sink(), notes), signal, label: "score photos" };
  const [scores] = await scoreSet([fitted], SET, run);
  assertEquals([...scores!], [2, 4, 5]);
  assertStringIncludes(notes.text, "score photos");
  assertStringIncludes(notes.text, "3/3 images");
});

Deno.test("scoreSet() stops between batches when its signal fires", async () => {
  using executor = await chooseExecutor("reference");
  const fitted = await maxLogit.fit({ train: SET, context: executor.context });
  const terminal = new Terminal(sink(), sink());
  const run = { executor, terminal, signal: AbortSignal.abort(), label: "score" };
  await assertRejects(() => scoreSet([fitted], SET, run), DOMException, "abort");
});
