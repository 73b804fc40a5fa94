/**
 * How checkers report: one sentence per finding, exit code 1 when there is one.
 *
 * @module
 */

/**
 * Prints findings and ends the process.
 *
 * @param checker What was checked, for the closing line.
 * @param findings One sentence each.
 */
export function reportFindings(checker: string, findings: readonly string[]): never {
  findings.forEach((finding) => console.error(finding));
  if (findings.length > 0) {
    console.error(`${checker}: ${findings.length} finding${findings.length === 1 ? "" : "s"}`);
    Deno.exit(1);
  }
  console.log(`${checker}: nothing found`);
  Deno.exit(0);
}

/** Folders at the top that hold nothing of ours: what git, Deno and our own runs put there. */
const SKIPPED: ReadonlySet<string> = new Set([
  ...[".git", ".deno", ".bench", "node_modules", "out", ".gl", "coverage"],
]);

/**
 * Lists the project's files.
 *
 * @param root The project's folder.
 * @returns Paths from the root, sorted, with forward slashes.
 */
export async function listFiles(root: string): Promise<string[]> {
  const files: string[] = [];
  async function visit(folder: string): Promise<void> {
    for await (const entry of Deno.readDir(`${root}/${folder}`)) {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (SKIPPED.has(path)) continue;
      if (entry.isDirectory) await visit(path);
      else files.push(path);
    }
  }
  await visit("");
  return files.sort();
}
