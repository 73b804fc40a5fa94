/**
 * Writes out/embed.js and out/embed_tagood.js, `@oodgpu/oodgpu/embed` and `embed-tagood` in one file
 * each: `deno task embed`.
 *
 * @module
 */

import { bundle, foreignNames, forOlderEngines } from "./_bundle.ts";

const FILES = {
  "out/embed.js": "methods/embed.ts",
  "out/embed_tagood.js": "methods/embed_tagood.ts",
};

await Deno.mkdir("out", { recursive: true });
for (const [file, entry] of Object.entries(FILES)) {
  const code = await forOlderEngines(await bundle(entry, Deno.cwd()));
  const foreign = foreignNames(code);
  if (foreign.length > 0) throw new Error(`${entry} needs ${foreign.join(", ")}`);
  await Deno.writeTextFile(file, code);
  const gzipped = new Blob([code]).stream().pipeThrough(new CompressionStream("gzip"));
  const packed = (await new Response(gzipped).arrayBuffer()).byteLength;
  const kilobytes = (bytes: number) => `${(bytes / 1000).toFixed(1)} kB`;
  console.log(`Wrote ${file}: ${kilobytes(code.length)}, ${kilobytes(packed)} as gzip`);
}
