/**
 * Writes out/embed.js, `@oodgpu/oodgpu/embed` in one file: `deno task embed`.
 *
 * @module
 */

import { bundle, foreignNames, forOlderEngines } from "./_bundle.ts";

const ENTRY = "methods/embed.ts";
const FILE = "out/embed.js";

const code = await forOlderEngines(await bundle(ENTRY, Deno.cwd()));
const foreign = foreignNames(code);
if (foreign.length > 0) throw new Error(`${ENTRY} needs ${foreign.join(", ")}`);
await Deno.mkdir("out", { recursive: true });
await Deno.writeTextFile(FILE, code);
const gzipped = new Blob([code]).stream().pipeThrough(new CompressionStream("gzip"));
const packed = (await new Response(gzipped).arrayBuffer()).byteLength;
const kilobytes = (bytes: number) => `${(bytes / 1000).toFixed(1)} kB`;
console.log(`Wrote ${FILE}: ${kilobytes(code.length)}, ${kilobytes(packed)} as gzip`);
